# SPDX-License-Identifier: Apache-2.0
"""Boxes as an SVG document: no script, style sheet or font; text stays text.

Boxes without children stand side by side in rows of at most :data:`COLUMNS`; others in rows that make the
picture about as wide as high. Widths of characters are estimated, since nothing here
knows the reader's font; a monospaced one is asked for, so the estimate is a bound.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vsmmu.picture.box import Box, Shade

__all__ = ["COLUMNS", "svg"]

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
_ENTITIES: Final = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;"})
#: Surrogates and two code points that are no characters; controls are forbidden besides.
_FORBIDDEN: Final = frozenset(map(chr, (*range(0xD800, 0xE000), 0xFFFE, 0xFFFF)))


class _Laid(NamedTuple):
    """A box with its size and the places of the boxes inside, relative to its own corner."""

    box: Box
    width: float
    height: float
    inside: tuple[tuple[float, float, _Laid], ...]


def svg(box: Box, title: str) -> str:
    """A whole document.

    :param title: said by screen readers and shown as a tooltip.
    """
    laid = _lay_out(box)
    width, height = laid.width + 2 * _PAD, laid.height + 2 * _PAD
    size = f'width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}"'
    font = f'font-family="monospace" font-size="{_FONT}"'
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} {font} role="img">',
        f"<title>{_safe(title)}</title>",
        f'<rect width="{width:.0f}" height="{height:.0f}" fill="#ffffff"/>',
        *_draw(laid, _PAD, _PAD),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _lay_out(box: Box) -> _Laid:
    own_width = max(len(line) for line in (box.title, *box.lines)) * _CHARACTER + 2 * _PAD
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
    frame = f'fill="{fill}" stroke="{stroke}" stroke-width="{weight:g}"'
    dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
    place = f'x="{x:.1f}" y="{y:.1f}" width="{laid.width:.1f}" height="{laid.height:.1f}" rx="4"'
    yield f"<rect {place} {frame}{dashed}/>"
    baseline = y + _LINE
    yield f'<text x="{x + _PAD:.1f}" y="{baseline:.1f}" font-weight="bold">{_safe(laid.box.title)}</text>'
    for line in laid.box.lines:
        baseline += _LINE
        yield f'<text x="{x + _PAD:.1f}" y="{baseline:.1f}">{_safe(line)}</text>'
    for left, top, child in laid.inside:
        yield from _draw(child, x + left, y + top)


def _safe(text: str) -> str:
    """Text as XML may hold it: entities escaped, characters that XML forbids replaced."""
    allowed = (char if char >= " " and char not in _FORBIDDEN else "\ufffd" for char in text)
    return "".join(allowed).translate(_ENTITIES)
