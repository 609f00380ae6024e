# SPDX-License-Identifier: Apache-2.0
"""Slot and function of each PCI device on its bus: QEMU's choice, its refusals, and what the guest misses.

Sources: do_pci_register_device(), pci_init_multifunction() and pci_qdev_realize() in hw/pci/pci.c,
shpc_device_get_slot() in hw/pci/shpc.c of qemu/qemu; measured on 11.1.3 (tests/golden/qemu-11.1.3-slots).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vsmmu.diagnostic import Diagnostic
from vsmmu.machine.drivers import HOST_BRIDGES, is_bridge, type_name
from vsmmu.machine.model import Unread
from vsmmu.named_tuple import NamedTuple
from vsmmu.qemu.findings import Refusal
from vsmmu.qemu.slot_address import FUNCTIONS, SLOTS, read_address

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vsmmu.machine.model import Device, Machine
    from vsmmu.machine.topology import Bus, Topology

__all__ = ["SLOTS", "Placed", "Slots"]

#: Bridges that stand for the one end of a PCIe link: their bus has slot 0 alone.
_PORTS: Final = frozenset(
    {"aspeed.pcie-root-port", "cxl-downstream", "cxl-rp", "ioh3420", "pcie-root-port", "xio3130-downstream"}
)
#: No warning for these in another slot: they are no PCI Express devices, or have ARI (igb) [measured].
_NO_WARNING: Final = frozenset(
    "AC97 ES1370 VGA acpi-erst am53c974 ati-vga cirrus-vga ctucan_pci dc390 e1000 e1000-82544gc "
    "e1000-82545em edu i6300esb i82550 i82551 i82557a i82557b i82557c i82558a i82558b i82559a i82559b "
    "i82559c i82559er i82562 i82801 i82801b11-bridge ich9-ahci ich9-intel-hda ich9-usb-ehci1 "
    "ich9-usb-ehci2 ich9-usb-uhci1 ich9-usb-uhci2 ich9-usb-uhci3 ich9-usb-uhci4 ich9-usb-uhci5 "
    "ich9-usb-uhci6 igb intel-hda iommu-testdev ivshmem-doorbell ivshmem-plain kvaser_pci lsi53c810 "
    "lsi53c895a megasas mioe3680_pci mptsas1068 ne2k_pci pci-bridge pci-bridge-seat pci-ohci pci-serial "
    "pci-serial-2x pci-serial-4x pci-testdev pcm3680_pci pcnet piix3-usb-uhci piix4-usb-uhci pvpanic-pci "
    "rocker rtl8139 sdhci-pci secondary-vga tpci200 tulip usb-ehci".split()
)
#: Types that QEMU makes at start alone [measured].
_NO_HOT_PLUG: Final = HOST_BRIDGES | frozenset(
    "VGA acpi-erst ati-vga cirrus-vga cxl-rp ich9-usb-ehci1 ich9-usb-ehci2 ich9-usb-uhci1 ich9-usb-uhci2 "
    "ich9-usb-uhci3 ich9-usb-uhci4 ich9-usb-uhci5 ich9-usb-uhci6 pci-ohci vfio-pci-nohotplug "
    "virtio-iommu-pci".split()
)
#: Types with virtual functions of their own.
_WITH_VIRTUAL: Final = frozenset({"igb", "nvme"})
_TRUE: Final = frozenset({"on", "yes", "true", "y"})
#: What the board makes where -nic names no model (mc->default_nic of hw/arm/virt.c).
_DEFAULT_CARD: Final = "virtio-net-pci"
_ANY: Final = -1
_BOARD: Final = -1


class Placed(NamedTuple):
    """Where a device sits.

    :param devfn: ``slot * 8 + function``.
    :param warning: what QEMU prints, and starts; empty if nothing.
    :param on_plug: QEMU refuses the device for its slot, but only after it has been realized.
    """

    devfn: int
    warning: str = ""
    on_plug: Refusal | None = None

    @property
    def slot(self) -> int:
        """The device number on the bus, 0 to 31."""
        return self.devfn // FUNCTIONS

    @property
    def function(self) -> int:
        """The function, 0 to 7."""
        return self.devfn % FUNCTIONS


class _User(NamedTuple):
    """What is in a place; ``device`` is None for what the board made, ``virtual`` of another's making."""

    driver: str
    id: str
    multifunction: bool
    device: Device | None
    virtual: bool = False


