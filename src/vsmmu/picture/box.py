# SPDX-License-Identifier: Apache-2.0
"""Boxes to be drawn: a title, lines of text, and boxes inside."""

from __future__ import annotations

from typing import Literal, NamedTuple

__all__ = ["Box", "Shade"]

#: How a box looks; each differs in more than colour, so that a print in grey can be read.
#: *plain*: a frame. *place*: a light ground, for what holds others. *strong*: a heavy frame, for what the
#: picture is about. *open*: a dashed frame, for what is not there yet.
Shade = Literal["plain", "place", "strong", "open"]


class Box(NamedTuple):
    """One thing.

    :param title: its name, in one line.
    :param lines: what is said of it, a line each.
    :param inside: the boxes in it, in order.
    """

    title: str
    lines: tuple[str, ...] = ()
    inside: tuple[Box, ...] = ()
    shade: Shade = "plain"
