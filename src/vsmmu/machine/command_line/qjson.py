# SPDX-License-Identifier: Apache-2.0
"""JSON as QEMU's own parser takes it, with the place of every top-level member, so that edits keep the bytes.

Not the standard library's: QEMU also takes single-quoted strings, refuses duplicate keys and raw control
characters, and reads large numbers as double (``qobject/json-lexer.c``, ``json-parser.c``).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from vsmmu.machine.limits import MAX_JSON_DEPTH

if TYPE_CHECKING:
    from vsmmu.machine.model import JsonValue

__all__ = ["JsonError", "Member", "parse_object", "quote"]


class JsonError(ValueError):
    """Text that QEMU's parser would refuse.

    :param offset: of the offending character in the text, from 0.
    """

    def __init__(self, what: str, offset: int) -> None:
        super().__init__(what)
        self.offset = offset


class Member(NamedTuple):
    """One member of the top-level object; offsets into the text, ``value_end`` exclusive."""

    key: str
    value: JsonValue
    key_start: int
    key_end: int
    value_start: int
    value_end: int


_SPACE: Final = re.compile(r"[ \t\r\n]*")
_STRING: Final = re.compile(
    r'"[^"\\\x00-\x1f]*(?:\\[^\x00-\x1f][^"\\\x00-\x1f]*)*"|'
    r"'[^'\\\x00-\x1f]*(?:\\[^\x00-\x1f][^'\\\x00-\x1f]*)*'"
)
_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?(?![0-9A-Za-z_.])")
_WORD: Final = re.compile(r"[a-z]+")
_ESCAPE: Final = re.compile(r"\\(u[0-9A-Fa-f]{4}|.)")
_ESCAPES: Final = {
    "b": "\b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    '"': '"',
    "'": "'",
    "\\": "\\",
    "/": "/",
}
_KEYWORDS: Final[dict[str, bool | None]] = {"true": True, "false": False, "null": None}


def quote(text: str, mark: str = '"') -> str:
    """``text`` as a JSON string in the given quotation marks, ASCII control characters escaped."""
    out = text.replace("\\", "\\\\").replace(mark, "\\" + mark)
    return mark + "".join(c if c >= " " else f"\\u{ord(c):04x}" for c in out) + mark


class _Scanner:
    """Reads one value after another from a text; depth is bounded, so recursion is."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def skip(self) -> str:
        """The next character that is not white space; empty at the end."""
        match = _SPACE.match(self.text, self.at)
        self.at = match.end() if match else self.at
        return self.text[self.at : self.at + 1]

    def expect(self, mark: str, what: str) -> None:
        found = self.skip()
        if found != mark:
            raise JsonError(what if found else "premature end of input", self.at)
        self.at += 1

    def value(self, depth: int) -> JsonValue:
        mark = self.skip()
        if mark in ('"', "'") and mark:
            return self.string()
        if mark == "{":
            return {member.key: member.value for member in self.members(depth)}
        if mark == "[":
            return self.array(depth)
        if mark == "-" or mark.isdigit():
            return self.number()
        if not mark:
            raise JsonError("premature end of input", self.at)
        word = _WORD.match(self.text, self.at)
        if word is None:
            raise JsonError(f"unexpected {mark!r}", self.at)
        if word.group() not in _KEYWORDS:
            raise JsonError(f"invalid keyword '{word.group()}'", self.at)
        self.at = word.end()
        return _KEYWORDS[word.group()]

    def string(self) -> str:
        match = _STRING.match(self.text, self.at)
        if match is None:
            raise JsonError("a string that does not end, or holds a control character", self.at)
        start, self.at = self.at + 1, match.end()
        body = match.group()[1:-1]
        return _unescape(body, start) if "\\" in body else body

    def number(self) -> int | float:
        match = _NUMBER.match(self.text, self.at)
        if match is None:
            raise JsonError("not a number", self.at)
        self.at = match.end()
        digits = match.group()
        if match.group(1) or match.group(2) or len(digits) > 20:
            return float(digits)
        whole = int(digits)
        return whole if -(1 << 63) <= whole < 1 << 64 else float(whole)

    def array(self, depth: int) -> list[JsonValue]:
        _check_depth(depth, self.at)
        self.at += 1
        items: list[JsonValue] = []
        if self.skip() == "]":
            self.at += 1
            return items
        while True:
            items.append(self.value(depth + 1))
            if self.skip() == "]":
                self.at += 1
                return items
            self.expect(",", "expected ',' or ']'")

    def members(self, depth: int) -> list[Member]:
        _check_depth(depth, self.at)
        self.at += 1
        members: list[Member] = []
        seen: set[str] = set()
        if self.skip() == "}":
            self.at += 1
            return members
        while True:
            members.append(self.member(depth, seen))
            if self.skip() == "}":
                self.at += 1
                return members
            self.expect(",", "expected ',' or '}'")

    def member(self, depth: int, seen: set[str]) -> Member:
        mark = self.skip()
        if mark not in ('"', "'") or not mark:
            raise JsonError("expecting key" if mark else "premature end of input", self.at)
        key_start = self.at
        key = self.string()
        key_end = self.at
        if key in seen:
            raise JsonError(f"duplicate key '{key}'", key_start)
        seen.add(key)
        self.expect(":", "missing ':' after the key")
        self.skip()
        value_start = self.at
        value = self.value(depth + 1)
        return Member(key, value, key_start, key_end, value_start, self.at)


def _check_depth(depth: int, offset: int) -> None:
    if depth >= MAX_JSON_DEPTH:
        raise JsonError(f"nested more than {MAX_JSON_DEPTH} deep", offset)


def _unescape(body: str, start: int) -> str:
    out: list[str] = []
    at = 0
    high = 0
    for match in _ESCAPE.finditer(body):
        plain = body[at : match.start()]
        code = match.group(1)
        if high and (plain or len(code) != 5):
            break
        out.append(plain)
        at = match.end()
        if len(code) != 5:
            if code not in _ESCAPES:
                raise JsonError(f"invalid escape sequence '\\{code}'", start + match.start())
            out.append(_ESCAPES[code])
            continue
        unit = int(code[1:], 16)
        if high:
            if not 0xDC00 <= unit < 0xE000:
                break
            out.append(chr(0x10000 + ((high - 0xD800) << 10) + unit - 0xDC00))
            high = 0
        elif 0xD800 <= unit < 0xDC00:
            high = unit
        elif unit == 0 or 0xDC00 <= unit < 0xE000:
            raise JsonError(f"\\{code} is not a character that a property can hold", start + match.start())
        else:
            out.append(chr(unit))
    if high:
        raise JsonError("half a surrogate pair", start + at)
    out.append(body[at:])
    return "".join(out)


def parse_object(text: str) -> list[Member]:
    """The members of the object that is the whole of ``text``, in order.

    :raise JsonError: where QEMU's parser would stop, or the nesting is over our limit.
    """
    scanner = _Scanner(text)
    if scanner.skip() != "{":
        raise JsonError("expecting an object", scanner.at)
    members = scanner.members(0)
    if scanner.skip():
        raise JsonError("expecting at most one JSON value", scanner.at)
    return members
