# SPDX-License-Identifier: Apache-2.0
"""Free numbers and names for a plan: bus numbers, chassis, ids."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vsmmu.machine.bus_numbers import Range, qemu_number
from vsmmu.machine.drivers import BRIDGES, HOST_BRIDGES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from vsmmu.machine.model import Device, Machine
    from vsmmu.machine.topology import Topology

__all__ = ["Names", "chassis_numbers", "place"]

_MAX_CHASSIS: Final = 255


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
        qemu_number(device.text("chassis"))
        for device in machine.devices
        if device.driver in BRIDGES and device.driver not in HOST_BRIDGES
    }
    return (number for number in range(1, _MAX_CHASSIS + 1) if number not in used)


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
