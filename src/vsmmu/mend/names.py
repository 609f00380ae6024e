# SPDX-License-Identifier: Apache-2.0
"""Ways to mend names that QEMU or libvirt does not know: drafts, and misspelt types and properties."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vsmmu.diagnostic import MACHINE, Edit
from vsmmu.machine.domain.iommu import OTHER_MODELS
from vsmmu.machine.model import VSMMU_DRIVER
from vsmmu.mend.fault import Way
from vsmmu.qemu.device_tables import table
from vsmmu.qemu.dialects import dialect
from vsmmu.qemu.names import judge_device, judge_machine
from vsmmu.smmuv3.properties import AUTO

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from vsmmu.diagnostic import Change, Written
    from vsmmu.machine.domain.iommu import Iommu
    from vsmmu.machine.model import Device, JsonValue
    from vsmmu.mend.fault import VmFault
    from vsmmu.qemu.names import NameFault
    from vsmmu.qemu.versions import Qemu
    from vsmmu.smmuv3.properties import Property

__all__ = ["accel_attribute", "attribute", "draft_model", "name", "surely"]

#: What drafts called ``primary-bus``.
_BUSES: Final = ("bus", "pci-bus")
#: In shorter names one mark more or less is too much.
_LONG: Final = 5


def name(fault: VmFault) -> Iterator[Way]:
    """A type or property that is a draft's, or misspelt so that one name alone can be meant."""
    device, qemu = fault.device, fault.setting.qemu
    if device is None:
        found = judge_machine(fault.setting.machine, qemu)
        if found is not None and fault.found.why.endswith(found.text):
            yield from _machine_option(fault, found)
        return
    found = judge_device(device, qemu)
    if found is None or found.text not in fault.found.why:
        return
    if found.name == device.driver:
        yield from _type(fault, device)
    elif found.name in device.properties:
        yield from _property(fault, device, found.name)


def _type(fault: VmFault, device: Device) -> Iterator[Way]:
    draft, qemu = dialect("device", device.driver), fault.setting.qemu
    if draft is None:
        meant = surely(device.driver, table(qemu).device_names)
        if meant:
            yield Way(f"write {meant}", (Edit(device.number, "driver", meant),))
    elif draft.becomes:
        renamed = (_renamed(device, bus, "primary-bus") for bus in _BUSES if bus in device.properties)
        changes: list[Change] = [Edit(device.number, "driver", draft.becomes)]
        changes += [change for pair in renamed for change in pair]
        if draft.becomes == VSMMU_DRIVER and not any(
            name == "accel" or _meant(VSMMU_DRIVER, name, qemu) == "accel" for name in device.properties
        ):
            changes.append(Edit(device.number, "accel", True))
        yield Way(draft.translation, tuple(changes))


def _property(fault: VmFault, device: Device, written: str) -> Iterator[Way]:
    qemu = fault.setting.qemu
    if qemu.fork is not None and written in qemu.properties and device.driver == VSMMU_DRIVER:
        yield from _in_words_of(qemu.properties[written], device)
        return
    meant = _meant(device.driver, written, qemu)
    if meant and meant not in device.properties:
        yield Way(f"write {meant}=", _renamed(device, written, meant))


def _meant(driver: str, written: str, qemu: Qemu) -> str:
    """The property that a draft's name or a misspelt one means for certain; empty if there is none."""
    draft = dialect("property", f"{driver}.{written}", qemu)
    if draft is not None:
        return draft.becomes
    kind = table(qemu).device(driver)
    return surely(written, kind.properties) if kind is not None else ""


def _in_words_of(row: Property, device: Device) -> Iterator[Way]:
    """A release's property in a fork's words, where the fork can say the same value."""
    value = next((text for text, held in row.spellings.items() if str(held) == device.text(row.name)), "")
    if value and row.option not in device.properties:
        changes = (Edit(device.number, row.option, value), Edit(device.number, row.name, None))
        yield Way(f"write {row.option}={value}", changes)


