# SPDX-License-Identifier: Apache-2.0
"""Hazard: a root complex without enough bus numbers for its bridges, which QEMU does not check.

With bus_nr 129 and 130 and a port behind each, QEMU 11.1.3 starts, the firmware (AAVMF) leaves the first port
without a number, and Linux dies at boot; 129 and 131 are enough [measured].
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from vsmmu.diagnostic import Diagnostic
from vsmmu.machine.bus_numbers import bus_count, bus_ranges
from vsmmu.machine.topology import ROOT_BUS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vsmmu.machine.bus_numbers import Range
    from vsmmu.machine.model import Machine
    from vsmmu.machine.topology import Topology

__all__ = ["bus_hazards"]


def bus_hazards(machine: Machine, topology: Topology) -> Iterator[Diagnostic]:
    """The root complexes whose bridges need bus numbers that the next one has, or that there are not."""
    ordered = sorted(bus_ranges(machine, topology).items(), key=lambda entry: entry[1])
    total = bus_count(machine)
    for (owner, own), (following, other) in pairwise(ordered):
        # Two of one number QEMU refuses itself.
        if own.first < other.first <= own.last:
            bus = machine.devices[following].name
            text = f"{bus} has bus_nr={other.first}"
            remedy = f"give {bus} a bus_nr (libvirt: busNr) of {own.last + 1} or more"
            yield _hazard(_name(machine, owner), own, text, remedy)
    owner, own = ordered[-1]
    if own.last >= total:
        name = _name(machine, owner)
        room = total - 1 - (own.last - own.first)
        remedy = f"give {name} a bus_nr (libvirt: busNr) of {room} or less" if room > 0 else "use fewer ports"
        yield _hazard(name, own, f"the machine's last is {total - 1}", remedy)


def _hazard(name: str, own: Range, text: str, remedy: str) -> Diagnostic:
    needed = f"number {own.last}" if own.first == own.last else f"numbers {own.first} to {own.last}"
    return Diagnostic(
        "no-room-for-buses",
        f"{name} and the bridges behind it need bus {needed}, and {text}: QEMU starts, and the guest fails "
        "at boot or does not see what is behind",
        where=name,
        next=remedy,
        severity="hazard",
    )


def _name(machine: Machine, owner: int) -> str:
    return ROOT_BUS if owner < 0 else machine.devices[owner].name
