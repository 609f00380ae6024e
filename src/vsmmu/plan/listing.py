# SPDX-License-Identifier: Apache-2.0
"""Functions of a host for VMs, with what they share: SMMU, root complex, IOMMU group, NUMA node."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from vsmmu.host.judgements import bridge, direct_mapped, generic_initiators
from vsmmu.host.mmio_window import spell_bars
from vsmmu.plan.selection import root_complex
from vsmmu.qemu.egm import region_of

if TYPE_CHECKING:
    from vsmmu.host.facts import Host, HostFunction

__all__ = ["ListedFunction", "Listing", "listing"]


class ListedFunction(msgspec.Struct, frozen=True):
    """One function behind an SMMU.

    :param root_complex: its PCI domain, which on Arm servers is a root complex.
    :param bars: sizes of its BARs above 4 GiB, ``≥`` where the facts say at least; empty where none is known.
    :param initiators: NUMA nodes for memory that it brings; None if that is not known.
    :param egm: the device of the EGM region that it can use; empty if none is known.
    :param physical_function: if it is a virtual one.
    :param virtual_functions: how many of its own are there; None if that is not known.
    :param obstacle: why no VM can have it; empty if nothing is known against it.
    """

    function: str
    label: str
    smmu: str
    root_complex: str
    iommu_group: int | None
    numa_node: int | None
    bars: tuple[str, ...]
    initiators: int | None
    egm: str
    physical_function: str | None
    virtual_functions: int | None
    obstacle: str


class Listing(msgspec.Struct, frozen=True, tag_field="schema", tag="vsmmu.functions/1"):
    """``vsmmu.functions/1``: what ``vsmmu plan --list`` shows."""

    host: str
    functions: tuple[ListedFunction, ...]


def listing(host: Host) -> Listing:
    """All functions behind SMMUs but bridges, those that share most beside each other."""
    found = [
        _listed(host, entry) for entry in host.functions if entry.smmu and bridge(entry).answer is not True
    ]
    return Listing(host.name, tuple(sorted(found, key=lambda entry: (entry.smmu, entry.function))))


def _listed(host: Host, function: HostFunction) -> ListedFunction:
    fixed, region = direct_mapped(function), region_of(host, function.address)
    return ListedFunction(
        function.address,
        function.label,
        function.smmu or "",
        root_complex(function),
        function.iommu_group,
        function.numa_node,
        spell_bars(function),
        generic_initiators(host, function).interval.exact,
        region.path if region is not None else "",
        function.physical_function,
        function.virtual_functions,
        f"mapped 1:1: {fixed.why}" if fixed.answer else "",
    )
