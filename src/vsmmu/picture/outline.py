# SPDX-License-Identifier: Apache-2.0
"""Pictures as indented outlines for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vsmmu.picture.box import spell_mark

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from vsmmu.picture.box import Box, Picture

__all__ = ["tree"]


def tree(picture: Picture) -> Iterator[str]:
    """The lines: each box with its text and what it is linked with, below it the boxes inside; then notes."""
    linked: dict[str, list[str]] = {}
    for start, end in picture.links:
        linked.setdefault(start, []).append(f"→ {end}")
        linked.setdefault(end, []).append(f"← {start}")
    for box in picture.boxes:
        yield _text(box, linked)
        yield from _inside(box, "", linked)
    yield from picture.notes


def _inside(box: Box, margin: str, linked: Mapping[str, list[str]]) -> Iterator[str]:
    for number, child in enumerate(box.inside, start=1):
        last = number == len(box.inside)
        yield f"{margin}{'└─' if last else '├─'} {_text(child, linked)}"
        yield from _inside(child, f"{margin}{'   ' if last else '│  '}", linked)


def _text(box: Box, linked: Mapping[str, list[str]]) -> str:
    mark = (spell_mark(box.mark),) if box.mark else ()
    return "  ".join((box.title, *box.lines, *mark, *linked.get(box.key, ())))
