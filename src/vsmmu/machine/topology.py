# SPDX-License-Identifier: Apache-2.0
"""PCI topology: the bus of each device, as QEMU finds it when it makes the device.

Buses appear with their bridges, in the order of creation. Three rules are not obvious [measured on 11.1.3]:

* Without ``bus=`` a PCI device goes to the bus of the *newest* ``pxb-pcie``; to ``pcie.0`` if there is none.
* A bridge without id makes a bus ``pcie.N`` or ``pci.N``, counted from 0 for each type, so that there can be
  a second ``pcie.0``.
* Of several buses with one name, ``bus=`` finds the first in a walk over root complexes and bridges, newest
  first; ``primary-bus=`` is refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from vsmmu.errors import InputRefused
from vsmmu.machine.drivers import BRIDGES, HOST_BRIDGES, is_bridge, is_pci
from vsmmu.machine.model import VSMMU_DRIVER, VSMMU_TYPES
from vsmmu.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vsmmu.machine.model import Device, Machine

__all__ = ["ROOT_BUS", "Bus", "Missing", "Topology"]

#: The root complex of the board itself.
ROOT_BUS: Final = "pcie.0"


class Bus(NamedTuple):
    """A PCI bus.

    :param owner: number of the device that made it; -1 for the board.
    :param root: name of the root complex's bus it hangs from; its own name if it is one.
    :param root_owner: number of the device that made the root; -1 for the board.
    :param parent: owner of the bus that its bridge sits on; None for a root.
    """

    name: str
    owner: int
    root: str
    root_owner: int
    parent: int | None

    @property
    def is_root(self) -> bool:
        """Whether it is the bus of a root complex, to which an SMMU can be attached."""
        return self.parent is None


class Missing(NamedTuple):
    """A bus that was named and is not there at that point.

    :param reason: ``absent`` (QEMU: "Bus 'x' not found", for a ``primary-bus`` "Device 'x' not found"), or
        ``ambiguous`` (only ``primary-bus``: "Path 'x' does not uniquely identify an object").
    :param later: whether a device further on would have made it: then the order is wrong, not the name.
    """

    device: Device
    bus: str
    reason: Literal["absent", "ambiguous"]
    later: bool


_BOARD: Final = Bus(ROOT_BUS, -1, ROOT_BUS, -1, None)


class Topology:
    """The buses of a machine and the place of each device; made by :meth:`of`, then read only.

    :ivar buses: all PCI buses in the order in which they appear, ``pcie.0`` first.
    :ivar missing: the devices whose bus is not there, in the order of creation.
    """

    __slots__ = (
        "_behind",
        "_bridge_bus",
        "_bus",
        "_default",
        "_missing",
        "_named",
        "_primary",
        "buses",
        "missing",
    )

    def __init__(self) -> None:
        self.buses: list[Bus] = [_BOARD]
        self.missing: list[Missing] = []
        self._missing: dict[int, Missing] = {}
        self._named: dict[str, list[Bus]] = {ROOT_BUS: [_BOARD]}
        self._default = _BOARD
        self._bus: dict[int, Bus] = {}
        self._bridge_bus: dict[int, Bus] = {-1: _BOARD}
        self._primary: dict[int, Bus] = {}
        self._behind: dict[int, list[Device]] = {}

    @classmethod
    def of(cls, machine: Machine) -> Topology:
        """Place the devices of a machine, in time linear in their number.

        :raise InputRefused: ``duplicate-id``; ``bus-cycle``, if bridges wait for each other's buses.
        """
        self = cls()
        _refuse_duplicates(machine.devices)
        makers = {device.id for device in machine.devices if device.id and device.driver in BRIDGES}
        primary = _global_primary_bus(machine)
        counters: dict[str, int] = {}
        for device in machine.devices:
            if device.driver == VSMMU_DRIVER:
                self._attach(device, device.text("primary-bus") or primary, makers)
            else:
                self._place(device, makers)
            if device.driver in BRIDGES:
                self._grow(device, counters)
        self._missing = {entry.device.number: entry for entry in self.missing}
        _refuse_cycles(self.missing)
        return self

    # --- building -------------------------------------------------------------------------------------------

    def _attach(self, device: Device, name: str, makers: set[str]) -> None:
        found = self._named.get(name, [])
        if len(found) == 1:
            self._primary[device.number] = found[0]
        elif name:
            self.missing.append(Missing(device, name, "ambiguous" if found else "absent", name in makers))

    def _place(self, device: Device, makers: set[str]) -> None:
        name = device.properties.get("bus")
        if not isinstance(name, str):
            bus = self._default if is_pci(device.driver) else None
        else:
            # A path is walked from its first bus down; its last element names a bus, or a bridge with an id.
            bus = self._find(name.rstrip("/").rpartition("/")[2] if "/" in name else name)
            if bus is None and is_pci(device.driver):
                self.missing.append(Missing(device, name, "absent", name in makers))
        if bus is not None:
            self._bus[device.number] = bus
            self._behind.setdefault(bus.root_owner, []).append(device)

    def _grow(self, device: Device, counters: dict[str, int]) -> None:
        on = self._bus.get(device.number)
        if on is None:
            return
        name = device.id
        if not name:
            kind = BRIDGES[device.driver]
            name = f"{kind}.{counters.get(kind, 0)}"
            counters[kind] = counters.get(kind, 0) + 1
        if device.driver in HOST_BRIDGES:
            bus = Bus(name, device.number, name, device.number, None)
            self._default = bus
        else:
            bus = Bus(name, device.number, on.root, on.root_owner, on.owner)
        self.buses.append(bus)
        self._bridge_bus[device.number] = bus
        known = self._named.setdefault(name, [])
        known.append(bus)
        if len(known) > 1:
            # What `bus=` finds comes first; more than three of a name cannot be.
            known.sort(key=self._walk_order)

    def _find(self, name: str) -> Bus | None:
        found = self._named.get(name)
        return found[0] if found else None

    def _walk_order(self, bus: Bus) -> tuple[int, ...]:
        """Where QEMU's search comes past a bus: parents before children, newer before older."""
        path = [-bus.owner]
        while bus.parent is not None:
            bus = self._bridge_bus[bus.parent]
            path.append(-bus.owner)
        return tuple(reversed(path))

    # --- reading --------------------------------------------------------------------------------------------

    def bus_of(self, device: Device) -> Bus | None:
        """The PCI bus that the device sits on; None if it is not a PCI device, or its bus is missing."""
        return self._bus.get(device.number)

    def root_of(self, device: Device) -> str | None:
        """The bus of its root complex: ``pcie.0``, or that of a ``pxb-pcie``; None as before."""
        bus = self._bus.get(device.number)
        return bus.root if bus else None

    def primary_bus_of(self, vsmmu: Device) -> Bus | None:
        """The bus that an ``arm-smmuv3`` is attached to; None if it names none or :attr:`missing` has it."""
        return self._primary.get(vsmmu.number)

    def missing_of(self, device: Device) -> Missing | None:
        """The bus that a device names and that is not there when it is made; None without one."""
        return self._missing.get(device.number)

    def later_bus_of(self, vsmmu: Device) -> Bus | None:
        """The root complex that an ``arm-smmuv3`` names and that is made after it; None without one."""
        entry = self._missing.get(vsmmu.number)
        found = () if entry is None or not entry.later else self._named.get(entry.bus, ())
        return found[0] if len(found) == 1 and found[0].is_root else None

    def behind(self, root: str) -> tuple[Device, ...]:
        """All PCI devices under a root complex, bridges too, in the order of creation."""
        owners = [bus.owner for bus in self._named.get(root, ()) if bus.is_root]
        if len(owners) == 1:
            return tuple(self._behind.get(owners[0], ()))
        found = [device for owner in owners for device in self._behind.get(owner, ())]
        return tuple(sorted(found, key=lambda device: device.number))

    def endpoints_of(self, bus: Bus | None) -> tuple[Device, ...]:
        """All PCI devices but bridges under the root complex of ``bus``, in the order of creation."""
        if bus is None:
            return ()
        return tuple(
            device for device in self._behind.get(bus.root_owner, ()) if not is_bridge(device.driver)
        )

    def endpoints_behind(self, root: str) -> tuple[Device, ...]:
        """The same without the bridges."""
        return tuple(device for device in self.behind(root) if not is_bridge(device.driver))

    def vsmmus_of(self, root: str) -> tuple[int, ...]:
        """Numbers of the ``arm-smmuv3`` devices attached to a bus of this name, in the order of creation."""
        return tuple(number for number, bus in self._primary.items() if bus.name == root)

    def vsmmu_of(self, root: str) -> int | None:
        """Number of the first ``arm-smmuv3`` attached to a bus of this name; None without one."""
        return next(iter(self.vsmmus_of(root)), None)

    @property
    def by_device(self) -> Mapping[int, Bus]:
        """Device number -> the PCI bus it sits on."""
        return self._bus


