# SPDX-License-Identifier: Apache-2.0
"""A libvirt domain as the target of a plan: used numbers, NUMA nodes, next free index."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vsmmu.machine.domain.document import DomainXml

__all__ = ["domain_nodes", "next_index"]


def next_index(domain: DomainXml) -> int:
    """The index for the first new PCI controller: libvirt fills gaps with ports of its own."""
    return max(domain.reading.controllers, default=0) + 1


def domain_nodes(domain: DomainXml) -> dict[int, int | None]:
    """The guest's NUMA nodes, each with the one host node that its memory is bound to; None if to none.

    From ``<cpu><numa><cell id=''/>`` and ``<numatune><memnode cellid='' nodeset=''/>``.
    """
    bound = {entry.get("cellid"): entry.get("nodeset") for entry in domain.root.all("numatune/memnode")}
    nodes: dict[int, int | None] = {}
    for position, cell in enumerate(domain.root.all("cpu/numa/cell")):
        name = cell.get("id") or str(position)
        nodeset = bound.get(name, "")
        if name.isdecimal():
            nodes[int(name)] = int(nodeset) if nodeset.isdecimal() else None
    return nodes
