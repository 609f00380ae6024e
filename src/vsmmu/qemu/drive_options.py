# SPDX-License-Identifier: Apache-2.0
"""Drives of ``-drive`` and its short forms: interfaces that the ``virt`` board lacks, values that none takes.

Source: drive_new() in blockdev.c of qemu/qemu; each text measured with 11.1.3. Whether the image is there,
and what its format is, is not looked at here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vsmmu.qemu.names import NameFault, nearest
from vsmmu.qemu.values import boolean, unsigned

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from vsmmu.machine.model import NamedOption

__all__ = ["drive_faults"]

#: Interfaces that the board has not -> the most drives on one of their buses; 0 if there is but one bus.
_FOREIGN: Final = {"ide": 2, "scsi": 7, "floppy": 0, "sd": 0, "mtd": 0}
#: Short forms -> the interface that they ask for.
_SHORT: Final = {"fda": "floppy", "fdb": "floppy", "mtdblock": "mtd", "sd": "sd"}
_INTERFACES: Final = frozenset({"none", "virtio", "pflash", "xen", *_FOREIGN})
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
    """Each drive's option and what QEMU says of it: values first, as it reads them, then the interfaces."""
    drives = [option for option in options if option.name == "drive" or option.name in _SHORT]
    for option in drives:
        for text, known in _values(option.settings) if option.name == "drive" else ():
            likely = nearest(option.settings.get("if", ""), known)
            yield option.origin.option, NameFault("qemu-property-value", True, text, likely)
    yield from _without_place(drives)


def _values(settings: Mapping[str, str]) -> Iterator[tuple[str, Iterable[str]]]:
    for name, said in _SWITCHES.items():
        if name in settings and boolean(settings[name]) is None:
            yield f"Parameter '{said}' expects 'on' or 'off'", ()
    for name, (accepted, text) in _CHOICES.items():
        if name in settings and settings[name] not in accepted.split():
            yield text.format(value=settings[name]), ()
    interface = settings.get("if", "virtio")
    if interface not in _INTERFACES:
        yield f"unsupported bus type '{interface}'", _INTERFACES


def _without_place(drives: Iterable[NamedOption]) -> Iterator[tuple[str, NameFault]]:
    """Drives whose interface the board has not; QEMU says it of all of them, of the first first."""
    used: set[tuple[str, int, int]] = set()
    for option in drives:
        interface = _SHORT.get(option.name, option.settings.get("if", ""))
        if interface not in _FOREIGN:
            continue
        bus, unit = _place(option.settings, interface, used)
        used.add((interface, bus, unit))
        text = f"machine type does not support if={interface},bus={bus},unit={unit}"
        yield option.origin.option, NameFault("qemu-property-value", True, text)


def _place(settings: Mapping[str, str], interface: str, used: set[tuple[str, int, int]]) -> tuple[int, int]:
    most = _FOREIGN[interface]
    index = unsigned(settings.get("index", ""))
    if index is not None:
        return divmod(index, most) if most else (0, index)
    bus, unit = unsigned(settings.get("bus", "")) or 0, unsigned(settings.get("unit", ""))
    if unit is not None:
        return bus, unit
    unit = 0
    while (interface, bus, unit) in used:
        unit += 1
        if most and unit >= most:
            bus, unit = bus + 1, 0
    return bus, unit
