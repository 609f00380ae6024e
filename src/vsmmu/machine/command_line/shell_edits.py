# SPDX-License-Identifier: Apache-2.0
"""Edits inside words of shell text, of a unit or of bare text, quoted as the surroundings are."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from vsmmu.machine.command_line.shell import Anchor, Context, Segment, segments_of
from vsmmu.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from vsmmu.machine.command_line.sources import Splice

__all__ = ["Quote", "TextEdit", "quoted", "rewrite", "splice", "word_edits"]

#: How a text is written in a context.
Quote = Callable[[str, Context], str]
#: First and last (exclusive) offset in the text, and what stands there instead.
TextEdit = tuple[int, int, str]

_BARE_SAFE: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@%+=:,./-")


def quoted(text: str, context: Context) -> str:
    """Text as a shell needs it in a context."""
    if context == "single":
        return text.replace("'", "'\\''")
    if context == "double":
        return "".join("\\" + c if c in '$`"\\' else c for c in text)
    return "".join(c if c in _BARE_SAFE else "'\n'" if c == "\n" else "\\" + c for c in text)


class _Cell(NamedTuple):
    """One character of a value: of the text (``start`` to ``end``), or inserted at ``start`` (``new``)."""

    start: int
    end: int
    context: Context
    new: str = ""


def _cells(pieces: Iterable[Segment]) -> list[_Cell]:
    cells: list[_Cell] = []
    for value, start, end, context, _ in pieces:
        if len(value) == end - start:
            cells.extend(_Cell(at, at + 1, context) for at in range(start, end))
        elif value:
            cells.append(_Cell(start, end, context))
    return cells


def word_edits(
    pieces: Sequence[Segment], changes: Iterable[Splice], quote: Quote, tail: Anchor | None = None
) -> list[TextEdit]:
    """The edits of the text that carry out changes of a word's value.

    :param pieces: where the characters of the value stand, in their order.
    :param changes: one after the other: each has the offsets that the one before left.
    :param tail: where text after the last character belongs, if not right behind it.
    """
    before = _cells(pieces)
    cells = list(before)
    for start, end, new in changes:
        at, context = _anchor(cells, pieces, start, end, tail)
        cells[start:end] = [_Cell(at, at, context, mark) for mark in new]
    kept = {cell.start for cell in cells if not cell.new}
    edits = [(cell.start, cell.end, "") for cell in before if cell.start not in kept]
    inserted: dict[Anchor, list[str]] = {}
    for cell in cells:
        if cell.new:
            inserted.setdefault((cell.start, cell.context), []).append(cell.new)
    edits += [(at, at, quote("".join(new), context)) for (at, context), new in inserted.items()]
    if before and not cells and all(piece.context == "bare" for piece in pieces):
        edits.append((before[-1].end, before[-1].end, "''"))  # without characters and quotes it is no word
    return edits


def _anchor(
    cells: Sequence[_Cell], pieces: Sequence[Segment], start: int, end: int, tail: Anchor | None
) -> Anchor:
    if start < end:
        return cells[start].start, cells[start].context
    if tail is not None and start == len(cells):
        return tail
    if start:
        last = cells[start - 1]
        return (last.start if last.new else last.end), last.context
    return (pieces[0].start, pieces[0].context) if pieces else (0, "bare")


def rewrite(text: str, edits: Iterable[TextEdit]) -> str:
    """The text with all edits carried out; at one offset, what is inserted comes before what is removed."""
    out: list[str] = []
    at = 0
    for start, end, new in sorted(set(edits), key=lambda edit: edit[:2]):
        out += [text[at:start], new]
        at = max(at, end)
    out.append(text[at:])
    return "".join(out)


def splice(raw: str, start: int, end: int, new: str) -> str:
    """A word, by its text ``raw``, with ``value[start:end]`` replaced by ``new``, quoted as the place asks.

    Nothing but the replaced characters changes: quotes, escapes and continued lines around them stay.
    """
    edits = word_edits(segments_of(raw), [(start, end, new)], quoted)
    if start == end == 0 and not raw:
        return quoted(new, "bare")
    return rewrite(raw, edits)
