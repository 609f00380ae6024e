# SPDX-License-Identifier: Apache-2.0
"""Faults in a VM's names and values as refusals or doubts of the model, with what was probably meant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from vsmmu.diagnostic import Diagnostic
from vsmmu.qemu.names import (
    NameFault,
    global_reaches,
    judge_device,
    judge_global,
    judge_object,
)
from vsmmu.qemu.references import backend_faults
from vsmmu.qemu.settings import SettingsError, read_settings, without

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vsmmu.machine.model import Device, Machine
    from vsmmu.qemu.findings import Findings
    from vsmmu.qemu.outcome import Failure
    from vsmmu.qemu.settings import VsmmuSettings
    from vsmmu.qemu.versions import Qemu
    from vsmmu.versions import Version

__all__ = [
    "TYPE_FAULTS",
    "device_faults",
    "doubt_of",
    "meant",
    "mended_settings",
    "object_faults",
    "remedy_of",
    "with_meant_types",
    "with_remedy",
]

#: Faults of a type: nothing of such a device can be judged, unless another type is meant.
TYPE_FAULTS: Final = frozenset(("qemu-type-unknown", "draft-name"))


def object_faults(machine: Machine, qemu: Qemu) -> Iterator[tuple[str, str, NameFault]]:
    """Id, option and fault of each object that is not what its type takes; QEMU reads them first of all."""
    for entry in machine.objects:
        fault = judge_object(entry, qemu)
        if fault is not None:
            yield entry.id, entry.origin.option, fault


def device_faults(device: Device, machine: Machine, qemu: Qemu) -> Iterator[NameFault]:
    """The faults of a device as it is written: its defaults by ``-global``, then its own."""
    for entry in machine.globals:
        if global_reaches(entry, device.driver, qemu):
            fault = judge_global(entry, qemu, device.driver)
            if fault is not None:
                yield fault
    # Whether a PCI address is one is a matter of its place (vsmmu.qemu.slot_address).
    rest = {name: value for name, value in device.properties.items() if name != "addr"}
    fault = judge_device(device._replace(properties=rest), qemu)
    if fault is not None:
        yield fault
    else:
        yield from backend_faults(device, machine)


def with_meant_types(machine: Machine, qemu: Qemu) -> Machine:
    """The VM with misspelt device types as they are probably meant, so that the rest of it can be judged."""
    changed = {
        device.number: device._replace(driver=fault.nearest)
        for device in machine.devices
        if (fault := judge_device(device, qemu)) is not None and fault.code in TYPE_FAULTS and fault.nearest
    }
    if not changed:
        return machine
    return machine._replace(devices=tuple(changed.get(entry.number, entry) for entry in machine.devices))


def meant(fault: NameFault) -> str:
    """What was probably meant, as a clause; empty if nothing looks like it."""
    if fault.translation:
        return fault.translation
    return f"did you mean {fault.nearest}?" if fault.nearest else ""


def remedy_of(fault: NameFault) -> str:
    """What to do about a fault."""
    if fault.code == "qemu-property-value":
        return meant(fault) or "correct the value that QEMU's sentence is about"
    return meant(fault) or "correct the name; qemu-system-aarch64 -device help lists what there is"


def with_remedy(failed: Failure, fault: NameFault) -> Failure:
    """A refusal of the settings' own reader, with what was probably meant."""
    return msgspec.structs.replace(failed, remedy=remedy_of(fault)) if meant(fault) else failed


def mended_settings(
    device: Device,
    machine: Machine,
    qemu: Qemu,
    version: Version,
    faults: Sequence[NameFault],
    findings: Findings,
) -> VsmmuSettings:
    """A vSMMU's settings without what QEMU's parser refuses, which goes into the findings.

    :param version: of the machine type.
    :param faults: of the device's names, for what was probably meant by one that is refused.
    """
    while True:
        try:
            return read_settings(device, machine, qemu, version)
        except SettingsError as error:
            fault = next((entry for entry in faults if entry.text == error.failed.text), None)
            findings.refuse(error.failed if fault is None else with_remedy(error.failed, fault))
            nearest = fault.nearest if fault is not None else ""
            device, machine = without(device, machine, error.property, nearest)


def doubt_of(fault: NameFault, device: str, qemu: str) -> Diagnostic:
    """A fault that this QEMU need not have: builds of a version have different types."""
    return Diagnostic(
        fault.code,
        f"QEMU {qemu} could refuse a name or value of this VM",
        where=device,
        why=fault.text,
        next=f"{remedy_of(fault)}; --qemu BINARY asks the binary itself",
        severity="unknown",
    )