class _Places:
    """The 256 places of one bus.

    :ivar port: whether only slot 0 exists for the guest.
    :ivar shpc: whether the bus has a standard hot-plug controller, which has no slot 0.
    :ivar hot: whether ``device_add`` can reach it.
    """

    def __init__(self, owner: Device | None) -> None:
        driver = owner.driver if owner else ""
        self.name = owner.name if owner else ""
        self.port = driver in _PORTS
        self.shpc = driver == "pcie-pci-bridge" or (
            owner is not None
            and driver in ("pci-bridge", "pci-bridge-seat")
            and _on(owner, "shpc", default=True)
        )
        self.hot = self.shpc or (self.port and (owner is None or _on(owner, "hotplug", default=True)))
        self.users: dict[int, _User] = {}

    def free(self) -> int:
        """The devfn that a device without ``addr`` gets: function 0 of the first slot where that is free.

        -1 if there is none.
        """
        places = range(0, SLOTS * FUNCTIONS, FUNCTIONS)
        return next((devfn for devfn in places if devfn not in self.users), _ANY)


class Slots:
    """The places of all PCI buses of a VM, filled in the order of creation.

    :param machine: for the devices of the board on ``pcie.0``.
    """

    def __init__(self, machine: Machine) -> None:
        board = _Places(None)
        board.users[0] = _User("gpex-root", "", False, None)
        for driver in _board_cards(machine):
            board.users[board.free()] = _User(driver, "", False, None)
        self._buses: dict[int, _Places] = {_BOARD: board}
        self._placed: dict[int, tuple[int, int]] = {}

    @classmethod
    def of(cls, machine: Machine, topology: Topology) -> Slots:
        """The places of a whole VM; a device that QEMU refuses has none."""
        self = cls(machine)
        for device in machine.devices:
            bus = topology.bus_of(device)
            if bus is not None and bus.owner in self._buses:
                self.place(device, bus)
        return self

    def __contains__(self, owner: int) -> bool:
        """Whether the bridge with this number has its bus; -1 is the board."""
        return owner in self._buses

    def place(self, device: Device, bus: Bus, *, hot: bool = False) -> Placed | Refusal:
        """Give a PCI device its place on a bus, as QEMU does before it realizes the device.

        :param hot: it is plugged into the running VM.
        :return: a :class:`Refusal` if QEMU refuses it; then the device has no place, but a bridge its bus.
        """
        driver = type_name(device.driver)
        places = self._buses[bus.owner]
        if is_bridge(device.driver):
            self._buses[device.number] = _Places(device)
        devfn = _devfn(device, driver, places, hot=hot)
        if isinstance(devfn, Refusal):
            return devfn
        virtual = "sriov-pf" in device.properties
        user = _User(driver, device.id, _on(device, "multifunction"), device, virtual)
        refused = _multifunction(places, devfn, user)
        if refused is not None:
            return refused
        if driver in _WITH_VIRTUAL:
            functions = _place_virtual(places, device, devfn)
            if isinstance(functions, Refusal):
                return functions
            user = user._replace(multifunction=user.multifunction or functions > 0)
        places.users[devfn] = user
        self._placed[device.number] = bus.owner, devfn
        return self._answer(places, devfn, driver)

    @staticmethod
    def _answer(places: _Places, devfn: int, driver: str) -> Placed:
        slot = devfn // FUNCTIONS
        if places.shpc and slot == 0:
            return Placed(devfn, "", Refusal("qemu-slot-shpc", {"slot": slot}))
        if places.port and slot and driver not in _NO_WARNING:
            return Placed(devfn, _warning(slot, driver))
        return Placed(devfn)

    def hot_plug_refusals(self, device: Device, bus: Bus) -> Iterator[Refusal]:
        """What forbids ``device_add`` of such a device on such a bus at all.

        QEMU asks this before it sets the properties of the device and gives it a place.
        """
        driver = type_name(device.driver)
        if driver in _NO_HOT_PLUG:
            yield Refusal("qemu-no-hotplug", {"driver": driver})
        if not self._buses[bus.owner].hot:
            yield Refusal("qemu-bus-no-hotplug", {"value": bus.name})

    def remove(self, number: int) -> None:
        """Take the device with this number out, after it was unplugged or refused; none is no error."""
        owner, devfn = self._placed.pop(number, (_BOARD, _ANY))
        users = self._buses[owner].users
        own = [place for place, user in users.items() if user.device and user.device.number == number]
        for place in (devfn, *own):
            users.pop(place, None)
        self._buses.pop(number, None)

    def address(self, number: int) -> Placed | None:
        """Where the device with this number sits; None if it has not been placed."""
        if number not in self._placed:
            return None
        owner, devfn = self._placed[number]
        places = self._buses[owner]
        return self._answer(places, devfn, places.users[devfn].driver)

    def free_slots(self, bus: Bus) -> int:
        """How many more devices without ``addr`` the bus takes in a row.

        QEMU chooses the first slot with a free function 0, and then refuses it if it has other functions.
        """
        users = self._buses[bus.owner].users
        count = 0
        for first in range(0, SLOTS * FUNCTIONS, FUNCTIONS):
            if first not in users:
                if any(devfn in users for devfn in range(first, first + FUNCTIONS)):
                    break
                count += 1
        return count

    def hazards(self) -> Iterator[Diagnostic]:
        """The devices that QEMU takes and the guest never sees, in the order of creation."""
        for _, (owner, devfn) in sorted(self._placed.items()):
            places = self._buses[owner]
            user = places.users[devfn]
            if user.device is None:
                continue
            slot, function = divmod(devfn, FUNCTIONS)
            if places.port and slot:
                yield _not_in_slot_0(user.device, slot, places.name)
            elif function and slot * FUNCTIONS not in places.users:
                yield _no_function_0(user.device, slot, function)


