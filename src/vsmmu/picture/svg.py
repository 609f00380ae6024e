# SPDX-License-Identifier: Apache-2.0
"""Pictures as SVG documents: no script and no font; text stays text.

Colours are attributes, which every viewer knows; a style sheet adds those of the dark scheme and lets the
picture shrink to its place. Below the boxes a legend says what their frames, marks and links mean.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vsmmu.picture.box import MARKS, spell_mark
from vsmmu.picture.layout import FONT, LINE, PAD, lay_out, wrap
from vsmmu.visible import visible

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vsmmu.picture.box import Mark, Picture, Shade
    from vsmmu.picture.layout import PlacedBox

__all__ = ["STYLE", "svg"]

#: Shade -> fill, stroke, stroke width, dashes.
_LOOKS: Final[dict[Shade, tuple[str, str, float, str]]] = {
    "plain": ("#ffffff", "#555555", 1, ""),
    "place": ("#f0f0f0", "#999999", 1, ""),
    "strong": ("#ffffff", "#000000", 2, ""),
    "open": ("#ffffff", "#555555", 1, "4 3"),
}
#: Shade -> what its frame says.
_FRAMES: Final[dict[Shade, str]] = {
    "strong": "an SMMU",
    "open": "not for an accelerated vSMMU, or free for hot-plug",
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
  svg.boxes { background: #14171a; }
  .boxes .ground { fill: #14171a; }
  .boxes text { fill: #e8e8e8; }
  .boxes .measured { fill: #7fd694; }
  .boxes .published, .boxes .inferred { fill: #8dbdf5; }
  .boxes .unknown { fill: #f0c36a; }
  .boxes .refused { fill: #ff9c94; }
  .boxes .plain, .boxes .strong, .boxes .open { fill: #14171a; stroke: #b0b0b0; }
  .boxes .strong { stroke: #ffffff; }
  .boxes .place { fill: #1f2428; stroke: #6a7077; }
  .boxes .link { stroke: #ffffff; }
}
"""
#: A document of its own shrinks no further than to this part; smaller, it could not be read.
_LEAST_SCALE: Final = 0.66
_SWATCH: Final = 22
_ENTITIES: Final = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;"})


def svg(picture: Picture, title: str, *, alone: bool = True) -> str:
    """A whole document.

    :param title: said by screen readers and shown as a tooltip.
    :param alone: bring :data:`STYLE`, and be as wide as suits; for a page that has pictures in it, and the
        style once, a picture is narrow.
    """
    sheet = lay_out(picture, narrow=not alone)
    boxes = [entry._replace(x=entry.x + PAD, y=entry.y + PAD) for entry in sheet.boxes]
    legend, end = _legend(picture, sheet.width, sheet.height + PAD)
    width, height = f"{sheet.width + 2 * PAD:.0f}", f"{end + PAD:.0f}"
    least = f"svg.boxes {{ min-width: {_LEAST_SCALE * (sheet.width + 2 * PAD):.0f}px; }}\n"
    size = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
    font = f'class="boxes" font-family="monospace" font-size="{FONT}"'
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} {font} role="img">',
        f"<title>{_safe(title)}</title>",
        *([f"<style>\n{STYLE}{least}</style>"] if alone else ()),
        f'<rect class="ground" width="{width}" height="{height}" fill="#ffffff"/>',
        *(part for entry in boxes for part in _draw(entry)),
        *_links(picture, boxes),
        '<g class="legend">',
        *legend,
        "</g>",
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _legend(picture: Picture, width: float, y: float) -> tuple[list[str], float]:
    """What the frames, links and marks mean that there are, then the notes; and where all that ends."""
    shades, marks = {box.shade for box in picture.walk()}, {box.mark for box in picture.walk()}
    drawn: list[str] = []
    y += PAD

    def say(text: str, left: float, mark: Mark = "") -> None:
        nonlocal y
        for line in wrap(text, width - left):
            y += LINE
            drawn.append(_line(PAD + left, y, line, mark))

    for shade, text in _FRAMES.items():
        if shade in shades:
            drawn.append(_rect(shade, PAD, y + LINE - 11, _SWATCH - 6, 12))
            say(text, _SWATCH)
    if picture.links:
        drawn.append(_path(PAD, y + LINE - 4, PAD + _SWATCH - 6, y + LINE - 4))
        say(picture.meaning, _SWATCH)
    for mark, (_, text) in MARKS.items():
        if mark in marks:
            say(f"{spell_mark(mark)}: {text}", 0, mark)
    for text in picture.notes:
        say(text, 0)
    return drawn, y + (PAD if drawn else -PAD)


def _line(x: float, y: float, text: str, mark: Mark = "", more: str = "") -> str:
    """One line of text, in the colour of a mark."""
    ink = f' class="{mark}" fill="{_INKS[mark]}"' if mark else ""
    return f'<text x="{x:.1f}" y="{y:.1f}"{ink}{more}>{_safe(text)}</text>'


def _rect(shade: Shade, x: float, y: float, width: float, height: float) -> str:
    fill, stroke, weight, dashes = _LOOKS[shade]
    frame = f'class="{shade}" fill="{fill}" stroke="{stroke}" stroke-width="{weight:g}"'
    dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
    place = f'x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="4"'
    return f"<rect {place} {frame}{dashed}/>"


def _path(x: float, y: float, end_x: float, end_y: float) -> str:
    """A link: a curve that leaves and arrives level."""
    bend = (end_x - x) / 2
    curve = f"M{x:.1f} {y:.1f} C{x + bend:.1f} {y:.1f} {end_x - bend:.1f} {end_y:.1f} {end_x:.1f} {end_y:.1f}"
    return f'<path class="link" d="{curve}" fill="none" stroke="#000000" stroke-width="2"/>'


def _draw(entry: PlacedBox) -> Iterator[str]:
    x, y, laid = entry
    yield _rect(laid.box.shade, x, y, laid.width, laid.height)
    mark, baseline = laid.box.mark, y + LINE
    if mark:
        yield _line(
            x + laid.width - PAD,
            baseline + LINE * laid.mark_row,
            spell_mark(mark),
            mark,
            ' text-anchor="end"',
        )
    for line in laid.head:
        yield _line(x + PAD, baseline, line, more=' font-weight="bold"')
        baseline += LINE
    baseline += LINE if mark and laid.mark_row else 0
    for line in laid.lines:
        yield _line(x + PAD, baseline, line)
        baseline += LINE


def _links(picture: Picture, boxes: list[PlacedBox]) -> Iterator[str]:
    """From the right edge of one box to the left edge of the other, at the height of their titles."""
    places = {entry.laid.box.key: entry for entry in boxes}
    for start, end in picture.links:
        left, right = places[start], places[end]
        yield _path(left.x + left.laid.width, left.y + LINE - 4, right.x, right.y + LINE - 4)


def _safe(text: str) -> str:
    """Text as XML may hold it and people can see: entities and control characters escaped."""
    return visible(text).translate(_ENTITIES)
