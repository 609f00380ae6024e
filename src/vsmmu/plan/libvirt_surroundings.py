# SPDX-License-Identifier: Apache-2.0
"""Surroundings of planned vSMMUs as libvirt elements: NUMA cells, distances, MMIO window, initiators."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vsmmu.machine.domain.document import DomainXml
from vsmmu.machine.domain.insertion import NewElement
from vsmmu.machine.domain.spans import apply
from vsmmu.machine.domain.surrounding_edits import (
    by_holder,
    cell,
    cell_splices,
    distance_splices,
    hole_splices,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vsmmu.plan.model import PlannedDistance, PlannedNode, PlannedPort
    from vsmmu.plan.surroundings import Surroundings

__all__ = ["acpi_elements", "cpu_elements", "with_surroundings"]


def cpu_elements(
    nodes: Sequence[PlannedNode], distances: Sequence[PlannedDistance] = ()
) -> tuple[NewElement, ...]:
    """``<cpu>`` with the nodes; none for no nodes."""
    cells = _cells(nodes, distances)
    return (NewElement("cpu", {}, (NewElement("numa", {}, cells),)),) if cells else ()


def acpi_elements(port: PlannedPort) -> tuple[NewElement, ...]:
    """What makes the function of a port the generic initiator of its nodes, which follow each other."""
    if not port.initiators:
        return ()
    first, last = port.initiators[0], port.initiators[-1]
    return (NewElement("acpi", {"nodeset": f"{first}-{last}" if last > first else f"{first}"}),)


def with_surroundings(domain: DomainXml, around: Surroundings) -> DomainXml:
    """The domain with new cells and a larger window; what it has of either is kept or changed in place."""
    given, new = domain.root, {node.id for node in around.nodes}
    far = _from(around.distances)
    splices = list(cell_splices(domain.data, given, _cells(around.nodes, around.distances)))
    kept = {node: values for node, values in far.items() if node not in new}
    splices += distance_splices(domain.data, given, kept)
    if around.window:
        splices += hole_splices(domain.data, given, around.window)
    return DomainXml(apply(domain.data, splices), domain.where) if splices else domain


def _cells(nodes: Sequence[PlannedNode], distances: Sequence[PlannedDistance]) -> tuple[NewElement, ...]:
    far = _from(distances)
    return tuple(cell(node.id, node.cpus, node.memory, far.get(node.id)) for node in nodes)


def _from(distances: Sequence[PlannedDistance]) -> dict[int, dict[int, int]]:
    return by_holder({(entry.source, entry.target): entry.value for entry in distances})
