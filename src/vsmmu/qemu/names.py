# SPDX-License-Identifier: Apache-2.0
"""Whether QEMU knows the types and properties that a VM names, and takes the values as they are written.

Each judgement is about one option alone: what QEMU says when it looks the name up or reads the value, not
what happens when the device is made. QEMU looks at all ``-object`` first, then at the machine's properties,
then at the devices in order of creation: the type, the bus, and the properties in the order of its hash table
[measured on 11.1.3]. A name in the short list of :mod:`vsmmu.qemu.known_names` costs no table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from vsmmu.named_tuple import NamedTuple
from vsmmu.qemu import known_names, values
from vsmmu.qemu.dialects import dialect
from vsmmu.qemu.qdict import in_order
from vsmmu.qemu.versions import VERSIONED, machine_type

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from vsmmu.machine.model import Device, Global, JsonValue, Machine, MachineObject
    from vsmmu.qemu.device_tables import DeviceTable, DeviceType
    from vsmmu.qemu.versions import Qemu

__all__ = [
    "NameFault",
    "global_reaches",
    "has_machine",
    "judge_device",
    "judge_global",
    "judge_machine",
    "judge_object",
    "nearest",
]

Code = Literal[
    "qemu-property-unknown", "qemu-type-unknown", "qemu-property-value", "qemu-object-unknown", "draft-name"
]

#: Properties of every device that only QEMU sets, and the one that ``-device`` may set.
_READ_ONLY: Final = frozenset({"hotpluggable", "hotplugged", "parent_bus", "type"})
_EVERY_DEVICE: Final = {"realized": "bool"}
#: What QEMU takes out of ``-machine`` before it looks at properties (system/vl.c).
_NOT_PROPERTIES: Final = frozenset("accel igd-passthru kernel-irqchip kvm-shadow-mem memory-backend".split())
#: Types of properties that have no setter.
_FIXED_KINDS: Final = frozenset({"busnr", "child", "fixed"})
#: difflib's time grows with the product of the lengths.
_LONGEST_NAME: Final = 64
_LIKENESS: Final = 0.7


class NameFault(NamedTuple):
    """A name or value that QEMU refuses, or perhaps refuses.

    :param certain: whether this QEMU refuses it. False where builds of a version differ (types), where the
        version's table is derived, and for a version newer than the tables: then the answer is unknown.
    :param text: QEMU's sentence, without the option in front of it.
    :param nearest: the known name that looks most like it; empty if none does.
    :param translation: what to do or write instead, such as what releases have in place of a draft's name;
        empty if that is not known.
    :param name: the name at fault as it is written: a type, or a property of one.
    """

    code: Code
    certain: bool
    text: str
    nearest: str = ""
    translation: str = ""
    name: str = ""


def _table(qemu: Qemu) -> DeviceTable:
    from vsmmu.qemu.device_tables import table

    return table(qemu)


def _sure(qemu: Qemu, table: DeviceTable | None) -> bool:
    """Whether a name that the table lacks is certainly none of this QEMU's."""
    return (qemu.modelled and qemu.fork is None) or (table is not None and table.exact)


def nearest(name: str, candidates: Iterable[str]) -> str:
    """The name that looks most like another; empty if none does."""
    if len(name) > _LONGEST_NAME:
        return ""
    from difflib import get_close_matches

    others = [other for other in candidates if other != name]
    return next(iter(get_close_matches(name, others, n=1, cutoff=_LIKENESS)), "")


# Devices


def judge_device(device: Device, qemu: Qemu) -> NameFault | None:
    """The first fault that QEMU reports of a ``-device``: its type, or a property in QEMU's order."""
    known = known_names.properties(device.driver, qemu)
    form: values.Form = device.form
    if known is not None and not any(
        _refused(known.get(name), name, value, form, known_names.ENUMS, device.driver)
        for name, value in device.properties.items()
        if name != "bus"
    ):
        return None
    return _judge_by_table(device, qemu, _table(qemu))


def _refused(
    kind: str | None,
    name: str,
    value: JsonValue,
    form: values.Form,
    enums: Mapping[str, Sequence[str]],
    owner: str,
) -> str:
    return "?" if kind is None else values.refusal(name, kind, value, form, enums, owner)


def _judge_by_table(device: Device, qemu: Qemu, table: DeviceTable) -> NameFault | None:
    kind = table.device(device.driver)
    if kind is None:
        return _unknown_device(device.driver, table)
    if kind.abstract or not kind.creatable:
        expected = "non-abstract" if kind.abstract else "pluggable"
        return NameFault(
            "qemu-type-unknown", _sure(qemu, table), f"Parameter 'driver' expects a {expected} device type"
        )
    for name in in_order(device.properties):
        if name == "bus":
            continue
        fault = _judge_property(kind, name, device.properties[name], device.form, qemu, table)
        if fault is not None:
            return fault
    return None


