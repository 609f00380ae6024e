# SPDX-License-Identifier: Apache-2.0
"""Words of a value in a systemd unit, in systemd's three steps: quotes and escapes, specifiers, variables.

Sources: extract_first_word() in src/basic/extract-word.c and cunescape_one() in src/basic/escape.c, then
unit_full_printf(), then replace_env_argv() in src/basic/env-util.c, all of systemd 252; a test asks systemd.
Quotes do not protect from the later steps: ``'$A'`` is a variable, and so is ``\\x24A``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from vsmmu.errors import InputRefused
from vsmmu.machine.command_line.command_word import CommandWord, word_of
from vsmmu.machine.command_line.shell import Context, Segment, line_and_column
from vsmmu.machine.limits import MAX_WORDS, refuse_over

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

__all__ = ["BLANKS", "unit_commands"]

BLANKS: Final = " \t\r\n"
_MARKS: Final = "@-:+!|"
_NAMED: Final = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "s": " "}
_ESCAPE: Final = re.compile(
    r"(?P<byte>x[0-9a-fA-F]{2}|[0-3][0-7]{2})|(?P<code>u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8})|(?P<named>[abfnrtvs\\\"'])"
)
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def unit_commands(
    text: str, where: str, spans: Iterable[tuple[int, int]], *, command: bool
) -> tuple[tuple[CommandWord, ...], ...]:
    """The commands of one value, each with its words; a ``;`` on its own ends one.

    :param spans: of the value's lines in the text.
    :param command: whether it is one; in another value ``$`` and ``;`` mean nothing.
    :raise InputRefused: ``unit-syntax``: a quote that is not closed.
    """
    return _Splitter(text, where, command=command).commands(spans)


class _Splitter:
    """Words of one value, as systemd's extract_first_word() takes them."""

    def __init__(self, text: str, where: str, *, command: bool) -> None:
        self._text = text
        self._where = where
        self._command = command
        self._found: list[tuple[CommandWord, ...]] = []
        self._fields: list[CommandWord] = []
        self._pieces: list[Segment] = []
        self._bytes: list[Segment] = []
        self._start = -1
        self._program = ""

    def commands(self, spans: Iterable[tuple[int, int]]) -> tuple[tuple[CommandWord, ...], ...]:
        quote, opened = "", 0
        for start, end in spans:
            at = start
            while at < end:
                mark = self._text[at]
                context: Context = "single" if quote == "'" else "double" if quote else "bare"
                if not quote and mark in BLANKS:
                    self._close(at)
                elif mark == quote:
                    quote = ""
                elif not quote and mark in "'\"":
                    quote, opened = mark, at
                    self._begin(at)
                elif mark == "\\" or (mark == ";" and self._start < 0):
                    at = self._special(at, end, context)
                    continue
                else:
                    self._add(mark, at, at + 1, context)
                at += 1
            if quote:
                # A continued line is one blank, inside quotes too; it has no character of its own to edit.
                self._add(" ", end, end + 1, "double")
            else:
                self._close(end)
        if quote:
            raise InputRefused(
                "unit-syntax",
                "a quote that is not closed",
                where=f"{self._where}, {line_and_column(self._text, opened)}",
                next="close it",
            )
        self._end_command()
        return tuple(self._found)

    def _begin(self, at: int) -> None:
        if self._start < 0:
            self._start = at

    def _add(self, value: str, start: int, end: int, context: Context) -> None:
        self._begin(start)
        self._pieces += _characters(self._bytes)
        self._bytes = []
        self._pieces.append(Segment(value, start, end, context))

    def _close(self, at: int) -> None:
        if self._start < 0:
            return
        refuse_over(len(self._fields) + 1, MAX_WORDS, "words", self._where)
        pieces = _specified([*self._pieces, *_characters(self._bytes)])
        many = False
        if self._command and not self._fields:
            self._program = "".join(piece.value for piece in pieces)
        elif self._command and ":" not in _marks(self._program):
            pieces, many = _expanded(pieces)
        if not many or pieces:
            self._fields.append(word_of(pieces, self._start, at))
        self._pieces, self._bytes, self._start = [], [], -1

    def _end_command(self) -> None:
        if self._fields:
            self._found.append(tuple(_without_marks(self._fields) if self._command else self._fields))
        self._fields = []

    def _special(self, at: int, end: int, context: Context) -> int:
        """A backslash, or a semicolon at the start of a word; the offset behind it."""
        alone = self._command and self._start < 0
        if alone and self._text[at] == ";" and self._text[at + 1 : end][:1] in ("", *BLANKS):
            self._end_command()
            return at + 1
        if self._text[at] == ";":
            self._add(";", at, at + 1, context)
            return at + 1
        if (
            alone
            and self._fields
            and self._text[at + 1 : end][:1] == ";"
            and self._text[at + 2 : end][:1] in ("", *BLANKS)
        ):
            self._add(";", at, at + 2, context)
            return at + 2
        return self._escape(at, end, context)

    def _escape(self, at: int, end: int, context: Context) -> int:
        match = _ESCAPE.match(self._text, at + 1, end)
        kind = match.lastgroup if match is not None else None
        code = -1
        if match is not None and kind != "named":
            digits = match[0]
            code = int(digits[1:], 16) if digits[0] in "xuU" else int(digits, 8)
        if match is None or code == 0 or code > 0x10FFFF or (match[0][0] == "U" and 0xD800 <= code < 0xE000):
            # What systemd does not know stays as it is, a blank or whatever stands there.
            self._add("\\", at, at + 1, context)
            if at + 1 < end:
                self._add(self._text[at + 1], at + 1, at + 2, context)
            return min(at + 2, end)
        if kind == "byte" and code > 0x7F:
            self._begin(at)
            self._bytes.append(Segment(chr(0xDC00 + code), at, match.end(), context))
        elif 0xD800 <= code < 0xE000:
            halves = chr(code).encode("utf-8", "surrogatepass").decode("utf-8", "surrogateescape")
            self._add(halves[0], at, match.end(), context)
            for half in halves[1:]:
                self._add(half, match.end(), match.end(), context)
        else:
            self._add(chr(code) if code > 0 else _NAMED.get(match[0], match[0]), at, match.end(), context)
        return match.end()


