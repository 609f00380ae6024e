# SPDX-License-Identifier: Apache-2.0
"""Property values of one ``arm-smmuv3``: defaults, ``-global``, the device's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from vsmmu.machine.model import VSMMU_TYPES
from vsmmu.named_tuple import NamedTuple
from vsmmu.qemu.outcome import Failure, failure
from vsmmu.qemu.qdict import in_order
from vsmmu.qemu.values import boolean, refusal, unsigned
from vsmmu.smmuv3.properties import AUTO, PROPERTIES, Property, Value

if TYPE_CHECKING:
    from vsmmu.machine.model import Device, JsonValue, Machine
    from vsmmu.qemu.message import Phase
    from vsmmu.qemu.versions import Qemu
    from vsmmu.versions import Version

__all__ = [
    "Setting",
    "SettingsError",
    "VsmmuSettings",
    "is_accelerated",
    "read_bool",
    "read_settings",
    "without",
    "written_properties",
]

#: Where a value comes from: the device itself, ``-global``, or the machine type's default.
Written = Literal["device", "global", "default"]

#: What every version knows besides the five and ``accel``; values of these are not judged.
_OTHER: Final = frozenset({"bus", "bus_num", "primary-bus", "smmu_per_bus", "stage"})
#: What came with ``accel``, and with ``cmdqv``; not judged, either.
_WITH_ACCEL: Final = frozenset({"accel", "memory", "msi-gpa", "secure-memory"})
_WITH_CMDQV: Final = frozenset({"identifier"})


class Setting(NamedTuple):
    """A property's value and who says so."""

    value: Value
    written: Written


class VsmmuSettings(NamedTuple):
    """The configuration of one vSMMU as QEMU holds it before realize.

    ``values`` has exactly the properties that the QEMU version knows. ``stage`` is None if nobody set it,
    which is not the same to QEMU as an empty string.
    """

    accel: bool
    primary_bus: str
    stage: str | None
    values: dict[str, Setting]

    def value(self, name: str) -> Value | None:
        """The value of a property; None if this QEMU does not have it."""
        setting = self.values.get(name)
        return None if setting is None else setting.value


class SettingsError(Exception):
    """QEMU's parser refuses a property; carries the predicted :class:`Failure`, and the property's name."""

    def __init__(self, failed: Failure, property: str) -> None:
        super().__init__(failed.text)
        self.failed = failed
        self.property = property


class _Parser(NamedTuple):
    """The context of one device's parse, for messages."""

    device: Device
    qemu: Qemu
    phase: Phase
    lead: str = ""

    def refuse(self, code: str, property: str, **values: object) -> SettingsError:
        values = {"driver": self.device.driver, "property": property} | values
        option = self.device.origin.option if self.phase != "hot-plug" else ""
        failed = failure(code, self.device.name, option, self.phase, lead=self.lead, qemu=self.qemu, **values)
        return SettingsError(failed, property)

    def value(self, entry: Property, value: JsonValue) -> Value:
        if entry.kind == "bool":
            return entry.spellings["on" if self.boolean(entry.option, value) else "off"]
        if entry.kind == "uint8":
            return self.number(entry, value)
        if not isinstance(value, str):
            raise self.refuse("qemu-json-type", entry.option, value="string")
        try:
            return entry.parse(value)
        except ValueError:
            accepted = ", ".join(entry.spellings)
            raise self.refuse("qemu-value", entry.option, value=value, accepted=accepted) from None

    def number(self, entry: Property, value: JsonValue) -> int:
        text = refusal(entry.option, entry.kind, value, self.device.form, {})
        number = value if isinstance(value, int) else unsigned(str(value))
        if text or number is None:
            remedy = f"write one of: {', '.join(entry.spellings)}"
            raise self.refuse("qemu-property-value", entry.option, text=text, remedy=remedy)
        return number

    def boolean(self, name: str, value: JsonValue) -> bool:
        if self.device.form == "json" and not isinstance(value, bool):
            raise self.refuse("qemu-json-type", name, value="boolean")
        read = read_bool(value)
        if read is None:
            raise self.refuse("qemu-bool", name)
        return read


