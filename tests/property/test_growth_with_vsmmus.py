# SPDX-License-Identifier: Apache-2.0
"""Every verb's work grows as the number of vSMMUs does, not as its square; counted in steps, not in time."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pytest

import vsmmu
from domains import domain
from examples import Q11_1, function, host, smmu
from steps import steps
from vsmmu.libvirt.lint import lint
from vsmmu.machine.command_line.argv import read_words
from vsmmu.machine.domain.document import read_domain_xml
from vsmmu.policy.alternatives import with_alternatives
from vsmmu.policy.options import Options
from vsmmu.policy.resolver import resolve

if TYPE_CHECKING:
    from collections.abc import Callable

    from vsmmu.machine.vm import Vm

HOST = host(
    *(smmu(f"s{n}", ril=0) for n in range(64)), *(function(f"{n:04x}:01:00.0", f"s{n}") for n in range(64))
)
#: Four times as many may be this much more work than four times: what is done once is done for few, too.
ROOM = 1.25


def line(
    count: int,
    *,
    smmu: str = "accel=on",
    port: str = "",
    vfio: str = "iommufd=i0",
    bus: str = "rp{n}",
    number: str = "",
    order: str = "psrv",
) -> Vm:
    """So many vSMMUs, each with a port and a function; with a fault in each, if one is written.

    :param order: in which expander (``p``), vSMMU, root port and function are made; some may be left out.
    """
    words = "qemu-system-aarch64 -M virt -accel kvm -cpu host -bios f -nodefaults -object iommufd,id=i0"
    for n in range(count):
        parts = {
            "p": f" -device pxb-pcie,id=p{n},bus_nr={number or 4 * n + 2},bus=pcie.0",
            "s": f" -device arm-smmuv3,primary-bus=p{n},id=v{n},{smmu}",
            "r": f" -device pcie-root-port,id=rp{n},bus=p{n},chassis={port or n + 1}",
            "v": f" -device vfio-pci,host={n:04x}:01:00.0,bus={bus.format(n=n)},{vfio}",
        }
        words += "".join(parts[part] for part in order)
    return read_words(words.split())


class Verb(NamedTuple):
    """A verb, and the VM that it is asked about."""

    asked: Callable[[Vm], object]
    faults: dict[str, str]


def explain(vm: Vm) -> object:
    return with_alternatives(resolve(vm, HOST, Q11_1), vm.machine(), HOST, Q11_1, Options())


def mended(vm: Vm) -> object:
    mending = vsmmu.fix(vm, HOST, qemu=Q11_1, unpin=("ril", "ssidsize"))
    assert mending.applied
    return mending


VERBS = {
    "resolve": Verb(lambda vm: resolve(vm, HOST, Q11_1), {}),
    "check": Verb(lambda vm: vsmmu.check(vm, HOST, qemu=Q11_1), {}),
    "explain": Verb(explain, {}),
    "check, a value in each": Verb(lambda vm: vsmmu.check(vm, HOST, qemu=Q11_1), {"smmu": "accel=on,ril=on"}),
    "explain, a value in each": Verb(explain, {"smmu": "accel=on,ril=on"}),
    "fix, values in each": Verb(mended, {"smmu": "accel=on,ril=on,ssidsize=20"}),
    "fix, accel in none": Verb(mended, {"smmu": "ril=off"}),
    "fix, iommufd in none": Verb(mended, {"vfio": "x-no-mmap=on"}),
    "fix, one chassis": Verb(mended, {"port": "3"}),
    "fix, one bus number": Verb(mended, {"number": "3"}),
    "fix, no ports": Verb(mended, {"order": "psv", "bus": "p{n}"}),
    "fix, functions before vSMMUs": Verb(mended, {"order": "prvs"}),
    "fix, vSMMUs before expanders": Verb(mended, {"order": "sprv"}),
    "fix, functions before ports": Verb(mended, {"order": "psvr"}),
}


@pytest.mark.parametrize("name", VERBS)
def test_a_verbs_work_is_linear_in_vsmmus(name: str) -> None:
    verb = VERBS[name]
    few, many = (line(count, **verb.faults) for count in (4, 16))
    verb.asked(line(2, **verb.faults))  # tables are loaded once
    assert steps(lambda: verb.asked(many)) < 4 * ROOM * steps(lambda: verb.asked(few))


IOMMUS = {
    "right": "<iommu model='smmuv3'><driver pciBus='1' accel='on'/></iommu>",
    "no such bus": "<iommu model='smmuv3'><driver pciBus='99' accel='on' ril='on'/></iommu>",
    "drafts": "<iommu model='smmuv3Dev'><driver pciBus='1' accel='on' ssidSize='3' oas='auto'/></iommu>",
}


@pytest.mark.parametrize("name", IOMMUS)
@pytest.mark.parametrize("verb", ["lint", "check", "resolve"])
def test_a_domains_work_is_linear_in_vsmmus(name: str, verb: str) -> None:
    def asked(count: int) -> int:
        vm = read_domain_xml(domain(iommu="\n".join([IOMMUS[name]] * count)), "vm.xml")
        vm.machine()
        verbs: dict[str, Callable[[], object]] = {
            "lint": lambda: lint(vm.reading),
            "check": lambda: vsmmu.check(vm, HOST, qemu=Q11_1),
            "resolve": lambda: resolve(vm, HOST, Q11_1),
        }
        return steps(verbs[verb])

    asked(2)
    assert asked(96) < 4 * ROOM * asked(24)
