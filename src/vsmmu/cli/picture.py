# SPDX-License-Identifier: Apache-2.0
"""``-o tree`` and ``-o svg``: print a picture as a tree or as SVG."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vsmmu.cli import console

if TYPE_CHECKING:
    from vsmmu.picture.box import Picture

__all__ = ["draw"]


def draw(picture: Picture, output: str, title: str) -> None:
    """Print a picture: an indented tree for a terminal, or an SVG document called ``title``."""
    if output == "tree":
        from vsmmu.picture.outline import tree

        console.say(*tree(picture))
        return
    from vsmmu.picture.svg import svg

    console.raw(svg(picture, title))
