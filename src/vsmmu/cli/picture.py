# SPDX-License-Identifier: Apache-2.0
"""``-o tree`` and ``-o svg``: boxes on their way to standard output."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vsmmu.picture.box import Box

__all__ = ["draw"]


def draw(box: Box, output: str, title: str) -> str:
    """The text of a picture: an indented tree for a terminal, or an SVG document called ``title``."""
    if output == "tree":
        from vsmmu.picture.outline import tree

        return "\n".join(tree(box)) + "\n"
    from vsmmu.picture.svg import svg

    return svg(box, title)
