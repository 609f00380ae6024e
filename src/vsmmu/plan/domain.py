# SPDX-License-Identifier: Apache-2.0
"""Add planned vSMMUs to a libvirt domain: its indexes, its NUMA nodes, new elements, moved host devices."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vsmmu.machine.domain.document import DomainXml
from vsmmu.machine.domain.element_edits import into_port
from vsmmu.machine.domain.insertion import NewElement, append
from vsmmu.machine.domain.spans import Splice, apply, extent_of
from vsmmu.plan.libvirt import hostdev_elements, indexed, topology_elements

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vsmmu.machine.domain.reader import HostDevice
    from vsmmu.plan.model import PlannedVsmmu

__all__ = ["device_names", "next_index", "with_host_devices", "with_moved", "without"]


def next_index(domain: DomainXml) -> int:
    """The index for the first new PCI controller: above libvirt's own root ports, which are among them."""
    return max(domain.reading.controllers, default=0) + 1


def with_host_devices(domain: DomainXml, vsmmus: Sequence[PlannedVsmmu]) -> DomainXml:
    """The domain with planned vSMMUs, their ports, and a new ``<hostdev>`` for each function."""
    entries = indexed(vsmmus, next_index(domain))
    return _appended(domain, [*topology_elements(entries), *hostdev_elements(entries)], [])


def without(domain: DomainXml, devices: Sequence[HostDevice]) -> DomainXml:
    """The domain without some of its host devices."""
    extents = [extent_of(domain.data, device.element) for device in devices]
    return DomainXml(
        apply(domain.data, [Splice(extent.start, extent.end, b"") for extent in extents]), domain.where
    )


def with_moved(
    domain: DomainXml, devices: Sequence[HostDevice], vsmmus: Sequence[PlannedVsmmu], first_index: int
) -> DomainXml:
    """The domain with planned vSMMUs and their ports, and host devices that it has moved into them.

    :param devices: the host devices of the functions that the vSMMUs were planned for.
    """
    entries = indexed(vsmmus, first_index)
    bus_of = {port.function: bus for entry in entries for port, bus in entry.ports}
    moves = [
        splice
        for device in devices
        for splice in into_port(domain.data, device.element, bus_of[device.source])
    ]
    grown = _appended(domain, topology_elements(entries), moves)
    _verify(domain, grown, {device.element.start for device in devices}, bus_of)
    return grown


def device_names(domain: DomainXml, vsmmus: Sequence[PlannedVsmmu], first_index: int) -> list[str]:
    """How planned vSMMUs are called in the domain that has them, as the resolution names them."""
    by_bus = {iommu.pci_bus: number for number, iommu in domain.reading.pluggable.items()}
    devices = domain.machine().devices
    return [devices[by_bus[str(entry.pci_bus)]].name for entry in indexed(vsmmus, first_index)]


def _appended(domain: DomainXml, elements: Sequence[NewElement], splices: Sequence[Splice]) -> DomainXml:
    devices = domain.root.find("devices")
    if devices is None:
        new = append(domain.data, domain.root, [NewElement("devices", {}, tuple(elements))])
    else:
        new = append(domain.data, devices, elements)
    return DomainXml(apply(domain.data, [*splices, new]), domain.where)


def _verify(before: DomainXml, after: DomainXml, moved: set[int], bus_of: dict[str, int]) -> None:
    """Hold the result against what was meant: the same host devices, the moved ones on their ports."""
    for old, new in zip(before.reading.hostdevs, after.reading.hostdevs, strict=True):
        bus = None if new.address is None else new.address.bus
        wrong = bus != bus_of[old.source] if old.element.start in moved else new.address != old.address
        if wrong or old.source != new.source:
            raise RuntimeError("host devices were moved in another way than meant")
