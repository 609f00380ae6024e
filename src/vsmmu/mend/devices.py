# SPDX-License-Identifier: Apache-2.0
"""Ways to mend what QEMU refuses of devices and their places: order, ports, bus numbers, slots, iommufd."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

from vsmmu.diagnostic import MACHINE, Edit, Insertion, Reordering
from vsmmu.machine.bus_numbers import Range, bus_count
from vsmmu.machine.drivers import HOST_BRIDGES, is_bridge, is_vfio
from vsmmu.machine.topology import ROOT_BUS
from vsmmu.mend.fault import Way, on_bus
from vsmmu.plan.numbers import place
from vsmmu.qemu.slot_address import FUNCTIONS, read_address

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vsmmu.machine.model import Device
    from vsmmu.mend.fault import VmFault

__all__ = [
    "bus_first",
    "bus_number",
    "chassis",
    "emulated",
    "expander_first",
    "expander_on_root",
    "first_function",
    "id_for_fd",
    "iommufd",
    "iommufd_object",
    "own_function",
    "port",
    "vsmmu_first",
]


def iommufd(fault: VmFault) -> Iterator[Way]:
    """A function without an iommufd backend."""
    if (device := fault.device) is not None and is_vfio(device.driver):
        yield Way(f"let {device.name} use iommufd", fault.iommufd(device))


def iommufd_object(fault: VmFault) -> Iterator[Way]:
    """``iommufd=`` that names no object."""
    device = fault.device
    if device is None or not is_vfio(device.driver):
        return
    name = device.text("iommufd").removeprefix("/objects/")
    objects = [entry.id for entry in fault.setting.machine.objects if entry.qom_type == "iommufd"]
    new = Insertion("object", {"qom-type": "iommufd", "id": name}, device.number)
    yield Way(f"add -object iommufd,id={name}", (new,))
    for other in objects:
        yield Way(f"write iommufd={other}", (Edit(device.number, "iommufd", other),))


def id_for_fd(fault: VmFault) -> Iterator[Way]:
    """``fd=`` on a device without an id."""
    if (device := fault.device) is not None:
        name = fault.setting.names.take("vfio", 0)
        yield Way(f"give it the id {name}", (Edit(device.number, "id", name),))


def port(fault: VmFault) -> Iterator[Way]:
    """An endpoint on an expander's own bus."""
    device, bus = fault.device, fault.bus
    if device is None or bus is None or device.driver in HOST_BRIDGES:
        return
    accelerated = fault.setting.is_accelerated(fault.setting.vsmmu_of(device))
    if accelerated and not is_vfio(device.driver):
        yield _to_root(device)
        return
    name = fault.setting.names.take("rp", 1)
    number = next(fault.setting.chassis, 0)
    settings: dict[str, str | int] = {
        "driver": "pcie-root-port",
        "id": name,
        "bus": bus.name,
        "chassis": number,
    }
    behind = Way(
        f"put it behind a pcie-root-port on {bus.name}",
        (Insertion("device", settings, device.number), *on_bus(device, name)),
    )
    yield behind
    if "bus" not in device.properties and not accelerated:
        yield _to_root(device)


def emulated(fault: VmFault) -> Iterator[Way]:
    """An emulated endpoint behind an accelerated vSMMU."""
    device, bus = fault.device, fault.bus
    if device is not None and bus is not None and bus.root != ROOT_BUS:
        yield _to_root(device)
    if device is None:  # the board makes it before any device
        yield Way(
            "take that card away (-nodefaults or -nic none), and give the VM one by -netdev and -device, "
            "behind a root complex without accelerated SMMU"
        )


def _to_root(device: Device) -> Way:
    return Way(f"put it on {ROOT_BUS}", tuple(on_bus(device, ROOT_BUS)))


