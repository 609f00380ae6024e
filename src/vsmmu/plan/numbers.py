# SPDX-License-Identifier: Apache-2.0
"""Free numbers and names for a plan: bus numbers, chassis, slots, ids.

A root complex owns the buses from its own number up to the next root complex's (pci_bus_range() in
hw/pci/pci.c of qemu/qemu); 256 in all, or 16 where the machine's configuration space is the small one.
Firmware gives each port below a bus of its own. QEMU does not check any of this: a range that is too small
shows in the guest, as a device that is not there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from vsmmu.machine.drivers import BRIDGES, HOST_BRIDGES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from vsmmu.machine.model import Device, Machine
    from vsmmu.machine.topology import Topology

__all__ = ["SLOTS", "Names", "Range", "bus_count", "chassis_numbers", "free_slots", "place", "taken_ranges"]

#: Device numbers on a PCI bus.
SLOTS: Final = 32
_BUSES: Final = 256
#: The configuration space below 4 GiB has 16 MiB (virt's VIRT_PCIE_ECAM, hw/arm/virt.c).
_BUSES_LOW: Final = 16
_MAX_CHASSIS: Final = 255


class Range(NamedTuple):
    """Bus numbers ``first`` to ``last``, both included."""

    first: int
    last: int


def bus_count(machine: Machine) -> int:
    """How many bus numbers the machine has: ``highmem=off`` and ``highmem-ecam=off`` leave 16."""
    options = machine.machine_options
    low = "off" in (options.get("highmem"), options.get("highmem-ecam"))
    return _BUSES_LOW if low else _BUSES


def taken_ranges(machine: Machine, topology: Topology, reserve: int) -> list[Range]:
    """The bus numbers that the VM needs as it is: each root complex's, with its bridges'.

    :param reserve: numbers left free for each bridge besides its own.
    """
    below: dict[int, int] = {}
    for bus in topology.buses:
        if not bus.is_root:
            below[bus.root_owner] = below.get(bus.root_owner, 0) + 1
    ranges = []
    for bus in topology.buses:
        if bus.is_root:
            first = 0 if bus.owner < 0 else _number(machine.devices[bus.owner].text("bus_nr"))
            ranges.append(Range(first, first + below.get(bus.owner, 0) * (1 + reserve)))
    return ranges


def place(widths: Sequence[int], taken: Iterable[Range], total: int) -> list[int] | None:
    """First bus numbers for ranges of these widths, in this order, from the top down.

    :return: one number for each width, or None if they do not all fit.
    """
    occupied = list(taken)
    found: list[int] = []
    for width in reversed(widths):
        first = total - width
        while True:
            blocking = [entry for entry in occupied if entry.first < first + width and entry.last >= first]
            if not blocking:
                break
            first = min(entry.first for entry in blocking) - width
        if first < 1:
            return None
        occupied.append(Range(first, first + width - 1))
        found.append(first)
    return found[::-1]


def chassis_numbers(machine: Machine) -> Iterator[int]:
    """Chassis numbers that no port of the VM has, from 1 up, as far as there are any."""
    used = {
        _number(device.text("chassis"))
        for device in machine.devices
        if device.driver in BRIDGES and device.driver not in HOST_BRIDGES
    }
    return (number for number in range(1, _MAX_CHASSIS + 1) if number not in used)


def free_slots(machine: Machine, topology: Topology) -> int:
    """How many more devices find a slot on ``pcie.0``; slot 0 is the root complex's own device."""
    written: set[str] = {"0"}
    unwritten = len(machine.network_cards) + (1 if machine.default_nic and machine.program else 0)
    for device in machine.devices:
        bus = topology.bus_of(device)
        if bus is None or bus.owner >= 0:
            continue
        slot = device.text("addr").partition(".")[0].lower().removeprefix("0x").lstrip("0")
        if device.text("addr"):
            written.add(slot or "0")
        else:
            unwritten += 1
    return max(0, SLOTS - len(written) - unwritten)


class Names:
    """Ids that are still free: neither a device nor an object nor a bus of the VM has them."""

    def __init__(self, machine: Machine, topology: Topology) -> None:
        self._used = {device.id for device in machine.devices} | {bus.name for bus in topology.buses}
        self._used |= {entry.id for entry in machine.objects}

    def take(self, stem: str, start: int) -> str:
        """The first free of ``stem`` with a number from ``start`` on; it is not free any more then."""
        number = start
        while f"{stem}{number}" in self._used:
            number += 1
        name = f"{stem}{number}"
        self._used.add(name)
        return name


def has_json_devices(devices: Iterable[Device]) -> bool:
    """Whether a device is written as JSON: QEMU makes those after all ``key=value`` ones."""
    return any(device.form == "json" for device in devices)


def _number(text: str) -> int:
    """A number as QEMU reads it; 0 if there is none or it is no number, which the model judges."""
    digits = text.lower()
    base = 16 if digits.startswith("0x") else 8 if digits.startswith("0") else 10
    try:
        return int(digits or "0", base)
    except ValueError:
        return 0