def _unknown_device(name: str, table: DeviceTable) -> NameFault:
    text = f"'{name}' is not a valid device model name"
    draft = dialect("device", name)
    if draft is not None and not table.exact:
        return NameFault("draft-name", False, text, translation=draft.translation, name=name)
    likely = "" if draft or table.is_known_elsewhere(name) else nearest(name, table.device_names)
    translation = draft.translation if draft else ""
    return NameFault("qemu-type-unknown", table.exact, text, likely, translation, name)


def _judge_property(
    kind: DeviceType, name: str, value: JsonValue, form: values.Form, qemu: Qemu, table: DeviceTable
) -> NameFault | None:
    properties = known_names.adapted(kind.name, {**_EVERY_DEVICE, **kind.properties}, qemu)
    held = properties.get(name)
    certain = _sure(qemu, table) or known_names.settled(kind.name, name, qemu)
    if name in _READ_ONLY or held in _FIXED_KINDS:
        text = f"Property '{kind.name}.{name}' is not writable"
        writable = [other for other, held in properties.items() if held not in _FIXED_KINDS]
        certain = certain and name not in kind.doubtful
        return NameFault("qemu-property-unknown", certain, text, nearest(name, writable))
    if held is None:
        return _unknown_property(kind.name, name, properties, qemu, certain=certain and "[" not in name)
    if name in kind.doubtful and not known_names.settled(kind.name, name, qemu):
        return _unknown_property(kind.name, name, {}, qemu, certain=False)
    text = values.refusal(name, held, value, form, table.enums, kind.name)
    return NameFault("qemu-property-value", certain, text) if text else None


def _unknown_property(
    owner: str, name: str, properties: Mapping[str, str], qemu: Qemu, *, certain: bool
) -> NameFault:
    draft = dialect("property", f"{owner}.{name}", qemu)
    return NameFault(
        "qemu-property-unknown",
        certain,
        f"Property '{owner}.{name}' not found",
        "" if draft else nearest(name, properties),
        draft.translation if draft else "",
        name,
    )


# Defaults of devices


def judge_global(entry: Global, qemu: Qemu, driver: str = "") -> NameFault | None:
    """The fault of a ``-global`` in a device that it reaches.

    QEMU finds it when it makes such a device and not before: a VM without one starts. Of a driver that is no
    device it only warns; that is reported as not certain, because the default is not set.

    :param driver: the type of the device, derived from ``entry.driver``; empty for a device of the board, see
        :func:`global_reaches`, or that type itself.
    """
    driver = driver or known_names.BOARD.get(entry.driver, entry.driver)
    known = known_names.properties(driver, qemu)
    if known is not None and not _refused(
        known.get(entry.property), entry.property, entry.value, "keyval", known_names.ENUMS, entry.driver
    ):
        return None
    table = _table(qemu)
    kind = table.device(driver)
    if kind is None:
        text = f"global {entry.driver}.{entry.property} has invalid class name"
        return NameFault("qemu-type-unknown", False, text, nearest(entry.driver, table.device_names))
    fault = _judge_property(kind, entry.property, entry.value, "keyval", qemu, table)
    if fault is None:
        return None
    lead = f"can't apply global {entry.driver}.{entry.property}={entry.value}: "
    return fault._replace(text=lead + fault.text)


def global_reaches(entry: Global, driver: str, qemu: Qemu) -> bool:
    """Whether a ``-global`` changes devices of a type: it names the type or one that it is derived from.

    :param driver: empty for the devices that the ``virt`` board makes by itself.
    """
    if not driver:
        return entry.driver in known_names.BOARD
    if entry.driver == driver:
        return True
    kind = _table(qemu).device(driver)
    return kind is not None and entry.driver in kind.parents


# Objects


def judge_object(entry: MachineObject, qemu: Qemu) -> NameFault | None:
    """The first fault of an ``-object``: its type, a member that is missing or wrong, one that it has not."""
    members = known_names.OBJECTS.get(entry.qom_type)
    if qemu.fork is not None:
        members = qemu.fork.objects.get(entry.qom_type, members)
    table = None
    if members is None or any(name not in {member for member, _, _ in members} for name in entry.properties):
        table = _table(qemu)
        members = table.object(entry.qom_type)
    if members is None:
        text = f"Parameter 'qom-type' does not accept value '{entry.qom_type}'"
        draft = dialect("object", entry.qom_type)
        exact = table is not None and table.exact
        if draft is not None:
            code: Code = "qemu-object-unknown" if exact else "draft-name"
            return NameFault(code, exact, text, translation=draft.translation)
        names = table.object_names() if table else ()
        return NameFault("qemu-object-unknown", exact, text, nearest(entry.qom_type, names))
    certain = _sure(qemu, table) and (table is None or table.has_object(entry.qom_type))
    return _judge_members(entry, members, certain=certain)


