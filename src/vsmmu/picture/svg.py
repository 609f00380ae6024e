# SPDX-License-Identifier: Apache-2.0
"""Boxes as an SVG document: no script and no font; text stays text.

Colours are attributes, which every viewer knows; a style sheet adds those of the dark scheme and lets the
picture shrink to its place. Below the boxes a legend says what their frames and marks mean.

Boxes without children stand side by side in rows of at most :data:`COLUMNS`; others in rows that make the
picture about as wide as high. Widths of characters are estimated, since nothing here
knows the reader's font; a monospaced one is asked for, so the estimate is a bound.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from vsmmu.picture.box import MARKS, spell_mark

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vsmmu.picture.box import Box, Mark, Shade

__all__ = ["COLUMNS", "STYLE", "svg"]

#: Leaves in one row.
COLUMNS: Final = 4
_CHARACTER, _LINE, _FONT = 7.3, 16, 12
_PAD, _GAP = 10, 10

#: Shade -> fill, stroke, stroke width, dashes.
_LOOKS: Final[dict[Shade, tuple[str, str, float, str]]] = {
    "plain": ("#ffffff", "#555555", 1, ""),
    "place": ("#f0f0f0", "#999999", 1, ""),
    "strong": ("#ffffff", "#000000", 2, ""),
    "open": ("#ffffff", "#555555", 1, "4 3"),
}
#: Shade -> what its frame says.
_FRAMES: Final[dict[Shade, str]] = {
    "strong": "heavy frame: an SMMU",
    "open": "dashed frame: behind no SMMU, or free for hot-plug",
}
#: Mark -> its colour on a light ground.
_INKS: Final[dict[Mark, str]] = {
    "": "#000000",
    "measured": "#0b5d1e",
    "published": "#0b4a8f",
    "inferred": "#0b4a8f",
    "unknown": "#6b4500",
    "refused": "#9b1c1c",
}
#: Rules for a picture, in a document of its own or in a page.
STYLE: Final = """\
svg.boxes { max-width: 100%; height: auto; }
@media (prefers-color-scheme: dark) {
  .boxes .ground { fill: #14171a; }
  .boxes text { fill: #e8e8e8; }
  .boxes .measured { fill: #7fd694; }
  .boxes .published, .boxes .inferred { fill: #8dbdf5; }
  .boxes .unknown { fill: #f0c36a; }
  .boxes .refused { fill: #ff9c94; }
  .boxes .plain, .boxes .strong, .boxes .open { fill: #14171a; stroke: #b0b0b0; }
  .boxes .strong { stroke: #ffffff; }
  .boxes .place { fill: #1f2428; stroke: #6a7077; }
}
"""
_ENTITIES: Final = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;"})
#: Surrogates and two code points that are no characters; controls are forbidden besides.
_FORBIDDEN: Final = frozenset(map(chr, (*range(0xD800, 0xE000), 0xFFFE, 0xFFFF)))


class _Laid(NamedTuple):
    """A box with its size and the places of the boxes inside, relative to its own corner."""

    box: Box
    width: float
    height: float
    inside: tuple[tuple[float, float, _Laid], ...]


def svg(box: Box, title: str, *, alone: bool = True) -> str:
    """A whole document.

    :param title: said by screen readers and shown as a tooltip.
    :param alone: bring :data:`STYLE`; a page that has pictures in it has it once.
    """
    laid = _lay_out(box)
    legend = _legend(box)
    width = max([laid.width, *(len(line) * _CHARACTER for _, line in legend)]) + 2 * _PAD
    height = laid.height + 2 * _PAD + (_LINE * len(legend) + _PAD if legend else 0)
    size = f'width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}"'
    font = f'class="boxes" font-family="monospace" font-size="{_FONT}"'
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} {font} role="img">',
        f"<title>{_safe(title)}</title>",
        *([f"<style>\n{STYLE}</style>"] if alone else ()),
        f'<rect class="ground" width="{width:.0f}" height="{height:.0f}" fill="#ffffff"/>',
        *_draw(laid, _PAD, _PAD),
        *(
            _line(_PAD, laid.height + _PAD + _LINE * number + _PAD, text, mark)
            for number, (mark, text) in enumerate(legend, 1)
        ),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _legend(box: Box) -> list[tuple[Mark, str]]:
    """The notes, and what the frames and marks mean that there are."""
    boxes = list(_all(box))
    shades, marks = {one.shade for one in boxes}, {one.mark for one in boxes}
    frames = (text for shade, text in _FRAMES.items() if shade in shades)
    said: list[tuple[Mark, str]] = [("", text) for text in (*box.notes, *frames)]
    return said + [
        (mark, f"{spell_mark(mark)}: {text}") for mark, (_, text) in MARKS.items() if mark in marks
    ]


def _all(box: Box) -> Iterator[Box]:
    yield box
    for child in box.inside:
        yield from _all(child)


def _line(x: float, y: float, text: str, mark: Mark = "", more: str = "") -> str:
    """One line of text, in the colour of a mark."""
    ink = f' class="{mark}" fill="{_INKS[mark]}"' if mark else ""
    return f'<text x="{x:.1f}" y="{y:.1f}"{ink}{more}>{_safe(text)}</text>'


def _lay_out(box: Box) -> _Laid:
    head = f"{box.title}  {spell_mark(box.mark)}" if box.mark else box.title
    own_width = max(len(line) for line in (head, *box.lines)) * _CHARACTER + 2 * _PAD
    own_height = _LINE * (1 + len(box.lines)) + _PAD
    if not box.inside:
        return _Laid(box, own_width, own_height + _PAD / 2, ())
    children = [_lay_out(child) for child in box.inside]
    leaves = all(not child.inside for child in children)
    columns = COLUMNS if leaves else _square(len(children))
    placed, width, bottom = _rows(children, columns, own_height)
    return _Laid(box, max(own_width, width + _PAD), bottom + _PAD, tuple(placed))


def _square(count: int) -> int:
    """Columns for boxes that have boxes inside: few of them stand in one row."""
    return count if count <= 2 else max(2, round(count**0.5))


def _rows(
    children: Sequence[_Laid], columns: int, top: float
) -> tuple[list[tuple[float, float, _Laid]], float, float]:
    """Places of boxes in rows; boxes of a column are equally wide, so that edges line up.

    :return: the places, the right edge and the lower edge of all.
    """
    columns = min(columns, len(children))
    widths = [max(child.width for child in children[column::columns]) for column in range(columns)]
    placed = []
    y = top
    for start in range(0, len(children), columns):
        row = children[start : start + columns]
        height = max(child.height for child in row)
        x: float = _PAD
        for width, child in zip(widths, row, strict=False):
            placed.append((x, y, child._replace(width=width, height=height)))
            x += width + _GAP
        y += height + _GAP
    return placed, _PAD + sum(widths) + _GAP * (columns - 1), y - _GAP


def _draw(laid: _Laid, x: float, y: float) -> Iterator[str]:
    fill, stroke, weight, dashes = _LOOKS[laid.box.shade]
    frame = f'class="{laid.box.shade}" fill="{fill}" stroke="{stroke}" stroke-width="{weight:g}"'
    dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
    place = f'x="{x:.1f}" y="{y:.1f}" width="{laid.width:.1f}" height="{laid.height:.1f}" rx="4"'
    yield f"<rect {place} {frame}{dashed}/>"
    baseline = y + _LINE
    yield _line(x + _PAD, baseline, laid.box.title, more=' font-weight="bold"')
    if mark := laid.box.mark:
        yield _line(x + laid.width - _PAD, baseline, spell_mark(mark), mark, ' text-anchor="end"')
    for line in laid.box.lines:
        baseline += _LINE
        yield _line(x + _PAD, baseline, line)
    for left, top, child in laid.inside:
        yield from _draw(child, x + left, y + top)


def _safe(text: str) -> str:
    """Text as XML may hold it: entities escaped, characters that XML forbids replaced."""
    allowed = (char if char >= " " and char not in _FORBIDDEN else "\ufffd" for char in text)
    return "".join(allowed).translate(_ENTITIES)
