# SPDX-License-Identifier: Apache-2.0
"""Drives of ``-drive`` and its short forms: interfaces that the ``virt`` board lacks, values that none takes.

Source: drive_new() in blockdev.c of qemu/qemu; each text measured with 11.1.3. Whether the image is there,
and what its format is, is not looked at here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vsmmu.machine.model import Unread
from vsmmu.qemu.names import NameFault, nearest
from vsmmu.qemu.values import boolean, unsigned

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Mapping

    from vsmmu.machine.model import NamedOption

__all__ = ["drive_faults"]

#: Interface -> the most drives on one of its buses; of the others all are on bus 0.
_ON_A_BUS: Final = {"ide": 2, "scsi": 7}
_FOREIGN: Final = frozenset({"ide", "scsi", "floppy", "sd", "mtd"})
_INTERFACES: Final = _FOREIGN | {"none", "virtio", "pflash", "xen"}
#: What to write where the board does not have an interface, or no more of it.
_INSTEAD: Final = {
    **dict.fromkeys(
        _FOREIGN, "write if=none and an id=, and a -device with drive= that the board has a bus for"
    ),
    "pflash": "the board has two flash chips, units 0 and 1: leave the third out",
}
#: How many flash chips the board has.
_CHIPS: Final = 2
#: Parameter -> what it takes, and QEMU's sentence about anything else.
_CHOICES: Final = {
    "media": ("disk cdrom", "'{value}' invalid media"),
    "cache": ("none off writeback unsafe writethrough directsync", "invalid cache option"),
    "aio": ("threads native io_uring", "invalid aio option"),
    "discard": ("ignore off unmap on", "Invalid discard option"),
}
#: Parameter -> the name that QEMU has for it.
_SWITCHES: Final = {"snapshot": "snapshot", "readonly": "read-only", "read-only": "read-only",
                    "copy-on-read": "copy-on-read"}  # fmt: skip


def drive_faults(options: Iterable[NamedOption]) -> Iterator[tuple[str, NameFault]]:
    """Each drive's option and what QEMU says of it: values and places, then interfaces that are not there."""
    places: dict[tuple[str, int, int], str] = {}
    for option in options:
        if option.name != "drive" or any(isinstance(value, Unread) for value in option.settings.values()):
            continue
        for text in _values(option.settings):
            likely = nearest(option.settings.get("if", ""), _INTERFACES) if "bus type" in text else ""
            yield option.origin.option, NameFault("qemu-property-value", True, text, likely)
        place = _place(option.settings, places)
        if place in places:
            _, bus, unit = place
            text = f"drive with bus={bus}, unit={unit} (index={option.settings.get('index', '-1')}) exists"
            own = "give each drive an index=, or bus= and unit=, of its own"
            yield option.origin.option, NameFault("qemu-property-value", True, text, translation=own)
        places.setdefault(place, option.origin.option)
    for (interface, bus, unit), said in places.items():
        if interface in _FOREIGN or (interface == "pflash" and unit >= _CHIPS):
            text = f"machine type does not support if={interface},bus={bus},unit={unit}"
            yield said, NameFault("qemu-property-value", True, text, translation=_INSTEAD[interface])


def _values(settings: Mapping[str, str]) -> Iterator[str]:
    for name, said in _SWITCHES.items():
        if name in settings and boolean(settings[name]) is None:
            yield f"Parameter '{said}' expects 'on' or 'off'"
    for name, (accepted, text) in _CHOICES.items():
        if name in settings and settings[name] not in accepted.split():
            yield text.format(value=settings[name])
    interface = settings.get("if", "virtio")
    if interface not in _INTERFACES:
        yield f"unsupported bus type '{interface}'"


def _place(settings: Mapping[str, str], places: Container[tuple[str, int, int]]) -> tuple[str, int, int]:
    """Interface, bus and unit: by ``index=`` or ``unit=``, else the first free one."""
    interface = settings.get("if", "virtio")
    most = _ON_A_BUS.get(interface, 0)
    index = unsigned(settings.get("index", ""))
    if index is not None:
        return (interface, *divmod(index, most)) if most else (interface, 0, index)
    bus, unit = unsigned(settings.get("bus", "")) or 0, unsigned(settings.get("unit", ""))
    if unit is not None:
        return interface, bus, unit
    unit = 0
    while (interface, bus, unit) in places:
        unit += 1
        if most and unit >= most:
            bus, unit = bus + 1, 0
    return interface, bus, unit