def _machine_option(fault: VmFault, found: NameFault) -> Iterator[Way]:
    machine = fault.setting.machine
    if found.code == "draft-name" and machine.vsmmus:
        yield Way("remove iommu=", (Edit(MACHINE, "iommu", None),))
    elif found.code == "qemu-property-unknown" and "." not in found.name:
        full = fault.setting.machine.machine_type or "virt"
        kind = table(fault.setting.qemu).machine(full)
        meant = surely(found.name, kind.properties) if kind is not None else ""
        value = machine.machine_options.get(found.name)
        if meant and value is not None and meant not in machine.machine_options:
            changes = (Edit(MACHINE, found.name, None), Edit(MACHINE, meant, value))
            yield Way(f"write {meant}=", changes)


def _renamed(device: Device, old: str, new: str) -> tuple[Change, ...]:
    return (Edit(device.number, new, _written(device.properties[old])), Edit(device.number, old, None))


def _written(value: JsonValue) -> Written:
    return value if isinstance(value, str | int | bool) else str(value)


def surely(written: str, known: Iterable[str]) -> str:
    """The one known name that is meant for certain; empty if there is none.

    It is the same without case, dashes and underscores; else one mark off, where no other name is as near.
    """
    others = [other for other in known if other != written]
    same = [other for other in others if _squeezed(other) == _squeezed(written)]
    near = same or [other for other in others if len(other) >= _LONG and _is_one_off(written, other)]
    return near[0] if len(near) == 1 else ""


def _squeezed(text: str) -> str:
    return text.lower().replace("-", "").replace("_", "")


def _is_one_off(one: str, other: str) -> bool:
    """Whether one mark more, less, other, or two that changed places, make one of the other."""
    if abs(len(one) - len(other)) > 1:
        return False
    start = next((at for at, pair in enumerate(zip(one, other, strict=False)) if len(set(pair)) > 1), None)
    if start is None:
        return True
    tails = (one[start + 1 :], other[start + 1 :])
    swapped = (
        one[start : start + 2] == other[start : start + 2][::-1] and one[start + 2 :] == other[start + 2 :]
    )
    return tails[0] == tails[1] or tails[0] == other[start:] or one[start:] == tails[1] or swapped


# Attributes of <iommu>, which an edit of the domain spells as libvirt does


def attribute(fault: VmFault) -> Iterator[Way]:
    """Attributes that are misspelt, ``auto`` or of another model."""
    for number, iommu in _iommus(fault):
        written = iommu.driver.attributes if iommu.driver is not None else {}
        known = {entry.known for entry in iommu.misspelt if entry.known}
        auto = [name for name, value in iommu.settings.items() if value == AUTO]
        foreign = [name for name in written if name in OTHER_MODELS]
        changes = [Edit(number, name, None) for name in (*auto, *foreign)]
        changes += [
            Edit(number, name, value)
            for name, value in iommu.settings.items()
            if name in known and value != AUTO
        ]
        if changes:
            yield Way("write it as libvirt does", tuple(changes))


def draft_model(fault: VmFault) -> Iterator[Way]:
    """The model by a draft's name."""
    for number, iommu in _iommus(fault):
        yield Way("write model='smmuv3'", (Edit(number, "pciBus", iommu.pci_bus),))


def accel_attribute(fault: VmFault) -> Iterator[Way]:
    """Values without ``accel='on'``, with a function of the host behind."""
    setting = fault.setting
    for number, iommu in _iommus(fault):
        if "accel" not in iommu.settings and setting.functions_behind(setting.machine.devices[number]):
            yield Way("write accel='on'", (Edit(number, "accel", True),))


def _iommus(fault: VmFault) -> Iterator[tuple[int, Iommu]]:
    """The ``<iommu>`` at which the diagnosis stands."""
    found = fault.setting.iommu_at(fault.found.where)
    if found is not None:
        yield found
