# SPDX-License-Identifier: Apache-2.0
"""Boxes as an indented outline for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vsmmu.picture.box import Box

__all__ = ["tree"]


def tree(box: Box) -> Iterator[str]:
    """The lines of the tree: each box with its text beside it, and below it the boxes inside."""
    yield _text(box)
    yield from _inside(box, "")


def _inside(box: Box, margin: str) -> Iterator[str]:
    for number, child in enumerate(box.inside, start=1):
        last = number == len(box.inside)
        yield f"{margin}{'└─' if last else '├─'} {_text(child)}"
        yield from _inside(child, f"{margin}{'   ' if last else '│  '}")


def _text(box: Box) -> str:
    return "  ".join((box.title, *box.lines))
