# SPDX-License-Identifier: Apache-2.0
"""A systemd unit: the command of ``ExecStart=``, with systemd's own quoting (systemd.service(5))."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from vsmmu.errors import InputRefused
from vsmmu.machine.command_line.command_word import CommandWord, word_of
from vsmmu.machine.command_line.shell import Context, Segment, line_and_column
from vsmmu.machine.command_line.sources import is_emulator
from vsmmu.machine.command_line.text_source import FoundCommand
from vsmmu.machine.limits import MAX_WORDS, refuse_over

__all__ = ["read_unit"]

#: systemd refuses longer lines (LONG_LINE_MAX); a unit has a handful.
_MAX_UNIT: Final = 1 << 20
_ESCAPES: Final = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "s": " "}
_ESCAPE: Final = re.compile(
    r"x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3})|([abfnrtvs\\\"'])"
)
_VARIABLE: Final = re.compile(r"\$(?:\{([A-Za-z_][A-Za-z0-9_]*)\}|([A-Za-z_][A-Za-z0-9_]*)\Z)")
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
            words = _Splitter(text, where).words(entry.spans, command=True)
            commands = [*commands, words] if words else []
        elif entry.key == "Environment" and environment is not None:
            words = _Splitter(text, where).words(entry.spans, command=False)
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
    key, at = "", 0
    for line in text.splitlines(keepends=True):
        start, end = at, at + len(line.rstrip("\r\n"))
        at += len(line)
        comment = line.lstrip()[:1] in ("#", ";")
        if comment and (spans or not line.strip()):
            continue
        continued = not comment and text[end - 1 : end] == "\\" and end > start
        if not spans:
            if comment or line.lstrip().startswith("[") or "=" not in line:
                continue
            name, _, _ = line.partition("=")
            key = name.strip()
            start += len(name) + 1
        spans.append((start, end - 1 if continued else end))
        if not continued:
            entries.append(_Entry(key, tuple(spans)))
            spans = []
    return [*entries, _Entry(key, tuple(spans))] if spans else entries


class _Splitter:
    """Words of one value, as systemd's extract_first_word() takes them."""

    def __init__(self, text: str, where: str) -> None:
        self.text = text
        self.where = where
        self.fields: list[CommandWord] = []
        self.pieces: list[Segment] = []
        self.start = -1
        self.command = True

    def words(self, spans: tuple[tuple[int, int], ...], *, command: bool) -> tuple[CommandWord, ...]:
        """The words of a value; in those of a command ``$`` means something."""
        self.command = command
        quote, opened = "", 0
        for start, end in spans:
            at = start
            while at < end:
                mark = self.text[at]
                context: Context = "single" if quote == "'" else "double" if quote else "bare"
                if not quote and mark in " \t\r":
                    self.close(at)
                elif mark == quote:
                    quote = ""
                elif not quote and mark in "'\"":
                    quote, opened = mark, at
                    self.begin(at)
                elif mark == "\\":
                    at = self.escape(at, end, context)
                    continue
                else:
                    at = self.character(at, end, context)
                    continue
                at += 1
            if quote:
                # A continued line is one blank, inside quotes too; it has no character of its own to edit.
                self.add(" ", end, end + 1, context="double")
            else:
                self.close(end)
        if quote:
            raise InputRefused(
                "unit-syntax",
                "a quote that is not closed",
                where=f"{self.where}, {line_and_column(self.text, opened)}",
                next="close it",
            )
        return tuple(_without_marks(self.fields)) if command and self.fields else tuple(self.fields)

    def begin(self, at: int) -> None:
        if self.start < 0:
            self.start = at

    def add(self, value: str, start: int, end: int, context: Context, *, expands: bool = False) -> None:
        self.begin(start)
        self.pieces.append(Segment(value, start, end, context, expands))

    def close(self, at: int) -> None:
        if self.start >= 0:
            refuse_over(len(self.fields) + 1, MAX_WORDS, "words", self.where)
            self.fields.append(word_of(self.pieces, self.start, at, "a specifier or variable"))
            self.pieces, self.start = [], -1

    def escape(self, at: int, end: int, context: Context) -> int:
        match = _ESCAPE.match(self.text, at + 1, end)
        if match is None:
            self.add("\\", at, at + 1, context)
            return at + 1
        number = match.group(1) or match.group(2) or match.group(3)
        code = int(number, 16) if number else int(match.group(4), 8) if match.group(4) else None
        if code is not None and (code == 0 or code > 0x10FFFF or 0xD800 <= code < 0xE000):
            self.add("\\", at, at + 1, context)
            return at + 1
        value = chr(code) if code is not None else _ESCAPES.get(match.group(5), match.group(5))
        self.add(value, at, match.end(), context)
        return match.end()

    def character(self, at: int, end: int, context: Context) -> int:
        mark, following = self.text[at], self.text[at + 1 : min(at + 2, end)]
        dollar = mark == "$" and self.command
        if (mark == "%" or dollar) and following == mark:
            self.add(mark, at, at + 2, context)
            return at + 2
        if mark == "%" and following.isalpha():
            self.add(mark + following, at, at + 2, context, expands=True)
            return at + 2
        if dollar and (match := re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_]*\}").match(self.text, at, end)):
            self.add(match.group(), at, match.end(), context, expands=True)
            return match.end()
        if (
            dollar
            and self.start < 0
            and (match := re.compile(r"\$[A-Za-z_][A-Za-z0-9_]*(?=[ \t]|\Z)").match(self.text[:end], at))
        ):
            self.add(match.group(), at, match.end(), context, expands=True)
            return match.end()
        self.add(mark, at, at + 1, context)
        return at + 1


