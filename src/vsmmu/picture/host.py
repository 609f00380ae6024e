# SPDX-License-Identifier: Apache-2.0
"""A host as a picture: sockets, SMMUs on them, functions behind them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vsmmu.host.judgements import direct_mapped, nesting_behind
from vsmmu.host.mmio_window import spell_bars
from vsmmu.pci import class_name
from vsmmu.picture.box import Box, Picture
from vsmmu.smmuv3.properties import REGISTER_PROPERTIES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from vsmmu.host.facts import Host, HostFunction, HostSmmu
    from vsmmu.picture.box import Mark

__all__ = ["function_lines", "host_picture", "made_up_lines", "smmu_boxes"]

#: Evidence from the best to the worst: the worst of a box's values is its mark.
_WORSE: Final[tuple[Mark, ...]] = ("measured", "published", "inferred", "unknown")


def host_picture(host: Host) -> Picture:
    """The host with everything that is known to sit on it; functions without an SMMU come last."""
    places = smmu_boxes(host, host.smmus, host.functions)
    outside = tuple(_function(function) for function in host.functions if function.smmu is None)
    if outside:
        places = (*places, Box("behind no SMMUv3", inside=outside, shade="open"))
    title = (host.title,) if host.title else ()
    return Picture((Box(host.name, title, places, "place"),), notes=made_up_lines(host))


def made_up_lines(host: Host) -> tuple[str, ...]:
    """What of a host that serves as an example was made up."""
    return tuple(f"made up: {text}" for text in host.synthetic)


def smmu_boxes(host: Host, smmus: Sequence[HostSmmu], functions: Sequence[HostFunction]) -> tuple[Box, ...]:
    """SMMUs with those of the functions that are behind them; those on several NUMA nodes by node.

    The key of an SMMU's box is its name.
    """
    nodes = dict.fromkeys(smmu.numa_node for smmu in smmus)
    boxes = {smmu.name: _smmu(host, smmu, [e for e in functions if e.smmu == smmu.name]) for smmu in smmus}
    if len(nodes) <= 1:
        return tuple(boxes.values())
    return tuple(
        Box(
            "no NUMA node known" if node is None else f"NUMA node {node}",
            inside=tuple(boxes[smmu.name] for smmu in smmus if smmu.numa_node == node),
            shade="place",
        )
        for node in nodes
    )


def function_lines(function: HostFunction) -> tuple[str, ...]:
    """What a function is: its name or class, ids, and the sizes of its memory BARs above 4 GiB."""
    ids = f"{function.vendor}:{function.device}" if function.vendor and function.device else ""
    bars = spell_bars(function)
    lines = (
        function.label or class_name(function.class_code or ""),
        ids,
        f"BARs {', '.join(bars)}" if bars else "",
    )
    return tuple(line for line in lines if line)


def _smmu(host: Host, smmu: HostSmmu, functions: Iterable[HostFunction]) -> Box:
    offers = " ".join(
        f"{entry.name}={host.read_field(smmu, entry.source).spell(entry.spell_code)}"
        for entry in REGISTER_PROPERTIES
    )
    return Box(
        smmu.name, (offers,), tuple(_root_complexes(functions)), "strong", _mark(host, smmu), smmu.name
    )


def _mark(host: Host, smmu: HostSmmu) -> Mark:
    """That no vSMMU can stand for it, else how the least certain of its values is known."""
    if nesting_behind(host, smmu).answer is False:
        return "refused"
    kinds = {host.read_field(smmu, entry.source).evidence.kind for entry in REGISTER_PROPERTIES}
    return max(kinds, key=_WORSE.index)


def _root_complexes(functions: Iterable[HostFunction]) -> Iterator[Box]:
    """One box for each PCI domain behind an SMMU: on Arm servers a domain is a root complex."""
    domains: dict[str, list[HostFunction]] = {}
    for function in functions:
        domains.setdefault(function.address.partition(":")[0], []).append(function)
    for domain, members in domains.items():
        yield Box(f"PCI domain {domain}", inside=tuple(_function(member) for member in members))


def _function(function: HostFunction) -> Box:
    fixed = bool(direct_mapped(function).answer)
    lines = (*function_lines(function), function.driver, "mapped 1:1: for no VM" if fixed else "")
    return Box(function.address, tuple(line for line in lines if line), shade="open" if fixed else "plain")
