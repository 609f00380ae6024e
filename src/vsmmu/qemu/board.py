# SPDX-License-Identifier: Apache-2.0
"""The ``virt`` board and the PCI core: default cards, bus numbers, machine options."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from vsmmu.machine.bus_numbers import qemu_number
from vsmmu.machine.drivers import HOST_BRIDGES, is_vfio
from vsmmu.machine.model import EXPANDED, VSMMU_DRIVER
from vsmmu.named_tuple import NamedTuple
from vsmmu.qemu.findings import Refusal
from vsmmu.qemu.settings import read_bool
from vsmmu.qemu.versions import VERSIONED, is_vendor_machine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vsmmu.diagnostic import Diagnostic
    from vsmmu.machine.model import Device, Machine
    from vsmmu.machine.topology import Bus
    from vsmmu.qemu.versions import MachineType, Qemu

__all__ = [
    "ELSEWHERE",
    "ON_OFF_AUTO",
    "PciNumbers",
    "accelerator",
    "acpi_refusals",
    "board_card",
    "bypasses_iommu",
    "expander_refusal",
    "irqchip",
    "is_missing",
    "lacks_cxl",
    "machine_iommu",
    "machine_refusals",
    "not_modelled",
    "usable_accelerators",
    "with_globals",
]

#: Accelerators that only some builds have.
ELSEWHERE: Final = frozenset({"hvf", "mshv", "nitro", "nvmm", "qtest", "whpx", "xen"})
ON_OFF_AUTO: Final = ("on", "off", "auto")
#: Ports that take a place in the table of chassis and slot numbers (pcie_chassis_add_slot()).
_PORTS: Final = frozenset({"ioh3420", "pcie-root-port", "xio3130-downstream"})

#: NUMA_NODE_UNASSIGNED: what numa_node is unless it is written.
_NO_NODE: Final = 128


class PciNumbers:
    """The numbers that no two bridges may share: chassis and slot of a port, bus number of an expander.

    All of them are 0 where nothing is written. The bus behind any other bridge on ``pcie.0`` has number 0,
    too, as long as no firmware has run.
    """

    class Taken(NamedTuple):
        """A row of the table of messages, with the value for its placeholder."""

        code: str
        value: int

    def __init__(self) -> None:
        self._slots: set[tuple[int, int]] = set()
        self._buses: set[int] = set()

    def take(self, bridge: Device, bus: Bus | None = None) -> Taken | None:
        """Enter a bridge; the reason to refuse it if another one has its number.

        :param bus: what it sits on.
        """
        if bridge.driver in HOST_BRIDGES:
            number = qemu_number(bridge.text("bus_nr"))
            if number in self._buses:
                return self.Taken("qemu-bus-number", number)
            self._buses.add(number)
        elif bridge.driver in _PORTS:
            slot = (qemu_number(bridge.text("chassis")), qemu_number(bridge.text("slot")))
            if slot in self._slots:
                return self.Taken("qemu-chassis", slot[0])
            self._slots.add(slot)
        if bridge.driver not in HOST_BRIDGES and bus is not None and bus.is_root and bus.owner < 0:
            self._buses.add(0)
        return None


def expander_refusal(device: Device, bus: Bus, *, conventional: bool, nodes: int | None) -> Refusal | None:
    """Why QEMU refuses an expander after it has given it a slot; its bus number comes after that.

    :param conventional: whether ``bus`` is no PCI Express bus.
    :param nodes: NUMA nodes of the VM; None if that is not known.
    """
    if (device.driver == "pxb") != conventional:
        kind = "PCI" if conventional else "PCIe"
        return Refusal("qemu-pxb-bus", {"driver": device.driver, "value": kind})
    node = qemu_number(device.text("numa_node")) if device.text("numa_node") else _NO_NODE
    if nodes is not None and node != _NO_NODE and node >= nodes:
        return Refusal("qemu-numa-node", {"value": node})
    return None if bus.is_root else Refusal("qemu-pxb-place", {"driver": device.driver})


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
    # Behind the architecture may stand what a build adds; one that only a shell knows can be any.
    of = re.split(r"[-.]", name.removeprefix("qemu-system-"))[0] if name.startswith("qemu-system-") else ""
    if of and of.rstrip(")}`") != "aarch64" and of[0] not in EXPANDED:
        return f"{name} {machine.machine_type}".rstrip()
    kind = machine.machine_type
    if kind and kind != "virt" and not kind.startswith(VERSIONED) and not machine.vsmmus:
        return f"machine type {kind:.60}"
    return ""


def machine_refusals(machine: Machine, name: str, kind: MachineType | None) -> Iterator[Refusal]:
    """Every reason to refuse the machine itself, in QEMU's order.

    :param name: its type as QEMU takes it; empty if there is none.
    :param kind: the type, if this QEMU has it.
    """
    if not name:
        yield Refusal("qemu-no-machine", {})
    elif kind is None and name.startswith(VERSIONED) and not is_vendor_machine(name):
        yield Refusal("qemu-machine-type", {"value": name})
    options = machine.machine_options
    if kind is not None and options.get("iommu", "none") not in ("none", "smmuv3"):
        yield Refusal("qemu-iommu-value", {})
    if options.get("acpi", "auto") not in ON_OFF_AUTO:
        accepted = ", ".join(ON_OFF_AUTO)
        yield Refusal("qemu-value", {"property": "acpi", "value": options["acpi"], "accepted": accepted})


def accelerator(machine: Machine) -> str:
    """The accelerator that QEMU tries first: ``kvm``, ``tcg`` or another; empty for a fragment.

    Without ``-accel`` it is TCG, and KVM where the emulator's name ends with ``kvm`` (system/vl.c).
    """
    if machine.accelerators:
        return machine.accelerators[0]
    if not machine.program:
        return ""
    return "kvm" if machine.program.endswith("kvm") else "tcg"


def usable_accelerators(machine: Machine, qemu: Qemu) -> Machine:
    """The VM without the accelerators that no QEMU has, or not the binary at hand, as long as one is left."""
    usable = tuple(name for name in machine.accelerators if not is_missing(name, qemu))
    if not usable or usable == machine.accelerators:
        return machine
    return machine._replace(accelerators=usable)


def is_missing(name: str, qemu: Qemu) -> bool:
    """Whether no QEMU has an accelerator of this name, or not the binary at hand."""
    return (name == "kvm" and qemu.has_kvm is False) or (name not in ELSEWHERE and name not in ("kvm", "tcg"))


def irqchip(machine: Machine) -> str:
    """``kernel-irqchip``: on, off or split."""
    options = {**machine.machine_options, **machine.accelerator_options}
    return options.get("kernel-irqchip") or options.get("kernel_irqchip") or "on"


def lacks_cxl(machine: Machine) -> bool:
    """Whether the VM has an expander for CXL and the board has no CXL; QEMU looks when all are made."""
    cxl = read_bool(machine.machine_options.get("cxl")) is True
    return not cxl and any(device.driver == "pxb-cxl" for device in machine.devices)


def machine_iommu(machine: Machine) -> str:
    """What ``-machine iommu=`` has already put there, as QEMU calls it; empty if nothing."""
    value = machine.machine_options.get("iommu", "")
    return f"iommu={value}" if value not in ("", "none") else ""


def bypasses_iommu(machine: Machine) -> bool:
    """Whether ``pcie.0`` as a whole goes around an IOMMU."""
    options = machine.machine_options
    names = ("default-bus-bypass-iommu", "default_bus_bypass_iommu")
    return any(read_bool(options.get(name)) is True for name in names)


def acpi_refusals(machine: Machine, qemu: Qemu) -> Iterator[Refusal | Diagnostic]:
    """What ends QEMU when all is made and the board describes it by ACPI, in QEMU's order."""
    if _lacks_error_source(machine):
        yield Refusal("qemu-errors-without-acpi", {})
    if any(entry.qom_type.startswith("acpi-") for entry in machine.objects):
        from vsmmu.qemu.initiators import initiator_refusals  # few VMs have them

        yield from initiator_refusals(machine, qemu)


def _lacks_error_source(machine: Machine) -> bool:
    """Whether QEMU would look for the error source (``ras=on``) of an ACPI device that it has not made.

    Without firmware there is none, but ACPI counts as on unless ``acpi=off`` is written (virt_acpi_setup() in
    hw/arm/virt-acpi-build.c) [measured].
    """
    options = machine.machine_options
    without = bool(machine.program) and not machine.firmware
    return without and read_bool(options.get("ras")) is True and options.get("acpi") != "off"
