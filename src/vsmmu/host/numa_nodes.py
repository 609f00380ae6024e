# SPDX-License-Identifier: Apache-2.0
"""NUMA nodes of a host and their distances, as /sys/devices/system/node has them.

Annotations are objects here, not text that msgspec would compile at each start.
"""

from typing import TYPE_CHECKING, Annotated, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Container

__all__ = ["NumaNode", "nodes_fault"]

Distance = Annotated[int, msgspec.Meta(ge=10, le=255)]
Number = Annotated[int, msgspec.Meta(ge=0, le=1023)]
_LOCAL: Final = 10


class NumaNode(msgspec.Struct, frozen=True, omit_defaults=True):
    """A NUMA node of the host.

    ``generic_initiator`` is true where it is kept for memory that a function brings; such a node has neither
    CPUs nor, before that function's driver is at work, memory. ``distances`` are those to all nodes of the
    host, in their order; 10 is the node itself.
    """

    id: Number
    cpus: bool = False
    memory: bool = False
    generic_initiator: bool = False
    distances: tuple[Distance, ...] = ()
    evidence: str = ""


def nodes_fault(nodes: tuple[NumaNode, ...] | msgspec.UnsetType, evidence: "Container[str]") -> str:
    """What is wrong with the nodes of a host beyond their members' forms; empty if nothing.

    :param evidence: the keys that the host's evidence has.
    """
    known = () if nodes is msgspec.UNSET else nodes
    if len({node.id for node in known}) < len(known):
        return "a NUMA node is listed twice"
    for number, node in enumerate(known):
        if node.distances and (len(node.distances) != len(known) or node.distances[number] != _LOCAL):
            return f"the distances of NUMA node {node.id} are not those to each node"
        if node.evidence and node.evidence not in evidence:
            return f"NUMA node {node.id} names the evidence {node.evidence!r:.40}, which is not listed"
    return ""