def vsmmu_first(fault: VmFault) -> Iterator[Way]:
    """An endpoint that is made before the vSMMU that it sits behind."""
    device = fault.device
    vsmmu = None if device is None else fault.setting.vsmmu_of(device)
    bus = None if vsmmu is None else fault.setting.topology.primary_bus_of(vsmmu)
    if vsmmu is not None and bus is not None:
        text = f"make {vsmmu.name} before everything behind it"
        yield Way(text, (Reordering(vsmmu.number, bus.owner),))


def expander_first(fault: VmFault) -> Iterator[Way]:
    """A vSMMU that is made before its root complex."""
    vsmmu = fault.device
    maker = None if vsmmu is None else fault.setting.maker_of(vsmmu.text("primary-bus"))
    if vsmmu is None or maker is None or maker.driver not in HOST_BRIDGES:
        return
    if maker.number > vsmmu.number:
        yield Way(f"make it right behind {maker.name}", (Reordering(vsmmu.number, maker.number),))


def bus_first(fault: VmFault) -> Iterator[Way]:
    """A device that is made before its bus."""
    device = fault.device
    maker = None if device is None else fault.setting.maker_of(device.text("bus"))
    if device is None or maker is None or not is_bridge(maker.driver):
        return
    if maker.number > device.number:
        yield Way(f"make it behind {maker.name}", (Reordering(device.number, maker.number),))


def bus_number(fault: VmFault) -> Iterator[Way]:
    """An expander with a bus number that is taken, or without room for the buses behind it."""
    setting, device = fault.setting, fault.device
    ranges = dict(setting.bus_ranges)
    if device is None and fault.found.where == ROOT_BUS:  # the board's own range cannot move
        inside = [owner for owner, own in ranges.items() if owner >= 0 and own.first <= ranges[MACHINE].last]
        device = setting.machine.devices[inside[0]] if inside else None
    if device is None or device.number not in ranges:
        return
    if len(ranges) > bus_count(setting.machine):
        return  # each needs one
    own = ranges.pop(device.number)
    width = own.last - own.first + 1
    given = setting.bus_ranges_given
    # Away from those that other faults are given, and with room to grow, as far as there is any.
    for taken, reserve in product((given, ()), (max(1, width - 1), 0)):
        starts = place([width + reserve], (*ranges.values(), *taken), bus_count(setting.machine))
        if starts is not None:
            number = starts[0]
            given.append(Range(number, number + width + reserve - 1))
            yield Way(f"give {device.name} bus_nr={number}", (Edit(device.number, "bus_nr", number),))
            return


def chassis(fault: VmFault) -> Iterator[Way]:
    """A port with the chassis number of another one."""
    device, number = fault.device, next(fault.setting.chassis, 0)
    if device is not None and number:
        yield Way(f"give it chassis={number}", (Edit(device.number, "chassis", number),))


def expander_on_root(fault: VmFault) -> Iterator[Way]:
    """An expander that is not on the board's root complex."""
    if (device := fault.device) is not None:
        yield _to_root(device)


def own_function(fault: VmFault) -> Iterator[Way]:
    """Function 0 without ``multifunction`` in a slot with others."""
    if (device := fault.device) is not None:
        yield Way("write multifunction=on", (Edit(device.number, "multifunction", True),))


def first_function(fault: VmFault) -> Iterator[Way]:
    """Another function of a slot whose function 0 has no ``multifunction``."""
    device, bus, setting = fault.device, fault.bus, fault.setting
    if device is None or bus is None:
        return
    slot = _devfn(device) // FUNCTIONS
    for other in setting.machine.devices:
        if setting.topology.bus_of(other) == bus and _devfn(other) == slot * FUNCTIONS and slot >= 0:
            text = f"write multifunction=on on {other.name}"
            yield Way(text, (Edit(other.number, "multifunction", True),))


def _devfn(device: Device) -> int:
    read = read_address(device.driver, device.properties.get("addr", -1))
    return read if isinstance(read, int) else -FUNCTIONS