def _without_marks(fields: list[CommandWord]) -> list[CommandWord]:
    """The words without the characters in front of the program that speak to systemd: ``@-:+!|``."""
    first = fields[0]
    skip = len(first.value) - len(first.value.lstrip("@-:+!|"))
    if not skip:
        return fields
    named = fields[1:2] if "@" in first.value[:skip] else []  # the word after the path is argv[0]
    program = word_of(first.pieces[skip:], first.start + skip, first.end, "a specifier")
    return [program, *fields[1 + len(named) :]]


def _filled(word: CommandWord, environment: dict[str, CommandWord]) -> list[CommandWord]:
    """The word with variables of ``Environment=`` put in."""
    if not word.opaque:
        return [word]
    pieces: list[Segment] = []
    for piece in word.pieces:
        match = _VARIABLE.fullmatch(piece.value) if piece.expands else None
        known = environment.get(match.group(1) or match.group(2)) if match else None
        if known is None or known.opaque or (match and match.group(2) and re.search(r"\s", known.value)):
            pieces.append(piece)
            continue
        skip = known.value.index("=") + 1 if "=" in known.value else len(known.value)
        for part in known.pieces:
            if skip < len(part.value):
                pieces.append(
                    part if not skip else part._replace(value=part.value[skip:], start=part.start + skip)
                )
            skip = max(0, skip - len(part.value))
    field = word_of(pieces, word.start, word.end, "a specifier or variable")
    alone = len(word.pieces) == 1 and not word.pieces[0].value.startswith("${")
    tail = (word.pieces[-1].end, word.pieces[-1].context) if word.pieces[-1].expands else None
    return [field._replace(many=alone and bool(field.opaque), tail=None if alone else tail)]


def _quote(text: str, context: Context) -> str:  # noqa: ARG001 - systemd escapes alike everywhere
    out = (
        text.replace("\\", "\\\\")
        .replace("%", "%%")
        .replace("$", "$$")
        .replace("'", "\\'")
        .replace('"', '\\"')
    )
    return out.replace(" ", "\\s").replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r")


def _quote_word(word: str) -> str:
    return _quote(word, "bare") or '""'
