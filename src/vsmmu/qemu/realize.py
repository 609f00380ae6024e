# SPDX-License-Identifier: Apache-2.0
"""Realize and plug of an ``arm-smmuv3``: the checks that need no host, in QEMU's order.

Sources: virt_machine_device_pre_plug_cb() and virt_machine_device_plug_cb() in hw/arm/virt.c,
smmu_realize() and smmu_validate_property() in hw/arm/smmuv3.c, smmu_base_realize() in hw/arm/smmu-common.c.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vsmmu.named_tuple import NamedTuple
from vsmmu.qemu.board import accelerator, irqchip
from vsmmu.qemu.findings import Refusal
from vsmmu.qemu.outcome import dated
from vsmmu.smmuv3.properties import AUTO, REALIZE_ORDER, REGISTER_PROPERTIES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vsmmu.machine.model import Machine
    from vsmmu.machine.topology import Bus
    from vsmmu.qemu.settings import VsmmuSettings
    from vsmmu.qemu.versions import Qemu

__all__ = ["MAX_VSMMUS", "ONE_IOMMU_SINCE", "Plug", "board_refusals", "refusals"]

#: Since when a bus takes one SMMU (17b9f38982); 10.2 starts, and the newer one takes the bus [measured].
ONE_IOMMU_SINCE: Final = (11, 1)
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
    if plug.settings.accel and plug.qemu.accel_built is False:
        yield Refusal("qemu-accel-not-built", {})
    yield from _values(plug.settings, plug.qemu)
    if plug.settings.accel:
        if plug.settings.stage not in (None, "1"):
            yield Refusal("qemu-stage", {})
        if plug.machine.only_migratable:
            yield Refusal("qemu-only-migratable", {})
    yield from _attachment(plug)
    yield from _plugging(plug)


def board_refusals(settings: VsmmuSettings, machine: Machine, qemu: Qemu) -> Iterator[Refusal]:
    """Every reason to refuse the SMMU that the board makes for ``-machine iommu=smmuv3``, in QEMU's order."""
    if settings.accel and not has_kvm(machine):
        yield Refusal("qemu-kvm", {})
    yield from _values(settings, qemu)
    if settings.accel:
        yield Refusal("qemu-stage", {})  # the board itself writes the stage [measured]


def has_kvm(machine: Machine) -> bool:
    """Whether the VM would run on KVM with its in-kernel interrupt controller.

    A fragment (options without the emulator in front) is taken as part of a VM that does.
    """
    under = accelerator(machine)
    return not under or (under == "kvm" and irqchip(machine) == "on")


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


def _values(settings: VsmmuSettings, qemu: Qemu) -> Iterator[Refusal]:
    """``smmu_validate_property()``: what the values are, then what they need ``accel=on`` for."""
    old = not qemu.has_auto
    rows = qemu.properties
    for entry in (rows[each.name] for each in REGISTER_PROPERTIES):
        value = settings.value(entry.name)
        if value is None or value in entry.pinnable or (value == AUTO and not old):
            continue
        if entry.unimplemented_message:
            yield Refusal(dated(entry.unimplemented_message, old=old), {})
        else:
            yield Refusal("qemu-auto-11.0", {"property": entry.name})
    if not settings.accel:
        for entry in (rows[each.name] for each in REALIZE_ORDER):
            if entry.needs_accel(settings.value(entry.name)):
                yield Refusal(dated(entry.accel_message, old=old), {})


def _attachment(plug: Plug) -> Iterator[Refusal]:
    if plug.bus is None:
        if not plug.settings.primary_bus:
            yield Refusal("qemu-unattached", {})
    elif not plug.bus.is_root or (plug.cxl and plug.qemu.fork is None):
        yield Refusal("qemu-not-root-complex", {})
    elif plug.taken and plug.qemu.version >= ONE_IOMMU_SINCE:
        yield Refusal("qemu-second-iommu", {})


def _plugging(plug: Plug) -> Iterator[Refusal]:
    if plug.present >= MAX_VSMMUS:
        yield Refusal("qemu-too-many", {})
    if plug.bypassed:
        yield Refusal("qemu-bypass", {})
    if plug.settings.accel and not has_acpi(plug.machine):
        yield Refusal("qemu-acpi", {})
