# SPDX-License-Identifier: Apache-2.0
"""Boxes as an indented outline for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vsmmu.picture.box import spell_mark

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vsmmu.picture.box import Box

__all__ = ["tree"]


def tree(box: Box) -> Iterator[str]:
    """The lines of the tree: each box with its text beside it, below it the boxes inside; then notes."""
    yield _text(box)
    yield from _inside(box, "")
    yield from box.notes


def _inside(box: Box, margin: str) -> Iterator[str]:
    for number, child in enumerate(box.inside, start=1):
        last = number == len(box.inside)
        yield f"{margin}{'└─' if last else '├─'} {_text(child)}"
        yield from _inside(child, f"{margin}{'   ' if last else '│  '}")


def _text(box: Box) -> str:
    mark = (spell_mark(box.mark),) if box.mark else ()
    return "  ".join((box.title, *box.lines, *mark))
