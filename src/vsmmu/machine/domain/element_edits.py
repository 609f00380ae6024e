# SPDX-License-Identifier: Apache-2.0
"""Edits of a domain's elements besides ``<iommu>``: host devices, PCI controllers, features, root ports."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vsmmu.diagnostic import MACHINE, Edit, Insertion, spelled
from vsmmu.errors import Negative
from vsmmu.machine.domain.controllers import ROOT_PORT
from vsmmu.machine.domain.insertion import (
    ADDRESS_ORDER,
    NewElement,
    address,
    append,
    controller,
    insert_behind,
    remove,
    set_attributes,
)
from vsmmu.machine.domain.surrounding_edits import (
    by_holder,
    cell,
    cell_splices,
    distance_splices,
    hole_splices,
    nodeset_splices,
    window_bytes,
)
from vsmmu.machine.model import INITIATOR, WINDOW_OPTION
from vsmmu.machine.topology import ROOT_BUS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from vsmmu.diagnostic import Change, Written
    from vsmmu.machine.domain.elements import Element
    from vsmmu.machine.domain.reader import DomainReading
    from vsmmu.machine.domain.spans import Splice

__all__ = ["element_edits", "into_port"]

_DRIVER_ORDER: Final = ("name", "model", "iommufd")
#: Properties of a controller -> the attribute of its ``<target>``.
_TARGETS: Final[Mapping[str, str]] = {"bus_nr": "busNr", "chassis": "chassis"}
_TARGET_ORDER: Final = ("chassisNr", "chassis", "port", "busNr", "hotplug")
_SLOTS: Final = 32


def element_edits(data: bytes, reading: DomainReading, edits: Sequence[Change]) -> Iterator[Splice]:
    """The replacements for changes of anything but an SMMU.

    What libvirt makes of itself (objects, the order of devices) needs none.

    :raise Negative: ``not-editable``, for what domain XML cannot express.
    """
    ports = [edit for edit in edits if isinstance(edit, Insertion) and edit.option == "device"]
    first = max(reading.controllers, default=0) + 1
    names = {str(port.settings["id"]): first + count for count, port in enumerate(ports)}
    names |= {entry.name: index for index, entry in reading.controllers.items()}
    yield from _new_ports(data, reading, ports, names)
    yield from _new_nodes(data, reading, [edit for edit in edits if isinstance(edit, Insertion)])
    by_device: dict[int, dict[str, Written | None]] = {}
    for edit in edits:
        if isinstance(edit, Edit):
            by_device.setdefault(edit.device, {})[edit.property] = edit.value
    for name, value in by_device.pop(MACHINE, {}).items():
        yield from _machine(data, reading, name, value)
    for number, wanted in by_device.items():
        yield from _device(data, reading, number, wanted, names)


def into_port(data: bytes, element: Element, bus: int | None) -> Iterator[Splice]:
    """Let a host device use iommufd, and put it into the root port with this index (None: leave it there)."""
    driver, place = element.find("driver"), element.find("address")
    missing = []
    if driver is not None:
        yield from set_attributes(data, driver, {"iommufd": "yes"}, _DRIVER_ORDER)
    else:
        missing.append(NewElement("driver", {"iommufd": "yes"}))
    if bus is not None and place is not None:
        yield from set_attributes(data, place, address(bus), ADDRESS_ORDER)
    elif bus is not None:
        missing.append(NewElement("address", address(bus)))
    source = element.find("source")
    # libvirt's schema wants the address behind the source.
    if source is not None and missing:
        yield insert_behind(data, source, missing)
    elif missing:
        yield append(data, element, missing)


def _device(
    data: bytes,
    reading: DomainReading,
    number: int,
    wanted: Mapping[str, Written | None],
    names: Mapping[str, int],
) -> Iterator[Splice]:
    element = reading.elements[number]
    if element.start < 0:
        raise _refused(reading, number, next(iter(wanted)))
    rest = {name: value for name, value in wanted.items() if name != "addr"}
    if rest.pop("iommufd", None) is not None:
        bus = rest.pop("bus", None)
        yield from into_port(data, element, None if bus is None else names[str(bus)])
    elif "bus" in rest:
        yield from _onto(data, element, str(rest.pop("bus")), names)
    target = {_TARGETS[name]: spelled(rest.pop(name)) for name in _TARGETS if name in rest}
    if target:
        yield from _child(data, element, "target", target, _TARGET_ORDER)
    if (node := rest.pop("numa_node", None)) is not None:
        yield _near(data, element, NewElement("node", {}, text=spelled(node)))
    if rest.pop("multifunction", None):
        yield from _child(data, element, "address", {"multifunction": "on"}, ADDRESS_ORDER)
    for name in rest:
        raise _refused(reading, number, name)


def _onto(data: bytes, element: Element, bus: str, names: Mapping[str, int]) -> Iterator[Splice]:
    """Move a device; on the root complex libvirt finds the place."""
    place = element.find("address")
    if bus == ROOT_BUS:
        if place is not None:
            yield remove(data, place)
        return
    yield from _child(data, element, "address", address(names[bus]), ADDRESS_ORDER)


def _child(
    data: bytes, element: Element, name: str, values: Mapping[str, str], order: Sequence[str]
) -> Iterator[Splice]:
    child = element.find(name)
    if child is None:
        yield append(data, element, [NewElement(name, values)])
    else:
        yield from set_attributes(data, child, values, order)


def _near(data: bytes, expander: Element, node: NewElement) -> Splice:
    target = expander.find("target")
    return (
        append(data, expander, [NewElement("target", {}, (node,))])
        if target is None
        else append(data, target, [node])
    )


def _new_nodes(data: bytes, reading: DomainReading, new: Sequence[Insertion]) -> Iterator[Splice]:
    """Cells for new NUMA nodes, and nodes of generic initiators; memory of a node is bytes in ``mem``."""
    numa = [insertion.settings for insertion in new if insertion.option == "numa"]
    far = by_holder(
        {
            (int(entry["src"]), int(entry["dst"])): int(entry["val"])
            for entry in numa
            if entry["type"] == "dist"
        }
    )
    cells = [
        cell(
            node := int(entry["nodeid"]),
            str(entry.get("cpus", "")),
            int(entry.get("mem", 0)),
            far.pop(node, None),
        )
        for entry in numa
        if entry["type"] == "node"
    ]
    yield from cell_splices(data, reading.root, cells)
    yield from distance_splices(data, reading.root, far)
    by_device: dict[str, list[int]] = {}
    for insertion in new:
        if insertion.settings.get("qom-type") == INITIATOR:
            nodes = by_device.setdefault(str(insertion.settings["pci-dev"]), [])
            nodes.append(int(insertion.settings["node"]))
    for device in reading.machine.devices:
        if device.id in by_device:
            yield from nodeset_splices(data, reading.elements[device.number], by_device[device.id])


def _new_ports(
    data: bytes, reading: DomainReading, ports: Sequence[Insertion], names: Mapping[str, int]
) -> Iterator[Splice]:
    taken = {
        (entry.address.bus, entry.address.slot)
        for entry in reading.controllers.values()
        if entry.address is not None
    }
    elements = []
    for port in ports:
        if port.settings["driver"] != ROOT_PORT:
            raise _refused(reading, port.before, str(port.settings["driver"]))
        bus = names[str(port.settings["bus"])]
        slot = next(slot for slot in range(_SLOTS) if (bus, slot) not in taken)
        taken.add((bus, slot))
        place = NewElement("address", address(bus, slot))
        elements.append(controller(names[str(port.settings["id"])], ROOT_PORT, ROOT_PORT, place))
    last = max(
        (entry.element for entry in reading.controllers.values() if entry.element.start >= 0),
        key=lambda element: element.start,
        default=None,
    )
    if elements and last is not None:
        yield insert_behind(data, last, elements)


def _machine(data: bytes, reading: DomainReading, name: str, value: Written | None) -> Iterator[Splice]:
    root = reading.root
    if name == "iommu" and value is None:
        yield from (remove(data, entry.element) for entry in reading.iommus if not entry.pci_bus)
    elif name == WINDOW_OPTION and value:
        yield from hole_splices(data, root, window_bytes(spelled(value)))
    elif name == "acpi" and value:
        features = root.find("features")
        if features is not None:
            yield append(data, features, [NewElement("acpi", {})])
        else:
            yield _in_root(data, root, NewElement("features", {}, (NewElement("acpi", {}),)))
    elif name == "firmware" and value and (system := root.find("os")) is not None:
        yield from set_attributes(data, system, {"firmware": spelled(value)}, ("firmware",))
    else:
        raise _refused(reading, MACHINE, name)


def _in_root(data: bytes, root: Element, element: NewElement) -> Splice:
    """Put an element where libvirt writes features: behind ``<os>``."""
    system = root.find("os")
    return append(data, root, [element]) if system is None else insert_behind(data, system, [element])


def _refused(reading: DomainReading, number: int, name: str) -> Negative:
    where = "the machine" if number == MACHINE else reading.machine.devices[number].origin.place
    return Negative(
        "not-editable",
        f"{name} cannot be given to this device in domain XML",
        where=where,
        why="libvirt has no attribute for it, or makes the device of itself",
        next="only an <iommu model='smmuv3'> with pciBus has the properties of an SMMU",
    )