def read_bool(value: JsonValue) -> bool | None:
    """A boolean as QEMU reads it: on, yes, true, y and their opposites; None for other words."""
    if isinstance(value, bool):
        return value
    return boolean(value) if isinstance(value, str) else None


def written_properties(device: Device, machine: Machine) -> dict[str, JsonValue]:
    """What is written for an ``arm-smmuv3``: by ``-global`` of its types, and over that by itself."""
    given = {entry.property: entry.value for entry in machine.globals if entry.driver in VSMMU_TYPES}
    return {**given, **device.properties}


def is_accelerated(device: Device, machine: Machine) -> bool:
    """Whether an ``arm-smmuv3`` has ``accel=on``, by itself or by ``-global``; an unknown word is no."""
    return read_bool(written_properties(device, machine).get("accel", False)) is True


def known_properties(qemu: Qemu) -> frozenset[str]:
    """The names that ``-device arm-smmuv3`` of this version takes."""
    known = _OTHER.union(entry.option for entry in qemu.properties.values() if qemu.has(entry))
    if qemu.fork is not None:
        known |= qemu.fork.doubtful
    if qemu.has_accel:
        known |= _WITH_ACCEL
    return known | _WITH_CMDQV if qemu.has_cmdqv else known


def read_settings(
    device: Device, machine: Machine, qemu: Qemu, machine_version: Version, phase: Phase = "create"
) -> VsmmuSettings:
    """Read an ``arm-smmuv3`` as QEMU's property setters do.

    :raise SettingsError: with the message that QEMU would print.
    """
    parser = _Parser(device, qemu, phase)
    values = {name: Setting(value, "default") for name, value in qemu.defaults(machine_version).items()}
    other: dict[str, JsonValue] = {"accel": False, "primary-bus": "", "stage": None}
    for entry in machine.globals:
        if entry.driver in VSMMU_TYPES:
            lead = f"can't apply global {entry.driver}.{entry.property}={entry.value}: "
            keyval = _Parser(device._replace(form="keyval"), qemu, phase, lead)
            _apply(keyval, entry.property, entry.value, "global", values, other)
    for name in in_order(device.properties):
        _apply(parser, name, device.properties[name], "device", values, other)
    stage = None if other["stage"] is None else str(other["stage"])
    return VsmmuSettings(bool(other["accel"]), str(other["primary-bus"]), stage, values)


def without(device: Device, machine: Machine, property: str, meant: str = "") -> tuple[Device, Machine]:
    """The device and the VM's globals without a property: what a refused one is mended to.

    :param meant: the property that was probably meant, which gets the value.
    """
    properties = {name: value for name, value in device.properties.items() if name != property}
    if meant and property in device.properties:
        properties.setdefault(meant, device.properties[property])
    others = tuple(
        entry for entry in machine.globals if entry.driver not in VSMMU_TYPES or entry.property != property
    )
    return device._replace(properties=properties), machine._replace(globals=others)


def _apply(
    parser: _Parser,
    name: str,
    value: JsonValue,
    written: Written,
    values: dict[str, Setting],
    other: dict[str, JsonValue],
) -> None:
    if name not in known_properties(parser.qemu):
        if parser.qemu.fork is not None and name not in PROPERTIES:
            return  # nobody has seen all of its names: vsmmu.qemu.names says that it is not known
        raise parser.refuse("qemu-no-property", name)
    entry = parser.qemu.property_of(name)
    if entry is not None and parser.qemu.has(entry):
        values[entry.name] = Setting(parser.value(entry, value), written)
    elif name == "accel":
        other[name] = parser.boolean(name, value)
    elif name in other:
        if not isinstance(value, str):
            raise parser.refuse("qemu-json-type", name, value="string")
        other[name] = value


def is_auto(setting: Setting | None) -> bool:
    """Whether QEMU would resolve this property itself."""
    return setting is not None and setting.value == AUTO
