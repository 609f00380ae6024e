# SPDX-License-Identifier: Apache-2.0
"""A systemd unit: the command of ``ExecStart=``, and how words are written into one (systemd.service(5))."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from vsmmu.errors import InputRefused
from vsmmu.machine.command_line.command_word import CommandWord, word_of
from vsmmu.machine.command_line.shell import Segment, line_and_column
from vsmmu.machine.command_line.sources import is_emulator
from vsmmu.machine.command_line.text_source import FoundCommand
from vsmmu.machine.command_line.unit_words import BLANKS, unit_commands
from vsmmu.machine.limits import refuse_over

if TYPE_CHECKING:
    from vsmmu.machine.command_line.shell import Context

__all__ = ["read_unit"]

#: systemd refuses longer lines (LONG_LINE_MAX); a unit has a handful.
_MAX_UNIT: Final = 1 << 20
_VARIABLE: Final = re.compile(r"\$(?:\{([A-Za-z_][A-Za-z0-9_]*)\}|([A-Za-z_][A-Za-z0-9_]*)\Z)")
#: What ends a line of a unit: one of each, in any order, up to a NUL (read_line_full() in basic/fileio.c).
_LINE: Final = re.compile(r"([^\n\r\0]*)(?:\n\r?\0?|\r\n?\0?|\0|\Z)")
_BYTE_ORDER_MARK: Final = "\ufeff"
#: In a variable that is a word of its own these would be read once more.
_READ_AGAIN: Final = re.compile(r"[\s'\"\\]")
#: How a character is written where it would mean something.
_ESCAPED: Final = {
    **{mark: mark * 2 for mark in "\\%$"},
    **{mark: f"\\{mark}" for mark in "'\""},
    " ": "\\s",
    "\n": "\\n",
    "\t": "\\t",
    "\r": "\\r",
}
_TELLING: Final = frozenset({"-device", "-machine", "-M"})


class _Entry(NamedTuple):
    """One ``KEY=VALUE``: the spans of its value in the text; a continued line has several."""

    key: str
    spans: tuple[tuple[int, int], ...]


def read_unit(text: str, where: str) -> FoundCommand:
    """The command of the one ``ExecStart=`` that starts QEMU.

    :raise InputRefused: ``no-command``, ``many-commands``, ``unit-syntax``.
    """
    refuse_over(len(text), _MAX_UNIT, "characters", where)
    environment: dict[str, CommandWord] | None = {}
    commands: list[tuple[CommandWord, ...]] = []
    for entry in _entries(text):
        if entry.key == "ExecStart":
            found = unit_commands(text, where, entry.spans, command=True)
            commands = [*commands, *found] if found else []
        elif entry.key == "Environment" and environment is not None:
            words = [word for line in unit_commands(text, where, entry.spans, command=False) for word in line]
            environment |= {word.value.partition("=")[0]: word for word in words}
            environment = environment if words else {}
        elif entry.key in ("EnvironmentFile", "PassEnvironment", "UnsetEnvironment"):
            environment = None
    started = [words for words in commands if any(is_emulator(word.value) for word in words)] or [
        words for words in commands if any(word.value in _TELLING for word in words)
    ]
    if not started:
        told = f": {' '.join(word.value for word in commands[-1])[:80]}" if commands else ""
        raise InputRefused(
            "no-command",
            f"the unit does not start QEMU itself{told}",
            where=where,
            next="give the script that it starts, or the process id of the running QEMU",
        )
    if len(started) > 1:
        raise InputRefused(
            "many-commands",
            "more than one ExecStart= starts QEMU",
            where=f"{where}, {line_and_column(text, started[1][0].start)}",
            next="give each to vsmmu on its own",
        )
    fields = tuple(field for word in started[0] for field in _filled(word, environment or {}))
    return FoundCommand(fields, _quote, _quote_word, "systemd")


def _entries(text: str) -> list[_Entry]:
    entries: list[_Entry] = []
    spans: list[tuple[int, int]] = []
    key, marked = "", False
    for match in _LINE.finditer(text):
        line, (start, end) = match[1], match.span(1)
        if not marked and line.startswith(_BYTE_ORDER_MARK):
            line, start, marked = line[1:], start + 1, True
        comment = line.lstrip(BLANKS)[:1] in ("#", ";")
        if comment and (spans or not line.strip(BLANKS)):
            continue
        # A pair of backslashes is one that is meant.
        continued = not comment and (len(line) - len(line.rstrip("\\"))) % 2 == 1
        if not spans:
            if comment or line.lstrip(BLANKS).startswith("[") or "=" not in line:
                continue
            name, _, _ = line.partition("=")
            key = name.strip(BLANKS)
            start += len(name) + 1
        spans.append((start, end - 1 if continued else end))
        if not continued:
            entries.append(_Entry(key, _stripped(text, spans)))
            spans = []
    return [*entries, _Entry(key, _stripped(text, spans))] if spans else entries


def _stripped(text: str, spans: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """The spans of a value without the blanks at its end."""
    kept = list(spans)
    while kept:
        start, end = kept.pop()
        shown = text[start:end].rstrip(BLANKS)
        if shown:
            return (*kept, (start, start + len(shown)))
    return ()


def _filled(word: CommandWord, environment: dict[str, CommandWord]) -> list[CommandWord]:
    """The word with variables of ``Environment=`` put in."""
    if not word.opaque:
        return [word]
    pieces: list[Segment] = []
    named = _VARIABLE.fullmatch(word.value)
    alone = environment.get(named[2]) if named is not None and named[2] else None
    if alone is not None and alone.value.endswith("=") and "=" not in alone.value[:-1]:
        return []  # an empty variable that is a word of its own is no word
    if alone is not None and (several := _several(alone)):
        return [word_of(part, word.start, word.end) for part in several]
    for piece in word.pieces:
        match = _VARIABLE.fullmatch(piece.value) if piece.expands else None
        known = environment.get(match.group(1) or match.group(2)) if match else None
        again = match is not None and match.group(2) and known is not None and _READ_AGAIN.search(known.value)
        if known is None or known.opaque or again:
            pieces.append(piece)
            continue
        skip = known.value.index("=") + 1 if "=" in known.value else len(known.value)
        for part in known.pieces:
            if skip < len(part.value):
                pieces.append(
                    part if not skip else part._replace(value=part.value[skip:], start=part.start + skip)
                )
            skip = max(0, skip - len(part.value))
    field = word_of(pieces, word.start, word.end)
    single = len(word.pieces) == 1 and not word.pieces[0].value.startswith("${")
    tail = (word.pieces[-1].end, word.pieces[-1].context) if word.pieces[-1].expands else None
    return [field._replace(many=single and bool(field.opaque), tail=None if single else tail)]


def _several(variable: CommandWord) -> list[list[Segment]]:
    """The words of a variable that is a word of its own, split at blanks; none where that is not certain."""
    value = variable.value.partition("=")[2]
    if variable.opaque or not re.search(r"\s", value) or re.search(r"['\"\\]|[^\S \t\n\r]", value):
        return []
    skip = len(variable.value) - len(value)
    parts: list[list[Segment]] = [[]]
    for piece in variable.pieces:
        kept = piece.value[skip:]
        if kept and not kept.isspace():
            if re.search(r"\s", kept):
                return []
            parts[-1].append(piece._replace(value=kept, start=piece.start + skip) if skip else piece)
        elif kept:
            parts.append([])
        skip = max(0, skip - len(piece.value))
    return [part for part in parts if part]


def _quote(text: str, context: Context) -> str:  # noqa: ARG001 - systemd escapes alike everywhere
    return "".join(_ESCAPED.get(mark) or _escaped(mark) for mark in text)


def _escaped(mark: str) -> str:
    """One character: a byte that is no text, and what ends a line to others than systemd, by its number."""
    if "\udc80" <= mark <= "\udcff":
        return f"\\x{ord(mark) - 0xDC00:02x}"
    return f"\\x{ord(mark):02x}" if ord(mark) < 0x20 or ord(mark) == 0x7F else mark


def _quote_word(word: str) -> str:
    return '";"' if word == ";" else _quote(word, "bare") or '""'