def _characters(bytes_: Sequence[Segment]) -> Iterator[Segment]:
    """Bytes that stand side by side, as the characters that they are the UTF-8 of."""
    text = "".join(piece.value for piece in bytes_).encode("utf-8", "surrogateescape")
    at = 0
    for mark in text.decode("utf-8", "surrogateescape"):
        last = at + len(mark.encode("utf-8", "surrogateescape")) - 1
        yield bytes_[at]._replace(value=mark, end=bytes_[last].end)
        at = last + 1


def _specified(pieces: Sequence[Segment]) -> list[Segment]:
    """``%%`` is one percent sign, ``%`` with a letter or digit is opaque, any other stays."""
    out: list[Segment] = []
    at = 0
    while at < len(pieces):
        here, behind = pieces[at], pieces[at + 1] if at + 1 < len(pieces) else None
        if here.value != "%" or behind is None or not (behind.value == "%" or _is_specifier(behind.value)):
            out.append(here)
            at += 1
            continue
        out += _pair("%", here, behind) if behind.value == "%" else _opaque([here, behind])
        at += 2
    return out


def _is_specifier(mark: str) -> bool:
    return mark.isascii() and mark.isalnum()


def _pair(value: str, here: Segment, behind: Segment) -> list[Segment]:
    """Two marks that mean one; with a quote between them they could not be edited as one."""
    if here.end != behind.start:
        return _opaque([here, behind])
    return [here._replace(value=value, end=behind.end)]


def _opaque(pieces: Sequence[Segment]) -> list[Segment]:
    """The pieces as one that expands, or each for itself where something stands between them."""
    whole = "".join(piece.value for piece in pieces)
    first, last = pieces[0], pieces[-1]
    if last.end - first.start == len(whole):
        return [first._replace(value=whole, end=last.end, expands=True)]
    return [piece._replace(expands=True) for piece in pieces]


def _expanded(pieces: list[Segment]) -> tuple[list[Segment], bool]:
    """A word with its variables as opaque pieces, and whether it may become any number of words."""
    value = [piece.value for piece in pieces]
    if value[:1] == ["$"] and value[1:2] not in (["{"], ["$"]):
        # The whole word is one variable's name; what cannot be a name is not set, and the word vanishes.
        named = _NAME.fullmatch("".join(value[1:])) or any(piece.expands for piece in pieces)
        return (_opaque(pieces) if named else []), True
    out: list[Segment] = []
    at = 0
    while at < len(pieces):
        behind = value[at + 1] if value[at] == "$" and at + 1 < len(pieces) else ""
        if behind == "$":
            out += _pair("$", pieces[at], pieces[at + 1])
            at += 2
        elif behind == "{":
            if "}" not in value[at:]:  # without an end all of the rest is as it is
                return [*out, *pieces[at:]], False
            end = value.index("}", at) + 1
            name = "".join(value[at + 2 : end - 1])
            if _NAME.fullmatch(name) or any(piece.expands for piece in pieces[at:end]):
                out += _opaque(pieces[at:end])
            at = end
        else:
            # The mark behind a dollar sign that means nothing is not looked at either.
            out += pieces[at : at + (2 if behind else 1)]
            at += 2 if behind else 1
    return out, False


def _marks(program: str) -> str:
    """The characters in front of the program that speak to systemd: ``@-:+!|``."""
    return program[: len(program) - len(program.lstrip(_MARKS))]


def _without_marks(fields: list[CommandWord]) -> list[CommandWord]:
    """The words without the marks in front of the program."""
    first = fields[0]
    marks = _marks(first.value)
    if not marks:
        return fields
    named = fields[1:2] if "@" in marks else []  # the word after the path is argv[0]
    skip = len(marks)
    program = word_of(first.pieces[skip:], first.start + skip, first.end)
    return [program, *fields[1 + len(named) :]]
