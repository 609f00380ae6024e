# SPDX-License-Identifier: Apache-2.0
"""Ways to mend a vSMMU's own settings and the machine around it: acceleration, values, ACPI, other IOMMUs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vsmmu.diagnostic import MACHINE, Edit
from vsmmu.machine.model import VSMMU_DRIVER
from vsmmu.mend.fault import Way
from vsmmu.smmuv3.properties import AUTO, PROPERTIES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vsmmu.diagnostic import Change
    from vsmmu.machine.model import Device
    from vsmmu.mend.fault import VmFault

__all__ = [
    "accelerate",
    "acpi",
    "board_smmu",
    "bypass",
    "kvm",
    "machine_iommu",
    "needs_accel",
    "stage",
    "value",
]


def accelerate(fault: VmFault) -> Iterator[Way]:
    """A function of the host behind a vSMMU without ``accel=on``."""
    vsmmu = None if fault.device is None else fault.setting.vsmmu_of(fault.device)
    if vsmmu is not None and "accel" not in vsmmu.properties:
        yield _accel(vsmmu)
    elif vsmmu is not None:
        yield Way(f"write accel=on on {vsmmu.name}")
        yield Way(f"take {fault.found.where} out from behind {vsmmu.name}")


def needs_accel(fault: VmFault) -> Iterator[Way]:
    """A value that needs ``accel=on``: with a function of the host behind, that is what was meant."""
    vsmmu = fault.device
    if vsmmu is None or vsmmu.driver != VSMMU_DRIVER:
        return
    if "accel" not in vsmmu.properties and fault.setting.functions_behind(vsmmu):
        yield _accel(vsmmu)


def _accel(vsmmu: Device) -> Way:
    return Way(f"write accel=on on {vsmmu.name}", (Edit(vsmmu.number, "accel", True),))


def value(fault: VmFault) -> Iterator[Way]:
    """A value that the host, or this QEMU, does not have: what ``resolve`` would choose takes its place."""
    device = fault.device
    if device is None:
        return
    vsmmu = device if device.driver == VSMMU_DRIVER else fault.setting.vsmmu_of(device)
    name = next((name for name in PROPERTIES if f"-{name}" in fault.found.code), "")
    if not name:  # qemu-auto-11.0 names it in its sentence
        name = next((name for name in PROPERTIES if f"{name} auto" in fault.found.why), "")
    if vsmmu is None or not name:
        return
    setting = fault.setting
    row = setting.qemu.properties[name]
    entry = setting.chosen(vsmmu, row)
    written = (vsmmu.text(row.option) or _default(fault, row.option)) not in ("", AUTO)
    # What is left to QEMU already can only be mended by a value.
    if entry is not None and entry.action in (("pinned", "deferred") if written else ("pinned",)):
        edit = Edit(vsmmu.number, row.option, entry.value)
        yield Way(f"write {row.option}={entry.value} on {vsmmu.name}", (edit,), unpins=written)


def _default(fault: VmFault, name: str) -> str:
    """What ``-global`` says, which somebody wrote as well."""
    given = [entry.value for entry in fault.setting.machine.globals if entry.property == name]
    return given[-1] if given else ""


def stage(fault: VmFault) -> Iterator[Way]:
    """``stage=`` on an accelerated vSMMU, which has stage 1 alone."""
    if (vsmmu := fault.device) is not None and "stage" in vsmmu.properties:
        yield Way("remove stage=", (Edit(vsmmu.number, "stage", None),), unpins=True)


def machine_iommu(fault: VmFault) -> Iterator[Way]:
    """The board's own SMMU beside vSMMUs of their own."""
    machine = fault.setting.machine
    if machine.vsmmus and machine.machine_options.get("iommu") == "smmuv3":
        yield Way("remove iommu=smmuv3 of the machine", (Edit(MACHINE, "iommu", None),))


def board_smmu(fault: VmFault) -> Iterator[Way]:
    """A function behind the board's own SMMU: mended with that, or there are two ways."""
    if fault.setting.machine.vsmmus:
        yield from machine_iommu(fault)
    else:
        yield Way("give it a vSMMU of its own: vsmmu fix --accelerate")
        yield Way(
            "let its bus bypass the SMMU: default-bus-bypass-iommu=on, or bypass_iommu=on on its pxb-pcie"
        )


def bypass(fault: VmFault) -> Iterator[Way]:
    """A root complex that bypasses the SMMU that it has."""
    vsmmu = fault.device
    bus = None if vsmmu is None else fault.setting.topology.primary_bus_of(vsmmu)
    if bus is None:
        return
    if bus.owner != MACHINE:
        yield Way("remove bypass_iommu=", (Edit(bus.owner, "bypass_iommu", None),))
    else:
        yield Way("remove default-bus-bypass-iommu=", (Edit(MACHINE, "default-bus-bypass-iommu", None),))


def kvm(fault: VmFault) -> Iterator[Way]:
    """No accelerator: QEMU would take TCG."""
    machine = fault.setting.machine
    options = {**machine.machine_options, **machine.accelerator_options}
    if not machine.accelerators and "kernel-irqchip" not in options and fault.setting.vm.domain is None:
        yield Way("write accel=kvm", (Edit(MACHINE, "accel", "kvm"),))


def acpi(fault: VmFault) -> Iterator[Way]:
    """A guest without ACPI; for a command line the firmware has to be known."""
    machine = fault.setting.machine
    changes: list[Change] = []
    off = machine.machine_options.get("acpi") == "off"
    if fault.setting.vm.domain is not None:
        if off:
            changes.append(Edit(MACHINE, "acpi", "on"))
        if not machine.firmware:
            changes.append(Edit(MACHINE, "firmware", "efi"))
        yield Way("boot the guest with ACPI", tuple(changes))
        return
    firmware = fault.setting.firmware
    if not machine.firmware and firmware:
        changes.append(Edit(MACHINE, "firmware", firmware))
    if off:
        changes.append(Edit(MACHINE, "acpi", None))
    if machine.firmware or firmware:
        yield Way("boot the guest with ACPI", tuple(changes))
