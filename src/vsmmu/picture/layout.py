# SPDX-License-Identifier: Apache-2.0
"""Sizes and places of a picture's boxes and lines of text, in pixels.

Boxes stand side by side as far as there is room, in rows of about equally many. Of several widths the
smallest is taken with which the picture does not become a tower. Widths of characters are estimated, since
nothing here knows the reader's font; a monospaced one is asked for, so the estimate is a bound. Lines that
are too long for their box are broken.
"""

from __future__ import annotations

import textwrap
import unicodedata
from typing import TYPE_CHECKING, Final, NamedTuple

from vsmmu.picture.box import spell_mark

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vsmmu.picture.box import Box, Picture

__all__ = ["FONT", "GAP", "LINE", "PAD", "Laid", "PlacedBox", "Sheet", "lay_out", "text_width", "wrap"]

#: Height of a line, the font's size, the distance from a frame to what is in it and between boxes.
LINE: Final = 16
FONT: Final = 12
PAD: Final = 10
GAP: Final = 10
#: Between outermost boxes, for links to run in.
_STREET: Final = 60
_CHARACTER: Final = 7.3
#: Widths to be tried: that of a phone (for each outermost box a part of it), of a page, of a screen.
_NARROW: Final = (460, 290)
_WIDTHS: Final = (900, 1400)
#: No more than this many times as high as wide, if a greater width helps.
_STEEPEST: Final = 2.0
#: Characters of a line in a box: at least this many even without room, and no more however much there is.
_LEAST: Final = 16
_MOST: Final = 44


class Laid(NamedTuple):
    """A box with its size.

    :param head: the title in lines that fit.
    :param lines: the same of its other lines.
    :param mark_row: the line that the mark stands in: the first beside the title, else the one after it.
    :param inside: places of the boxes inside, relative to its corner.
    """

    box: Box
    width: float
    height: float
    head: list[str]
    lines: list[str]
    mark_row: int
    inside: tuple[tuple[float, float, Laid], ...] = ()


class PlacedBox(NamedTuple):
    """A laid box with its corner."""

    x: float
    y: float
    laid: Laid


class Sheet(NamedTuple):
    """All boxes with their places, each before those inside it, and the size of all."""

    width: float
    height: float
    boxes: tuple[PlacedBox, ...]


def lay_out(picture: Picture, *, narrow: bool = False) -> Sheet:
    """The picture's boxes in the smallest width that suits them.

    :param narrow: take the width of a phone, however high the picture becomes.
    """
    single, each = _NARROW
    count = len(picture.boxes)
    least = single if count == 1 else each * count
    for width in (least, *_WIDTHS):
        found = _sheet(picture, width)
        if narrow or found.height <= _STEEPEST * found.width:
            break
    return found


def text_width(text: str) -> float:
    """A bound of the width of a line; wide characters count twice."""
    wide = sum(unicodedata.east_asian_width(char) in "WF" for char in text)
    return (len(text) + wide) * _CHARACTER


def wrap(text: str, room: float) -> list[str]:
    """The text in lines that are no longer than ``room``, broken at blanks if it has any."""
    return textwrap.wrap(text, max(_LEAST, int(room / _CHARACTER)), break_on_hyphens=False) or [""]


def _sheet(picture: Picture, width: float) -> Sheet:
    count = len(picture.boxes)
    room = (width - _STREET * (count - 1)) / max(count, 1)
    boxes = [_lay_out(box, room) for box in picture.boxes]
    placed: list[PlacedBox] = []
    x = 0.0
    for laid in boxes:
        placed += _place(laid, x, 0)
        x += laid.width + _STREET
    return Sheet(x - _STREET, max(laid.height for laid in boxes), tuple(placed))


def _place(laid: Laid, x: float, y: float) -> Iterator[PlacedBox]:
    yield PlacedBox(x, y, laid)
    for left, top, child in laid.inside:
        yield from _place(child, x + left, y + top)


def _lay_out(box: Box, room: float) -> Laid:
    inner = room - 2 * PAD
    longest = min(inner, _MOST * _CHARACTER)
    mark = spell_mark(box.mark)
    head, lines = wrap(box.title, longest), [part for line in box.lines for part in wrap(line, longest)]
    widths = [text_width(line) for line in (*head, *lines)]
    beside = text_width(f"{head[0]}  {mark}")
    mark_row = 0 if beside <= inner else len(head)
    widths.append(beside if mark_row == 0 else text_width(mark))
    top = LINE * (len(head) + len(lines) + (mark_row > 0 and mark != "")) + PAD
    own = Laid(box, max(widths) + 2 * PAD, top + PAD / 2, head, lines, mark_row)
    if not box.inside:
        return own
    children = [_lay_out(child, inner) for child in box.inside]
    placed, width, bottom = _rows(children, _columns(children, inner), top)
    return _stretch(own._replace(width=width + PAD, height=bottom + PAD, inside=tuple(placed)), own.width)


def _stretch(laid: Laid, least: float) -> Laid:
    """The same at least so wide; what is gained is shared out to the columns of boxes inside."""
    if laid.width >= least:
        return laid
    columns = sorted({x for x, _, _ in laid.inside})
    share = (least - laid.width) / max(len(columns), 1)
    inside = tuple(
        (x + share * columns.index(x), y, _stretch(child, child.width + share)) for x, y, child in laid.inside
    )
    return laid._replace(width=least, inside=inside)


def _columns(children: Sequence[Laid], room: float) -> int:
    """The most columns that there is room for, or fewer that need no more rows."""
    count = len(children)
    fitting = int((room + GAP) / (min(child.width for child in children) + GAP))
    for columns in range(min(count, fitting), 1, -1):
        widths = _widths(children, columns)
        if sum(widths) + GAP * (columns - 1) <= room:
            rows = -(-count // columns)
            return -(-count // rows)
    return 1


def _widths(children: Sequence[Laid], columns: int) -> list[float]:
    return [max(child.width for child in children[column::columns]) for column in range(columns)]


def _rows(
    children: Sequence[Laid], columns: int, top: float
) -> tuple[list[tuple[float, float, Laid]], float, float]:
    """Places of boxes in rows; boxes of a column are equally wide, so that edges line up.

    :return: the places, the right edge and the lower edge of all.
    """
    widths = _widths(children, columns)
    placed = []
    y = top
    for start in range(0, len(children), columns):
        row = children[start : start + columns]
        height = max(child.height for child in row)
        x: float = PAD
        for width, child in zip(widths, row, strict=False):
            placed.append((x, y, _stretch(child, width)._replace(height=height)))
            x += width + GAP
        y += height + GAP
    return placed, PAD + sum(widths) + GAP * (columns - 1), y - GAP
