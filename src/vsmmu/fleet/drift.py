# SPDX-License-Identifier: Apache-2.0
"""Differences of one host between two dates: kernel, SMMUs, register fields, functions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vsmmu.fleet.documents import Change
from vsmmu.smmuv3.fields import FIELDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vsmmu.host.facts import Host, HostFunction, HostSmmu

__all__ = ["changes_of"]

_SMMU_FACTS: Final = ("hw_info_type", "hw_info_flags", "cmdqv", "coherent", "nesting")
_FUNCTION_FACTS: Final = (
    "cxl_cache", "ats_capability", "ats_not_supported", "root_complex_ats", "canwbs", "pasid_capability",
    "max_pasid_log2",
)  # fmt: skip
_FUNCTION_TEXTS: Final = ("smmu", "driver", "label", "vendor", "device")


def changes_of(before: Host, after: Host) -> Iterator[Change]:
    """Every difference that can bear on a VM, in the order of the facts.

    Dates, boot ids and the wording of evidence are no difference.
    """
    yield from _differ("", "kernel", before.kernel.release, after.kernel.release)
    ours, theirs = {smmu.name: smmu for smmu in before.smmus}, {smmu.name: smmu for smmu in after.smmus}
    for name in dict.fromkeys([*ours, *theirs]):
        if name in ours and name in theirs:
            yield from _smmu(before, ours[name], after, theirs[name])
        else:
            yield Change(name, "SMMU", "there" if name in ours else "", "there" if name in theirs else "")
    functions = {entry.address: entry for entry in before.functions}
    others = {entry.address: entry for entry in after.functions}
    for address in dict.fromkeys([*functions, *others]):
        if address in functions and address in others:
            yield from _function(before, functions[address], after, others[address])
        else:
            there = ("there" if address in functions else "", "there" if address in others else "")
            yield Change(address, "function", *there)


def _smmu(before: Host, old: HostSmmu, after: Host, new: HostSmmu) -> Iterator[Change]:
    for key in FIELDS:
        readings = before.read_field(old, key), after.read_field(new, key)
        spell = FIELDS[key].spell
        yield from _differ(old.name, key, readings[0].spell(spell), readings[1].spell(spell))
    for name in _SMMU_FACTS:
        readings = (
            before.read(getattr(old, name), name, _MOST),
            after.read(getattr(new, name), name, _MOST),
        )
        yield from _differ(old.name, name, readings[0].spell(), readings[1].spell())


def _function(before: Host, old: HostFunction, after: Host, new: HostFunction) -> Iterator[Change]:
    for name in _FUNCTION_TEXTS:
        yield from _differ(old.address, name, getattr(old, name) or "", getattr(new, name) or "")
    for name in _FUNCTION_FACTS:
        readings = (
            before.read(getattr(old, name), name, _MOST),
            after.read(getattr(new, name), name, _MOST),
        )
        yield from _differ(old.address, name, readings[0].spell(), readings[1].spell())


def _differ(where: str, what: str, before: str, after: str) -> Iterator[Change]:
    if before != after:
        yield Change(where, what, before, after)


_MOST: Final = 0xFFFFFFFF
