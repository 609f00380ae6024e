# SPDX-License-Identifier: Apache-2.0
"""Options with a part that only a shell (or systemd) knows: kept as written where no rule reads that part."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from vsmmu.machine.command_line.keyval import parse_opts
from vsmmu.machine.drivers import BRIDGES, VFIO_DRIVERS
from vsmmu.machine.model import VSMMU_DRIVER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vsmmu.diagnostic import Diagnostic
    from vsmmu.machine.command_line.command_word import CommandWord
    from vsmmu.machine.command_line.options import WrittenOption
    from vsmmu.machine.command_line.sources import WordSource

__all__ = ["Admitted", "admit"]

#: Options that decide what the VM is, in every part.
_READ: Final = frozenset({"machine", "M", "accel", "global", "set", "readconfig"})
#: Options of which a rule reads some keys -> (key of a first value without one, those keys).
_KEYS: Final[dict[str, tuple[str, frozenset[str]]]] = {
    "device": ("driver", frozenset({"driver", "id", "bus", "addr", "multifunction"})),
    "object": ("qom-type", frozenset({"qom-type", "id"})),
    "drive": ("", frozenset({"if", "id", "media"})),
    "nic": ("type", frozenset({"type", "model"})),
    "net": ("type", frozenset({"type", "model"})),
    "virtfs": ("fsdriver", frozenset({"id", "mount_tag"})),
    "audio": ("driver", frozenset({"model"})),
    "numa": ("type", frozenset({"type"})),
    "m": ("size", frozenset()),
    "smp": ("cpus", frozenset()),
}
#: Types of which every property is read.
_WHOLE: Final = BRIDGES.keys() | VFIO_DRIVERS | {VSMMU_DRIVER, "iommufd"}
#: Options that hold numbers alone: where the name of one is not known, none is.
_COUNTED: Final = frozenset({"m", "smp"})
#: Options that can be left out of the reading.
_OPTIONAL: Final = frozenset({"drive", "virtfs", "audio", "nic", "net", "numa"})


class Admitted(NamedTuple):
    """What becomes of an option.

    :param read: whether it is read like any other.
    :param unread: keys whose values are not known.
    :param note: what is not known of the VM because of it; None if nothing that a rule reads.
    """

    read: bool
    unread: frozenset[str] = frozenset()
    note: Diagnostic | None = None


def admit(source: WordSource, option: WrittenOption) -> Admitted:
    """Decide about an option with opaque parts.

    :raise InputRefused: ``shell-expansion``, if a rule needs such a part.
    """
    field = source.opaque.get(option.first)
    if field is not None:
        if option.name or not (field.many or field.opaque[0].start == 0):
            if field.value.startswith("-"):
                raise source.expansion(field.opaque[0])
            return Admitted(read=True)
        return Admitted(read=False, note=_arguments(source, option, field))
    field = source.opaque.get(option.last)
    if field is None:
        return Admitted(read=True)
    if option.name in _READ:
        raise source.expansion(field.opaque[0])
    if option.name not in _KEYS:
        return Admitted(read=True)
    implied, read = _KEYS[option.name]
    spans = list(_values(field.value, implied))
    whole = any(key == implied and value in _WHOLE for key, value, _, _ in spans)
    unread: set[str] = set()
    for part in field.opaque:
        key = next((key for key, _, start, end in spans if start <= part.start and part.end <= end), "")
        if not key and option.name in _COUNTED:
            unread.update(pair.key for pair in parse_opts(field.value, implied))
        elif not key or key in read or whole:
            if option.name in _OPTIONAL:
                return Admitted(read=False)
            raise source.expansion(part)
        unread.add(key)
    return Admitted(read=True, unread=frozenset(unread))


def _values(text: str, implied: str) -> Iterator[tuple[str, str, int, int]]:
    """Key, value and the place of the written value, of each parameter that has one."""
    if not text.startswith("{"):
        for pair in parse_opts(text, implied):
            if pair.value_start >= 0:
                yield pair.key, pair.value, pair.value_start, pair.end
        return
    from vsmmu.machine.command_line.qjson import JsonError, parse_object

    try:
        members = parse_object(text)
    except JsonError:
        return
    for member in members:
        yield member.key, str(member.value), member.value_start, member.value_end


def _arguments(source: WordSource, option: WrittenOption, field: CommandWord) -> Diagnostic:
    """The doubt that words nobody has seen may change the VM."""
    from vsmmu.diagnostic import Diagnostic

    shown = field.value if len(field.value) < 40 else field.value[:37] + "..."
    return Diagnostic(
        "shell-arguments",
        f"not known, so not looked at: the options that {shown} stands for",
        source.place(option.first),
        why="they come from outside this text, and can change the VM",
        next=source.expansion(field.opaque[0]).next.partition("; or ")[2]
        or "give the process id of the running QEMU",
        severity="unknown",
    )
