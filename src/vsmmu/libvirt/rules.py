# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: E501 - sentences of libvirt and QEMU are not ours to break
"""What libvirt lets through, drops or refuses late: one row a rule, with its consequence and the remedy.

Held against libvirt 12.8.0 and QEMU 11.1.3; the code is stable, scripts match on it. docs/reference/domain-lint.md is
made from this table.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from vsmmu.named_tuple import NamedTuple
from vsmmu.smmuv3.properties import AUTO_SINCE, LIBVIRT_SINCE, REGISTER_PROPERTIES
from vsmmu.versions import spell_version

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vsmmu.diagnostic import Severity

__all__ = ["RULES", "Rule"]

_AUTO: Final = spell_version(AUTO_SINCE)
_FIXED: Final = " ".join(f"{entry.name}={entry.spell(entry.software)}" for entry in REGISTER_PROPERTIES)


class Rule(NamedTuple):
    """One rule.

    *error*: it does not start, or not as written. *hazard*: it starts, with other values than written. *warning*: it
    starts, and may surprise. ``what``, ``consequence`` and ``remedy`` have ``{}`` places for values.
    """

    code: str
    severity: Severity
    what: str
    consequence: str
    remedy: str


_TABLE: Final = (
    # Spelling: what libvirt's parser drops or refuses
    Rule(
        "attribute-misspelt",
        "hazard",  # an error for pciBus and accel, without which it is another SMMU
        "libvirt knows no attribute {written}; {known} is meant",
        "libvirt drops it without a word (only --validate refuses), and QEMU takes its default",
        "write {known}, or let vsmmu resolve write it",
    ),
    Rule(
        "attribute-unknown",
        "warning",
        "libvirt knows no attribute {written}",
        "libvirt drops it without a word (only --validate refuses)",
        "remove it{instead}",
    ),
    Rule(
        "attribute-of-other-model",
        "error",
        "{written} is an attribute of another IOMMU model",
        "libvirt refuses: iommu model 'smmuv3' doesn't support some additional attributes",
        "remove it",
    ),
    Rule(
        "model-draft",
        "error",
        "model {written!r} is a name out of a draft of libvirt",
        "libvirt refuses the domain",
        "write model='smmuv3'",
    ),
    Rule(
        "value-auto",
        "error",
        "{name}='auto' is no value that libvirt knows",
        "libvirt refuses the domain: Invalid value for attribute '{name}' in element 'driver': 'auto'.",
        "leave {name} out, or let vsmmu resolve pin it",
    ),
    Rule(
        "value-refused",
        "error",
        "{name}={value!r} is not {accepted}",
        "libvirt refuses the domain: Invalid value for attribute '{name}' in element 'driver': '{value}'.",
        "write {accepted}",
    ),
    Rule(
        "accel-missing",
        "error",
        "{names} without accel='on'",
        "libvirt refuses: accel must be enabled for iommu model 'smmuv3' when setting ats, ril, ssidsize, oas, or cmdqv",
        "add accel='on', or remove {names}",
    ),
    # Where the SMMU sits
    Rule(
        "accel-without-pcibus",
        "error",
        "accel='on' without pciBus",
        "libvirt drops accel without a word and makes the software SMMU of the whole machine",
        "add pciBus='INDEX' of the pcie-expander-bus that the host devices are behind",
    ),
    Rule(
        "pcibus-missing",
        "error",
        "pciBus={value!r} is the index of no PCI controller",
        "libvirt defines the domain and cannot start it: Could not find a suitable controller for smmuv3",
        "name the index of a pcie-expander-bus{known}",
    ),
    Rule(
        "iommu-without-pcibus",
        "error",
        "one of several SMMUs has no pciBus",
        "{effect}",
        "give every <iommu> a pciBus",
    ),
    Rule(
        "iommu-models-mixed",
        "error",
        "<iommu> of model {model!r} beside smmuv3",
        "libvirt accepts it, and QEMU takes only one kind of IOMMU",
        "remove one of them",
    ),
    # What is behind an accelerated SMMU
    Rule(
        "hostdev-without-address",
        "error",
        "{name} has no guest address",
        "libvirt finds no place for it among the PCI controllers that there are or can be",
        "add <address type='pci' bus='INDEX of its root port'/>, or resolve the output of virsh dumpxml",
    ),
    Rule(
        "expander-place",
        "error",
        "a pcie-expander-bus sits on bus {value}",
        "libvirt refuses it: an expander can be plugged only into the root bus",
        "give it an address on bus 0",
    ),
    # NUMA cells
    Rule(
        "cell-number",
        "error",
        "cell id {value!r} is none of 0 to {last}",
        "libvirt refuses: Exactly one 'cell' element per guest NUMA cell allowed, non-contiguous ranges or ranges not starting from 0 are not allowed",
        "number the cells from 0 on",
    ),
    Rule(
        "cell-twice",
        "error",
        "cell id {value} is there twice",
        "libvirt refuses it, or keeps one of the two without a word: Duplicate NUMA cell info for cell id '{value}'",
        "number the cells from 0 on, each once",
    ),
    Rule(
        "cell-memory",
        "error",
        "the memory of a cell is {value!r}",
        "libvirt refuses what is no whole number with a unit that it knows",
        "write memory='NUMBER' unit='KiB'",
    ),
    Rule(
        "cell-cpus",
        "error",
        "the CPUs of a cell are {value!r}",
        "libvirt refuses what is no list of numbers from 0 to 16383",
        "write cpus='0-3'",
    ),
    Rule(
        "cell-cpu-twice",
        "error",
        "CPU {value} is in two cells",
        "libvirt refuses: NUMA cells have overlapping vCPU ids",
        "give each CPU to one cell",
    ),
    Rule(
        "cell-cpu-missing",
        "error",
        "a cell has CPU {value}, and the VM has {count}",
        "libvirt refuses: CPU IDs in <numa> exceed the <vcpu> count",
        "raise <vcpu>, or give the cell fewer",
    ),
    Rule(
        "cell-distance",
        "error",
        "a distance is {value}",
        "libvirt refuses what is not from 10 to 255, another than 10 for the cell itself or 10 for another, and a cell that is not there",
        "write distances from 11 to 255 to cells that there are",
    ),
    Rule(
        "cells-many",
        "error",
        "there are {count} cells",
        "libvirt defines the domain, and QEMU refuses: Max number of NUMA nodes reached: 128",
        "leave some out: 128 is the most",
    ),
    # The machine
    Rule(
        "machine-not-virt",
        "error",
        "an SMMUv3 on {machine} ({arch})",
        "libvirt refuses: IOMMU device: 'smmuv3' is only supported with ARM Virt machines",
        "use arch='aarch64' machine='virt'",
    ),
    Rule(
        "iommufd-fdgroup",
        "error",
        "fdgroup in an <iommufd> that is not enabled",
        "libvirt refuses: Setting 'fdgroup' when 'iommufd' is disabled is not supported.",
        "add enabled='yes', or remove fdgroup",
    ),
    Rule(
        "iommufd-twice",
        "error",
        "a second <iommufd>",
        "libvirt refuses: only one 'iommufd' element is supported",
        "remove one",
    ),
    Rule(
        "commandline-smmu",
        "warning",
        "<qemu:commandline> brings an arm-smmuv3 of its own",
        "neither libvirt nor vsmmu look at it here",
        "write it as <iommu model='smmuv3'>; libvirt "
        f"{spell_version(LIBVIRT_SINCE)} knows all of its properties",
    ),
    # Versions
    Rule(
        "libvirt-too-old",
        "error",
        "{feature} needs libvirt {needed}, this is {version}",
        "an older libvirt drops it without a word",
        "use libvirt {needed} or later",
    ),
    Rule(
        "qemu-too-old",
        "error",
        "{feature} needs QEMU {needed}, this is {version}",
        "libvirt refuses, or QEMU does not find the property",
        "use QEMU {needed} or later",
    ),
    Rule(
        "defaults-fixed",
        "warning",
        f"{{names}} not written, and {{version}} has fixed defaults ({_FIXED})",
        f"the same XML makes another guest than with QEMU {_AUTO} and machine virt-{_AUTO}, where they are auto",
        "let vsmmu resolve pin them",
    ),
)  # fmt: skip

#: Every rule by its code.
RULES: Final[Mapping[str, Rule]] = MappingProxyType({rule.code: rule for rule in _TABLE})