def _on(device: Device, key: str, *, default: bool = False) -> bool:
    return device.text(key) in _TRUE if key in device.properties else default


def _board_cards(machine: Machine) -> tuple[str, ...]:
    """Types of the network cards that the board makes, in order."""
    if machine.network_cards:
        return tuple(type_name(model or _DEFAULT_CARD) for model in machine.network_cards)
    return (_DEFAULT_CARD,) if machine.default_nic and machine.program else ()


def _devfn(device: Device, driver: str, places: _Places, *, hot: bool) -> int | Refusal:
    """The free place that is written or that QEMU chooses."""
    written = read_address(driver, device.properties.get("addr", _ANY))
    if isinstance(written, Refusal):
        return written
    devfn = places.free() if written == _ANY else written
    if devfn == _ANY:
        return Refusal("qemu-slot-full", {"driver": driver})
    refused = _taken(places, devfn, driver)
    if refused is None and hot:
        refused = _hidden(places, written, driver)
    return devfn if refused is None else refused


def _taken(places: _Places, devfn: int, driver: str) -> Refusal | None:
    user = places.users.get(devfn)
    if user is None:
        return None
    slot, function = divmod(devfn, FUNCTIONS)
    values = {"slot": slot, "function": function, "driver": driver, "user": user.driver}
    return Refusal("qemu-slot-taken", {**values, "user_id": user.id or "(null)"})


def _place_virtual(places: _Places, card: Device, devfn: int) -> Refusal | int:
    """Give a card's virtual functions their places, and say how many they are, or why QEMU does not."""
    from vsmmu.qemu.virtual_functions import VIRTUAL, virtual_functions  # few VMs have such a card

    driver = VIRTUAL[card.driver]
    if isinstance(card.properties.get("sriov_max_vfs"), Unread):
        return 1  # some, which only a shell knows
    wanted = virtual_functions(card, devfn)
    if wanted and wanted[-1] >= SLOTS * FUNCTIONS:
        return Refusal("qemu-vf-room", {})
    for place in wanted:
        refused = _taken(places, place, driver)
        if refused is not None:
            return refused
    virtual = _User(driver, "", False, card, virtual=True)
    places.users.update(dict.fromkeys(wanted, virtual))
    return len(wanted)


def _hidden(places: _Places, written: int, driver: str) -> Refusal | None:
    """Function 0 makes the guest look at the slot, so whatever comes later is not found."""
    # QEMU looks at the address as written: without one, -1 stands for slot 31.
    slot = 0 if places.port else written // FUNCTIONS % SLOTS
    user = places.users.get(slot * FUNCTIONS)
    if user is None:
        return None
    return Refusal("qemu-slot-hot", {"slot": slot, "user": user.driver, "driver": driver})


def _multifunction(places: _Places, devfn: int, user: _User) -> Refusal | None:
    slot, function = divmod(devfn, FUNCTIONS)
    if user.virtual:
        return None
    if function:
        first = places.users.get(slot * FUNCTIONS)
        if first is not None and not first.multifunction:
            return Refusal("qemu-slot-function", {"slot": f"{slot:x}", "function": function})
    elif not user.multifunction:
        for other in range(1, FUNCTIONS):
            taken = places.users.get(devfn + other)
            if taken is not None and not taken.virtual:
                return Refusal("qemu-slot-multifunction", {"slot": f"{slot:x}", "function": other})
    return None


def _warning(slot: int, driver: str) -> str:
    return f"PCI: slot {slot} is not valid for {driver}, parent device only allows plugging into slot 0."


def _not_in_slot_0(device: Device, slot: int, port: str) -> Diagnostic:
    return Diagnostic(
        "endpoint-not-in-slot-0",
        f"{device.name} is in slot {slot} of {port}, a port, which has slot 0 only: QEMU starts, and the "
        "guest never sees it",
        where=device.name,
        next=f"give {device.name} a pcie-root-port of its own, or make it a function of slot 0: addr=0.1, "
        "with multifunction=on at addr=0.0",
        severity="hazard",
    )


def _no_function_0(device: Device, slot: int, function: int) -> Diagnostic:
    return Diagnostic(
        "no-function-0",
        f"{device.name} is function {function} of slot {slot}, which has no function 0: QEMU starts, and the "
        "guest, which looks for function 0 first, never sees it",
        where=device.name,
        next=f"put a device at addr=0x{slot:x}.0, with multifunction=on",
        severity="hazard",
    )
