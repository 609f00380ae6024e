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

__all__ = ["Admitted", "admit", "doubts_of_program"]

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
    :param notes: what is not known of the VM because of it.
    :param hides: the option's name, if parameters may be in it that are not seen.
    """

    read: bool
    unread: frozenset[str] = frozenset()
    notes: tuple[Diagnostic, ...] = ()
    hides: frozenset[str] = frozenset()


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
        return Admitted(read=False, notes=(_arguments(source, option.first, field),))
    field = source.opaque.get(option.last)
    if field is None:
        return Admitted(read=True)
    if option.name in _READ:
        raise source.expansion(field.opaque[0])
    listed = field.many and _is_list(field)  # the rest of the list is options
    notes = (_arguments(source, option.last, field),) if listed else ()
    if option.name not in _KEYS:
        return Admitted(read=True, notes=notes, hides=frozenset({option.name}))
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
                return Admitted(read=False, notes=notes, hides=frozenset({option.name}))
            raise source.expansion(part)
        unread.add(key)
    hides = frozenset({option.name} if field.opaque[0].start == 0 else ()) & _COUNTED
    return Admitted(read=True, unread=frozenset(unread), notes=notes, hides=hides)


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


def doubts_of_program(source: WordSource, program: int) -> list[Diagnostic]:
    """The options that come with the program, such as ``"$@"`` or ``$CMD`` in its place.

    A single variable that is called like QEMU is taken for the program alone.

    :param program: the number of the word that is the emulator, of which a part is not known.
    """
    field = source.opaque[program]
    text = field.value.casefold()
    alone = ("qemu" in text or "kvm" in text) and not _is_list(field)
    return [_arguments(source, program, field)] if field.many and not alone else []


def _is_list(field: CommandWord) -> bool:
    """Whether a word that may be many is all the elements of something: ``"$@"``, ``${A[*]}``."""
    return field.value.endswith(("@", "*", "[@]}", "[*]}"))


def _arguments(source: WordSource, word: int, field: CommandWord) -> Diagnostic:
    """The doubt that words nobody has seen may change the VM."""
    from vsmmu.diagnostic import Diagnostic

    shown = field.value if len(field.value) < 40 else field.value[:37] + "..."
    return Diagnostic(
        "shell-arguments",
        f"not known, so not looked at: the options that {shown} stands for",
        source.place(word),
        why="they come from outside this text, and can change the VM",
        next=source.expansion(field.opaque[0]).next.partition("; or ")[2]
        or "give the process id of the running QEMU",
        severity="unknown",
    )
