# SPDX-License-Identifier: Apache-2.0
"""Features of the table in vsmmu.machine.features that a VM uses: written, or a machine type's defaults."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vsmmu.machine.drivers import is_vfio
from vsmmu.machine.features import FEATURES
from vsmmu.machine.model import INITIATOR, WINDOW_OPTION
from vsmmu.qemu.settings import SettingsError, is_accelerated, read_settings
from vsmmu.qemu.versions import LATEST, is_vendor_machine, machine_type
from vsmmu.smmuv3.properties import AUTO, REGISTER_PROPERTIES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vsmmu.machine.features import Feature
    from vsmmu.machine.model import Device, Machine
    from vsmmu.machine.vm import Vm
    from vsmmu.versions import Version

__all__ = ["used_features"]

#: The defaults of a distribution's own machine type are not known: what is not written counts as not used.
_BEFORE_AUTO: Final[Version] = (11, 0)


def used_features(vm: Vm) -> tuple[Feature, ...]:
    """The features that this VM needs from whatever host and QEMU run it, in the table's order.

    A property that is neither written nor fixed by an older machine type is *auto*: that is what the newest
    QEMU makes of it.

    :raise InputRefused: for text that describes no VM.
    """
    used = {*_of_machine(vm.machine()), *_of_domain(vm)}
    return tuple(feature for name, feature in FEATURES.items() if name in used)


def _of_domain(vm: Vm) -> Iterator[str]:
    whole = vm.domain.reading.root.find("iommufd") if vm.domain is not None else None
    if whole is not None and whole.get("enabled") == "yes":
        yield "domain-iommufd"


def _of_machine(machine: Machine) -> Iterator[str]:
    functions = [device for device in machine.devices if is_vfio(device.driver)]
    if functions:
        yield "not-direct-mapped"
    if any(device.text("iommufd") for device in functions):
        yield from ("iommufd", "cdev")
    for entry in machine.objects:
        if entry.qom_type == "iommufd":
            yield "iommufd"
        elif entry.qom_type == INITIATOR:
            yield "generic-initiators"
    if WINDOW_OPTION in machine.machine_options:
        yield "mmio-window"
    for device in machine.vsmmus:
        yield "vsmmu"
        yield from _of_vsmmu(device, machine)


def _of_vsmmu(device: Device, machine: Machine) -> Iterator[str]:
    try:
        settings = read_settings(device, machine, LATEST, _defaults_of(machine))
    except SettingsError:  # check says what is wrong with it; here what can be read counts
        if is_accelerated(device, machine):
            yield "accel"
        return
    if not settings.accel:
        return
    yield "accel"
    if any(settings.value(entry.name) == AUTO for entry in REGISTER_PROPERTIES):
        yield "auto"
    if settings.value("cmdqv") == 1:
        yield "cmdqv"


def _defaults_of(machine: Machine) -> Version:
    """The version whose defaults the VM's machine type keeps."""
    known = machine_type(machine.machine_type or "virt", LATEST)
    if known is not None:
        return known.version
    return _BEFORE_AUTO if is_vendor_machine(machine.machine_type) else LATEST.version