def _global_primary_bus(machine: Machine) -> str:
    name = ""
    for entry in machine.globals:
        if entry.driver in VSMMU_TYPES and entry.property == "primary-bus":
            name = entry.value
    return name


def _refuse_duplicates(devices: tuple[Device, ...]) -> None:
    seen: dict[str, Device] = {}
    for device in devices:
        if device.id and seen.setdefault(device.id, device) is not device:
            raise InputRefused(
                "duplicate-id",
                f"two devices have the id {device.id!r}",
                where=device.origin.place,
                why=f"Duplicate device ID '{device.id}'",
                next=f"rename one; the first is at {seen[device.id].origin.place}",
            )


def _refuse_cycles(missing: list[Missing]) -> None:
    """Refuse bridges that wait for each other: each missing bus belongs to the next one's bridge."""
    waits = {
        entry.device.id: entry
        for entry in missing
        if entry.reason == "absent" and entry.device.id and is_bridge(entry.device.driver)
    }
    done: set[str] = set()
    for start in waits:
        path: dict[str, int] = {}
        name = start
        while name in waits and name not in done:
            if name in path:
                _refuse_cycle(list(path)[path[name] :], waits)
            path[name] = len(path)
            name = waits[name].bus
        done.update(path)


def _refuse_cycle(names: list[str], waits: Mapping[str, Missing]) -> None:
    first = waits[names[0]]
    shown = names if len(names) <= 8 else [*names[:7], "..."]
    raise InputRefused(
        "bus-cycle",
        f"bridges hang from each other in a circle: {' on '.join([*shown, names[0]])}",
        where=f"{first.device.origin.place}: {first.device.origin.option}"[:300],
        why=f"QEMU would say: Bus '{first.bus}' not found",
        next="let one of them sit on pcie.0 or on the bus of a pxb-pcie",
    )
