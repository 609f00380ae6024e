# SPDX-License-Identifier: Apache-2.0
"""The ``virt`` board and the PCI core: default cards, bus numbers, machine options."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from vsmmu.machine.drivers import HOST_BRIDGES, is_vfio
from vsmmu.machine.model import VSMMU_DRIVER
from vsmmu.qemu.findings import Refusal
from vsmmu.qemu.settings import read_bool
from vsmmu.qemu.versions import is_vendor_machine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vsmmu.machine.model import Device, Machine
    from vsmmu.qemu.versions import MachineType

__all__ = [
    "ON_OFF_AUTO",
    "PciNumbers",
    "board_card",
    "bypasses_iommu",
    "machine_iommu",
    "machine_refusals",
    "not_modelled",
    "with_globals",
]

ON_OFF_AUTO: Final = ("on", "off", "auto")
#: Ports that take a place in the table of chassis and slot numbers (pcie_chassis_add_slot()).
_PORTS: Final = frozenset({"ioh3420", "pcie-root-port", "xio3130-downstream"})


class PciNumbers:
    """The numbers that no two bridges may share: chassis and slot of a port, bus number of an expander.

    All of them are 0 where nothing is written.
    """

    class Taken(NamedTuple):
        """A row of the table of messages, with the value for its placeholder."""

        code: str
        value: int

    def __init__(self) -> None:
        self._slots: set[tuple[int, int]] = set()
        self._buses: set[int] = set()

    def take(self, bridge: Device) -> Taken | None:
        """Enter a bridge; the reason to refuse it if another one has its number."""
        if bridge.driver in HOST_BRIDGES:
            bus = _number(bridge.text("bus_nr"))
            if bus in self._buses:
                return self.Taken("qemu-bus-number", bus)
            self._buses.add(bus)
        elif bridge.driver in _PORTS:
            slot = (_number(bridge.text("chassis")), _number(bridge.text("slot")))
            if slot in self._slots:
                return self.Taken("qemu-chassis", slot[0])
            self._slots.add(slot)
        return None


def _number(text: str) -> int:
    """A number as QEMU reads it, 0 if there is none; what is no number is not judged here."""
    digits = text.lower().removeprefix("0x")
    base = 16 if digits != text.lower() else 8 if text.startswith("0") else 10
    try:
        return int(digits or "0", base)
    except ValueError:
        return -1


def board_card(machine: Machine) -> str:
    """The network card that the board puts on pcie.0 before any -device; empty if there is none.

    A fragment, without the emulator in front, does not tell whether QEMU would add its default card.
    """
    if machine.network_cards:
        return "the network card of -nic"
    return "the default network card" if machine.default_nic and machine.program else ""


def with_globals(machine: Machine) -> Machine:
    """The VM with every ``-global`` written into the devices that it is for.

    Those of the vSMMUs stay where they are, because their settings tell the one from the other.
    """
    given = [entry for entry in machine.globals if entry.driver != VSMMU_DRIVER]
    if not given:
        return machine

    def widen(device: Device) -> Device:
        parent = "vfio-pci" if is_vfio(device.driver) else device.driver
        changed = {entry.property: entry.value for entry in given if entry.driver in (device.driver, parent)}
        return device._replace(properties={**changed, **device.properties})

    return machine._replace(devices=tuple(widen(device) for device in machine.devices))


def not_modelled(machine: Machine) -> str:
    """Why nothing can be said of a machine: what it is; empty for an Arm ``virt`` machine.

    A machine that is another one and has an ``arm-smmuv3`` is judged: QEMU says that it cannot.
    """
    name = machine.program.rpartition("/")[2]
    if name.startswith("qemu-system-") and name != "qemu-system-aarch64":
        return f"{name} {machine.machine_type}".rstrip()
    kind = machine.machine_type
    if kind and kind != "virt" and not kind.startswith("virt-") and not machine.vsmmus:
        return f"machine type {kind:.60}"
    return ""


def machine_refusals(machine: Machine, name: str, kind: MachineType | None) -> Iterator[Refusal]:
    """Every reason to refuse the machine itself, in QEMU's order.

    :param name: its type as QEMU takes it; empty if there is none.
    :param kind: the type, if this QEMU has it.
    """
    if not name:
        yield Refusal("qemu-no-machine", {})
    elif kind is None and name.startswith("virt-") and not is_vendor_machine(name):
        yield Refusal("qemu-machine-type", {"value": name})
    options = machine.machine_options
    if kind is not None and options.get("iommu", "none") not in ("none", "smmuv3"):
        yield Refusal("qemu-iommu-value", {})
    if options.get("acpi", "auto") not in ON_OFF_AUTO:
        accepted = ", ".join(ON_OFF_AUTO)
        yield Refusal("qemu-value", {"property": "acpi", "value": options["acpi"], "accepted": accepted})


def machine_iommu(machine: Machine) -> str:
    """What ``-machine iommu=`` has already put there, as QEMU calls it; empty if nothing."""
    value = machine.machine_options.get("iommu", "")
    return f"iommu={value}" if value not in ("", "none") else ""


def bypasses_iommu(machine: Machine) -> bool:
    """Whether ``pcie.0`` as a whole goes around an IOMMU."""
    options = machine.machine_options
    names = ("default-bus-bypass-iommu", "default_bus_bypass_iommu")
    return any(read_bool(options.get(name)) is True for name in names)
