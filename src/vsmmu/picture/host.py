# SPDX-License-Identifier: Apache-2.0
"""A host as boxes: sockets, SMMUs on them, functions behind them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vsmmu.host.judgements import direct_mapped, nesting_behind
from vsmmu.picture.box import Box
from vsmmu.smmuv3.properties import REGISTER_PROPERTIES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from vsmmu.host.facts import Host, HostFunction, HostSmmu
    from vsmmu.picture.box import Mark

__all__ = ["host_box", "made_up_lines"]

#: Evidence from the best to the worst: the worst of a box's values is its mark.
_WORSE: Final[tuple[Mark, ...]] = ("measured", "published", "inferred", "unknown")


def host_box(host: Host) -> Box:
    """The host with everything that is known to sit on it; functions without an SMMU come last."""
    nodes = dict.fromkeys(smmu.numa_node for smmu in host.smmus)
    if len(nodes) > 1:
        places = [
            Box(
                "no NUMA node known" if node is None else f"NUMA node {node}",
                inside=tuple(_smmu(host, smmu) for smmu in host.smmus if smmu.numa_node == node),
                shade="place",
            )
            for node in nodes
        ]
    else:
        places = [_smmu(host, smmu) for smmu in host.smmus]
    outside = tuple(_function(function) for function in host.functions if function.smmu is None)
    if outside:
        places.append(Box("behind no SMMUv3", inside=outside, shade="open"))
    title = (host.title,) if host.title else ()
    return Box(host.name, title, tuple(places), "place", notes=made_up_lines(host))


def made_up_lines(host: Host) -> tuple[str, ...]:
    """What of a host that serves as an example was made up."""
    return tuple(f"made up: {text}" for text in host.synthetic)


def _smmu(host: Host, smmu: HostSmmu) -> Box:
    offers = " ".join(
        f"{entry.name}={host.read_field(smmu, entry.source).spell(entry.spell_code)}"
        for entry in REGISTER_PROPERTIES
    )
    inside = tuple(_root_complexes(host.behind(smmu)))
    return Box(smmu.name, (offers,), inside, "strong", _mark(host, smmu))


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
    ids = f"{function.vendor}:{function.device}" if function.vendor and function.device else ""
    fixed = bool(direct_mapped(function).answer)
    lines = [
        " ".join(part for part in (ids, function.label) if part),
        function.driver,
        "mapped 1:1: for no VM" if fixed else "",
    ]
    return Box(function.address, tuple(line for line in lines if line), shade="open" if fixed else "plain")