def _judge_members(
    entry: MachineObject, members: Sequence[tuple[str, str, bool]], *, certain: bool
) -> NameFault | None:
    # A file of -readconfig is read by another visitor than an -object.
    written: values.Form = "opts" if entry.origin.option.startswith("-") else "keyval"
    form: values.Form = "json" if _in_json(entry) else written
    if not entry.id:
        other = "Invalid parameter type for 'id', expected: string"
        text = other if "id" in entry.properties else "Parameter 'id' is missing"
        return NameFault("qemu-property-value", certain, text)
    for name, kind, needed in members:
        if name not in entry.properties:
            if needed and kind != "struct":
                return NameFault("qemu-property-value", certain, f"Parameter '{name}' is missing")
            continue
        text = values.refusal(name, kind, entry.properties[name], form, {})
        if text:
            return NameFault("qemu-property-value", certain, text)
    known = [name for name, _, _ in members]
    # A struct's members have names with dots or dashes of their own.
    certain = certain and all(kind != "struct" for _, kind, _ in members)
    for name in entry.properties:
        if name not in known:
            # The other visitors meet the struct that a dotted name of a file stands for.
            member = name.partition(".")[0] if form == "keyval" else name
            text = f"Invalid parameter '{name}'" if form == "opts" else f"Parameter '{member}' is unexpected"
            draft = dialect("property", f"{entry.qom_type}.{name}")
            return NameFault(
                "qemu-property-unknown",
                certain,
                text,
                nearest(name, known),
                draft.translation if draft else "",
            )
    return None


def _in_json(entry: MachineObject) -> bool:
    return entry.origin.option.partition(" ")[2].lstrip().startswith("{")


# The machine


def has_machine(name: str, qemu: Qemu) -> bool:
    """Whether this QEMU is known to have a machine type, of whatever kind of board."""
    return _table(qemu).has_machine(name)


def judge_machine(machine: Machine, qemu: Qemu) -> NameFault | None:
    """The first fault of ``-machine``'s options on a ``virt`` machine; other machines are not judged."""
    options = {name: value for name, value in machine.machine_options.items() if name not in _NOT_PROPERTIES}
    draft = dialect("machine", f"iommu={options.get('iommu', '')}")
    if draft is not None:
        text = "Invalid iommu value"
        return NameFault("draft-name", qemu.modelled, text, translation=draft.translation, name="iommu")
    if all(_is_ordinary(name, value, qemu) for name, value in options.items()):
        return None
    name = machine.machine_type or "virt"
    if name != "virt" and not name.startswith(VERSIONED):
        return None
    full = machine_type(name, qemu)
    table = _table(qemu)
    kind = table.machine(full.name if full else name)
    if kind is None:
        return None
    certain = _sure(qemu, table) and full is not None
    for option in in_order(options):
        known = full.name if full else name
        fault = _judge_option(kind, known, option, options[option], table, qemu, certain=certain)
        if fault is not None:
            return fault
    return None


def _is_ordinary(option: str, value: str, qemu: Qemu) -> bool:
    kind = known_names.MACHINE.get(option)
    text = _refused(kind, option, value, "keyval", known_names.ENUMS, "")
    fits = value in (known_names.choices(option, qemu) or {value})
    return fits and not text and not values.setter_refusal(option, value)


def _judge_option(
    kind: DeviceType, machine: str, option: str, value: str, table: DeviceTable, qemu: Qemu, *, certain: bool
) -> NameFault | None:
    name, dot, member = option.partition(".")
    held = kind.properties.get(name)
    if held is None or name in kind.doubtful:
        text = f"Property '{machine}-machine.{name}' not found"
        likely = "" if held else nearest(name, kind.properties)
        return NameFault("qemu-property-unknown", certain and held is None, text, likely, name=option)
    if dot:
        members = known_names.MEMBERS.get(name)
        held = members.get(member) if members else ""
        if members is not None and held is None:
            text = f"Parameter '{option}' is unexpected"
            return NameFault("qemu-property-unknown", certain, text, nearest(member, members))
    text = values.refusal(option, held or "", value, "keyval", table.enums)
    text = text or values.setter_refusal(option, value)
    if value not in (known_names.choices(option, qemu) or {value}):
        text = f"Invalid {option} value"
        if option == "gic-version" and qemu.version in known_names.GIC_VALUES:
            text = f"{text}\n{known_names.GIC_VALUES[qemu.version]}"
    return NameFault("qemu-property-value", certain, text) if text else None
