# SPDX-License-Identifier: Apache-2.0
"""PCI bus numbers: how many a VM has, and which ones each root complex needs for itself and its bridges.

A root complex owns the buses from its own number up to the next root complex's (pci_bus_range() in
hw/pci/pci.c of qemu/qemu); 256 in all, or 16 where the machine's configuration space is the small one.
Firmware gives each bridge below a bus of its own. QEMU does not check any of this.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vsmmu.named_tuple import NamedTuple

if TYPE_CHECKING:
    from vsmmu.machine.model import Machine
    from vsmmu.machine.topology import Topology

__all__ = ["Range", "bus_count", "bus_ranges", "qemu_number"]

_BUSES: Final = 256
#: The configuration space below 4 GiB has 16 MiB (virt's VIRT_PCIE_ECAM, hw/arm/virt.c).
_BUSES_LOW: Final = 16


class Range(NamedTuple):
    """Bus numbers ``first`` to ``last``, both included."""

    first: int
    last: int


def bus_count(machine: Machine) -> int:
    """How many bus numbers the machine has: ``highmem=off`` and ``highmem-ecam=off`` leave 16."""
    options = machine.machine_options
    low = "off" in (options.get("highmem"), options.get("highmem-ecam"))
    return _BUSES_LOW if low else _BUSES


def bus_ranges(machine: Machine, topology: Topology, reserve: int = 0) -> dict[int, Range]:
    """The bus numbers that each root complex needs, by the number of the device that made it (-1: the board).

    :param reserve: numbers left free for each bridge besides its own.
    """
    below: dict[int, int] = {}
    for bus in topology.buses:
        if not bus.is_root:
            below[bus.root_owner] = below.get(bus.root_owner, 0) + 1
    ranges = {}
    for bus in topology.buses:
        if bus.is_root:
            first = 0 if bus.owner < 0 else max(0, qemu_number(machine.devices[bus.owner].text("bus_nr")))
            ranges[bus.owner] = Range(first, first + below.get(bus.owner, 0) * (1 + reserve))
    return ranges


def qemu_number(text: str) -> int:
    """A number as QEMU reads it, 0 if there is none; -1 for what is no number, which is not judged here."""
    digits = text.lower()
    base = 16 if digits.startswith("0x") else 8 if digits.startswith("0") else 10
    try:
        return int(digits or "0", base)
    except ValueError:
        return -1
