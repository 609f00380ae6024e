# SPDX-License-Identifier: Apache-2.0
"""Realize and plug of an ``arm-smmuv3``: the checks that need no host, in QEMU's order.

Sources: virt_machine_device_pre_plug_cb() and virt_machine_device_plug_cb() in hw/arm/virt.c,
smmu_realize() and smmu_validate_property() in hw/arm/smmuv3.c, smmu_base_realize() in hw/arm/smmu-common.c.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vsmmu.named_tuple import NamedTuple
from vsmmu.qemu.findings import Refusal
from vsmmu.qemu.texts import MESSAGES
from vsmmu.smmuv3.properties import AUTO, REALIZE_ORDER, REGISTER_PROPERTIES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vsmmu.machine.model import Machine
    from vsmmu.machine.topology import Bus
    from vsmmu.qemu.settings import VsmmuSettings
    from vsmmu.qemu.versions import Qemu

__all__ = ["MAX_VSMMUS", "Plug", "refusals"]

#: The platform bus has 64 interrupts, and an SMMU takes four.
MAX_VSMMUS: Final = 16


class Plug(NamedTuple):
    """One ``arm-smmuv3`` about to be realized, and what it meets.

    :param bus: the bus that ``primary-bus`` names; None if it names none, or none that is there.
    :param ambiguous: whether several buses have that name.
    :param taken: whether an SMMU is attached to it already.
    :param bypassed: whether the root complex has ``bypass_iommu=on``.
    :param cxl: whether the root complex is a pxb-cxl.
    :param present: SMMUs so far.
    :param machine_iommu: what the machine already has (``iommu=smmuv3``, ``virtio-iommu``), or empty.
    """

    settings: VsmmuSettings
    machine: Machine
    qemu: Qemu
    bus: Bus | None
    ambiguous: bool
    taken: bool
    bypassed: bool
    cxl: bool
    present: int
    machine_iommu: str


def refusals(plug: Plug) -> Iterator[Refusal]:
    """Every reason to refuse, in QEMU's order; QEMU prints the first."""
    yield from _link(plug)
    yield from _pre_plug(plug)
    if plug.settings.accel and not has_kvm(plug.machine):
        yield Refusal("qemu-kvm", {})
    yield from _values(plug)
    if plug.settings.accel:
        if plug.settings.stage not in (None, "1"):
            yield Refusal("qemu-stage", {})
        if plug.machine.only_migratable:
            yield Refusal("qemu-only-migratable", {})
    yield from _attachment(plug)
    yield from _plugging(plug)


def has_kvm(machine: Machine) -> bool:
    """Whether the VM would run on KVM with its in-kernel interrupt controller.

    A fragment (options without the emulator in front) is taken as part of a VM that does. An emulator
    without any ``-accel`` runs on TCG.
    """
    options = {**machine.machine_options, **machine.accelerator_options}
    irqchip = options.get("kernel-irqchip") or options.get("kernel_irqchip") or "on"
    if not machine.accelerators:
        return not machine.program
    return machine.accelerators[0] == "kvm" and irqchip == "on"


def has_acpi(machine: Machine) -> bool:
    """Whether the guest would boot with ACPI; a fragment is taken as part of a VM that does."""
    if machine.machine_options.get("acpi") == "off":
        return False
    return bool(machine.firmware) or not machine.program


def _link(plug: Plug) -> Iterator[Refusal]:
    name = plug.settings.primary_bus
    if plug.ambiguous:
        yield Refusal("qemu-ambiguous-bus", {"value": name})
    elif name and plug.bus is None:
        yield Refusal("qemu-no-primary-bus", {"value": name})


def _pre_plug(plug: Plug) -> Iterator[Refusal]:
    if not plug.machine_iommu:
        return
    if plug.settings.accel and not has_kvm(plug.machine):
        yield Refusal("qemu-machine-iommu-abort", {})
    else:
        yield Refusal("qemu-machine-iommu", {"value": plug.machine_iommu})


def _values(plug: Plug) -> Iterator[Refusal]:
    """``smmu_validate_property()``: what the values are, then what they need ``accel=on`` for."""
    old = not plug.qemu.has_auto
    for entry in REGISTER_PROPERTIES:
        value = plug.settings.value(entry.name)
        if value is None or value in entry.pinnable or (value == AUTO and not old):
            continue
        if entry.unimplemented_message:
            yield Refusal(_dated(entry.unimplemented_message, old=old), {})
        else:
            yield Refusal("qemu-auto-11.0", {"property": entry.name})
    if not plug.settings.accel:
        for entry in REALIZE_ORDER:
            if entry.needs_accel(plug.settings.value(entry.name)):
                yield Refusal(_dated(entry.accel_message, old=old), {})


def _dated(code: str, *, old: bool) -> str:
    """The row with the words of QEMU 11.0, where they were others."""
    before = f"{code}-11.0"
    return before if old and before in MESSAGES else code


def _attachment(plug: Plug) -> Iterator[Refusal]:
    if plug.bus is None:
        if not plug.settings.primary_bus:
            yield Refusal("qemu-unattached", {})
    elif not plug.bus.is_root or plug.cxl:
        yield Refusal("qemu-not-root-complex", {})
    elif plug.taken:
        yield Refusal("qemu-second-iommu", {})


def _plugging(plug: Plug) -> Iterator[Refusal]:
    if plug.present >= MAX_VSMMUS:
        yield Refusal("qemu-too-many", {})
    if plug.bypassed:
        yield Refusal("qemu-bypass", {})
    if plug.settings.accel and not has_acpi(plug.machine):
        yield Refusal("qemu-acpi", {})
