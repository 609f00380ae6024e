# SPDX-License-Identifier: Apache-2.0
"""Command words: what a program would get from a text, with the place of each character in that text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vsmmu.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vsmmu.machine.command_line.shell import Anchor, Segment

__all__ = ["CommandWord", "Opaque", "word_of"]


class Opaque(NamedTuple):
    """A part of a field that is known only to who carries the text out, such as a shell.

    :param start: its first offset in the field's value, which has the text as it is written.
    :param end: the offset after it.
    :param offset: where it stands in the text.
    :param what: what it is, for people: ``the variable '$GPU'``.
    """

    start: int
    end: int
    offset: int
    what: str


class CommandWord(NamedTuple):
    """One word of a command.

    :param pieces: where its characters stand; not always side by side: a part can come of an assignment.
    :param start: where the word stands in the command that uses it.
    :param end: the offset after it.
    :param opaque: the parts whose value is not known, in order.
    :param many: it may be any number of words: ``"$@"``, or a variable without quotes, unknown.
    :param tail: where text behind the last character belongs, if not right behind it.
    """

    value: str
    pieces: tuple[Segment, ...]
    start: int
    end: int
    opaque: tuple[Opaque, ...] = ()
    many: bool = False
    tail: Anchor | None = None

    @property
    def known(self) -> str:
        """The value without the parts that are not known."""
        known, at = "", 0
        for part in self.opaque:
            known += self.value[at : part.start]
            at = part.end
        return known + self.value[at:]


def word_of(pieces: Sequence[Segment], start: int, end: int) -> CommandWord:
    """The field of pieces of a unit, those that expand taken as they are written."""
    at = 0
    opaque: list[Opaque] = []
    for piece in pieces:
        if piece.expands:
            kind = "the specifier" if piece.value.startswith("%") else "the variable"
            opaque.append(Opaque(at, at + len(piece.value), piece.start, f"{kind} {piece.value!r:.60}"))
        at += len(piece.value)
    return CommandWord("".join([piece.value for piece in pieces]), tuple(pieces), start, end, tuple(opaque))
