# SPDX-License-Identifier: Apache-2.0
"""QEMU's checks of a PCI device's place, in its order: hot-plug, bus, slot, expander, bus number, chassis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vsmmu.machine.bus_numbers import qemu_number
from vsmmu.machine.drivers import BRIDGES, HOST_BRIDGES, is_bridge
from vsmmu.qemu.board import PciNumbers, expander_refusal
from vsmmu.qemu.bus_room import bus_hazards
from vsmmu.qemu.findings import Refusal
from vsmmu.qemu.peripherals import Peripherals
from vsmmu.qemu.slot_address import FUNCTIONS
from vsmmu.qemu.slots import Slots
from vsmmu.qemu.versions import LATEST

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vsmmu.diagnostic import Diagnostic
    from vsmmu.host.facts import Host
    from vsmmu.machine.model import Device, Machine
    from vsmmu.machine.topology import Bus, Topology
    from vsmmu.qemu.versions import Qemu

__all__ = ["Placement"]

_WITH_CHASSIS_NR: Final = frozenset({"pci-bridge", "pci-bridge-seat"})


class Placement:
    """The PCI buses of a VM, as its devices are created one after the other.

    :ivar slots: who is where.
    :ivar peripherals: the emulated devices that are there at most once.
    """

    def __init__(self, machine: Machine, qemu: Qemu = LATEST, host: Host | None = None) -> None:
        self.slots = Slots(machine)
        self.peripherals = Peripherals(machine, qemu, host)
        self._nodes = machine.numa_nodes
        self._numbers = PciNumbers()
        self._makers: dict[int, str] = {}
        # Owners of buses that are no PCI Express buses.
        self._pci: set[int] = set()
        self._on_plug: dict[int, Refusal] = {}
        self._regions = 0

    def before_realize(self, device: Device, bus: Bus, *, hot: bool = False) -> Iterator[Refusal]:
        """Give a PCI device its place; what QEMU says before it realizes an endpoint, or while a bridge is.

        QEMU stops at the first. Whoever goes on finds a refused device without a place, but with its bus.
        """
        if self._makers.get(bus.owner) in HOST_BRIDGES and (
            not is_bridge(device.driver) or device.driver in HOST_BRIDGES
        ):
            yield Refusal("qemu-bus-takes-bridges", {})
        if not hot:
            yield from self.peripherals.written(device)
        placed = self.slots.place(device, bus, hot=hot)
        if isinstance(placed, Refusal):
            yield placed
        elif placed.on_plug is not None:
            self._on_plug[device.number] = placed.on_plug
        if is_bridge(device.driver):
            yield from self._bridge(device, bus)

    def _bridge(self, device: Device, bus: Bus) -> Iterator[Refusal]:
        self._makers[device.number] = device.driver
        if BRIDGES[device.driver] == "pci":
            self._pci.add(device.number)
        if device.driver in HOST_BRIDGES:
            conventional = bus.owner in self._pci
            refused = expander_refusal(device, bus, conventional=conventional, nodes=self._nodes)
            if refused is not None:
                yield refused
        if device.driver in _WITH_CHASSIS_NR and not qemu_number(device.text("chassis_nr")):
            yield Refusal("qemu-bridge-chassis", {})
        taken = self._numbers.take(device, bus)
        if taken is not None:
            yield Refusal(taken.code, {"value": taken.value})

    def after_realize(self, device: Device) -> Iterator[Refusal | Diagnostic]:
        """What QEMU says of its place when it plugs a device that it has realized; then it has none."""
        refused = self._on_plug.pop(device.number, None)
        if refused is not None:
            self.slots.remove(device.number)
            yield refused
        yield from self.peripherals.blockers(device)

    def is_first(self, device: Device) -> bool:
        """Whether a device is function 0 in slot 0 of its bus.

        Behind a PCIe-to-PCI bridge that is who all devices are to an SMMU (pci_device_get_iommu_bus_devfn()).
        """
        placed = self.slots.address(device.number)
        return placed is not None and placed.devfn == 0

    def region(self, device: Device) -> dict[str, object]:
        """The numbers in the name of the memory region that QEMU makes for a vfio-pci behind an SMMU.

        To be asked once for each, in the order of creation: ``count`` goes over the whole process
        (smmu_find_add_as() in hw/arm/smmu-common.c).
        """
        placed = self.slots.address(device.number)
        devfn = placed.devfn if placed is not None else 0
        count = self._regions
        self._regions += 1
        address = f"{devfn // FUNCTIONS:02x}.{devfn % FUNCTIONS:x}"
        return {"devfn": devfn, "count": count, "address": address}

    def hazards(self, machine: Machine, topology: Topology) -> Iterator[Diagnostic]:
        """What QEMU starts and the guest does not find."""
        yield from self.slots.hazards()
        yield from bus_hazards(machine, topology)
