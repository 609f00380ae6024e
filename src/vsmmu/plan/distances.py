# SPDX-License-Identifier: Apache-2.0
"""Distances between the guest's NUMA nodes, where each stands for nodes of the host with known distances.

QEMU wants a distance for each pair of nodes or for none, and both directions of all pairs if those of one
differ.
"""

from __future__ import annotations

from itertools import permutations
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from vsmmu.plan.model import PlannedDistance

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from vsmmu.host.facts import Host
    from vsmmu.host.numa_nodes import NumaNode
    from vsmmu.plan.numa import GuestNode

__all__ = ["Place", "distance", "guest_distances"]


class Place(NamedTuple):
    """What a node of a guest stands for: a node of the host, or one for memory of a function near to it.

    :param initiator: whether it is for memory of a function.
    """

    node: int
    initiator: bool = False


def guest_distances(
    host: Host, nodes: Mapping[int, GuestNode], brought: Iterable[tuple[str, Iterable[int]]]
) -> tuple[PlannedDistance, ...]:
    """The distances to write; none if one is not known.

    :param nodes: the NUMA nodes that the VM has.
    :param brought: functions by address, each with its nodes for memory that it brings.
    """
    if not nodes:  # node 0 is the whole VM, wherever its memory is
        return ()
    places = {number: None if node.host is None else Place(node.host) for number, node in nodes.items()}
    written = {pair for node, entry in nodes.items() for pair in ((node, other) for other in entry.measured)}
    for address, own in brought:
        function = host.function(address)
        near = None if function is None else function.numa_node
        places |= dict.fromkeys(own, None if near is None else Place(near, initiator=True))
    found: dict[tuple[int, int], int] = {}
    for one, other in permutations(places, 2):
        if (one, other) in written or (other, one) in written:
            continue
        start, end = places[one], places[other]
        value = None if start is None or end is None else distance(host, start, end)
        if value is None:
            return ()
        found[one, other] = value
    symmetric = all(found[other, one] == value for (one, other), value in found.items())
    return tuple(
        PlannedDistance(one, other, value)
        for (one, other), value in sorted(found.items())
        if one < other or not symmetric
    )


def distance(host: Host, one: Place, other: Place) -> int | None:
    """From one place to another; None where it is not known, or not the same for all nodes that it may be.

    Which nodes belong to which function is not known: of those for memory of functions, all count that are
    nearer to the function's own node than to another one with CPUs.
    """
    first, second = list(_nodes(host, one)), list(_nodes(host, other))
    found = {
        start.distances[end] if start.distances else None
        for _, start in first
        for end, target in second
        if start is not target or (one == other and not one.initiator)
    }
    return found.pop() if len(found) == 1 else None


def _nodes(host: Host, place: Place) -> Iterator[tuple[int, NumaNode]]:
    """The nodes that a place may be, each with its position."""
    nodes = () if host.numa_nodes is msgspec.UNSET else host.numa_nodes
    with_cpus = {number: node.id for number, node in enumerate(nodes) if node.cpus}
    for number, node in enumerate(nodes):
        if not place.initiator and node.id == place.node:
            yield number, node
        if place.initiator and node.generic_initiator and node.distances:
            near = min(node.distances[other] for other in with_cpus) if with_cpus else 0
            if [with_cpus[other] for other in with_cpus if node.distances[other] == near] == [place.node]:
                yield number, node
