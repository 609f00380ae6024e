# SPDX-License-Identifier: Apache-2.0
"""Surroundings of planned vSMMUs as libvirt elements: ``<cell>`` of the guest's NUMA nodes, ``<pcihole64>``.

libvirt 12.8 makes ``-numa node`` of each cell (without ``memdev`` for one without memory) and
``highmem-mmio-size`` of ``<pcihole64>`` [measured: domxml-to-native].
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vsmmu.machine.domain.document import DomainXml
from vsmmu.machine.domain.insertion import NewElement, append, insert_behind
from vsmmu.machine.domain.spans import Splice, apply, extent_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vsmmu.machine.domain.elements import Element
    from vsmmu.plan.model import PlannedNode, PlannedPort
    from vsmmu.plan.surroundings import Surroundings

__all__ = ["acpi_elements", "cpu_elements", "root_controller", "with_surroundings"]

_KIB_BITS = 10
#: Elements of a domain that its schema has before ``<cpu>``, in no particular order.
_BEFORE_CPU = ("features", "os", "vcpu", "memory", "uuid", "name")


def cpu_elements(nodes: Sequence[PlannedNode]) -> tuple[NewElement, ...]:
    """``<cpu>`` with the nodes; none for no nodes."""
    cells = tuple(_cell(node) for node in nodes)
    return (NewElement("cpu", {}, (NewElement("numa", {}, cells),)),) if cells else ()


def root_controller(window: int) -> tuple[NewElement, ...]:
    """The board's root complex with this MMIO window, in bytes; none for 0."""
    if not window:
        return ()
    attributes = {"type": "pci", "index": "0", "model": "pcie-root"}
    return (NewElement("controller", attributes, (_hole(window),)),)


def acpi_elements(port: PlannedPort) -> tuple[NewElement, ...]:
    """What makes the function of a port the generic initiator of its nodes, which follow each other."""
    if not port.initiators:
        return ()
    first, last = port.initiators[0], port.initiators[-1]
    return (NewElement("acpi", {"nodeset": f"{first}-{last}" if last > first else f"{first}"}),)


def with_surroundings(domain: DomainXml, around: Surroundings) -> DomainXml:
    """The domain with new cells and a larger window; what it has of either is kept or changed in place."""
    splices = [*_nodes(domain, around.nodes), *_window(domain, around.window)]
    return DomainXml(apply(domain.data, splices), domain.where) if splices else domain


def _nodes(domain: DomainXml, nodes: Sequence[PlannedNode]) -> Iterator[Splice]:
    cells = [_cell(node) for node in nodes]
    cpu = domain.root.find("cpu")
    numa = domain.root.find("cpu/numa")
    if not cells:
        return
    if numa is not None:
        yield append(domain.data, numa, cells)
    elif cpu is not None:
        yield append(domain.data, cpu, [NewElement("numa", {}, tuple(cells))])
    else:
        before = next(found for name in _BEFORE_CPU if (found := domain.root.find(name)) is not None)
        yield insert_behind(domain.data, before, cpu_elements(nodes))


def _window(domain: DomainXml, window: int) -> Iterator[Splice]:
    if not window:
        return
    devices = domain.root.find("devices")
    root = next(
        (one for one in domain.root.all("devices/controller") if one.get("model") == "pcie-root"), None
    )
    hole = root.find("pcihole64") if root is not None else None
    if hole is not None:
        yield _replaced(domain.data, hole, _hole(window))
    elif root is not None:
        yield append(domain.data, root, [_hole(window)])
    elif devices is not None:
        yield append(domain.data, devices, root_controller(window))


def _replaced(data: bytes, element: Element, new: NewElement) -> Splice:
    extent = extent_of(data, element)
    return Splice(extent.start, extent.end, "".join(new.lines()).encode())


def _cell(node: PlannedNode) -> NewElement:
    size = {"memory": str(node.memory >> _KIB_BITS), "unit": "KiB"}
    return NewElement("cell", {"id": str(node.id), **({"cpus": node.cpus} if node.cpus else {}), **size})


def _hole(window: int) -> NewElement:
    return NewElement("pcihole64", {"unit": "KiB"}, text=str(window >> _KIB_BITS))
