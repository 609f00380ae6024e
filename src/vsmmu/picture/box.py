# SPDX-License-Identifier: Apache-2.0
"""Pictures to be drawn: boxes with a title, lines of text and boxes inside, and links between them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["MARKS", "Box", "BoxLink", "Mark", "Picture", "Shade", "spell_mark"]

#: How a box looks; each differs in more than colour, so that a print in grey can be read.
#: *plain*: a frame. *place*: a light ground, for what holds others. *strong*: a heavy frame, for what the
#: picture is about. *open*: a dashed frame, for what is not there yet.
Shade = Literal["plain", "place", "strong", "open"]

#: How well the values of a box are known, or that it is of no use; empty where there is nothing to say.
Mark = Literal["", "measured", "published", "inferred", "unknown", "refused"]
#: Mark -> its sign, which tells it apart without colour, and what it says.
MARKS: Final[Mapping[Mark, tuple[str, str]]] = {
    "measured": ("✓", "this host's kernel said it"),
    "published": ("¶", "stated of this model of host"),
    "inferred": ("≈", "follows from something else"),
    "unknown": ("?", "a value is not known"),
    "refused": ("✗", "no accelerated vSMMU starts here"),
}


def spell_mark(mark: Mark) -> str:
    """The mark as it stands in a picture: ``✓ measured``; nothing for no mark."""
    return f"{MARKS[mark][0]} {mark}" if mark else ""


class Box(NamedTuple):
    """One thing.

    :param title: its name, in one line.
    :param lines: what is said of it, a line each.
    :param inside: the boxes in it, in order.
    :param key: what links call it by; empty for a box without links.
    """

    title: str
    lines: tuple[str, ...] = ()
    inside: tuple[Box, ...] = ()
    shade: Shade = "plain"
    mark: Mark = ""
    key: str = ""

    def walk(self) -> Iterator[Box]:
        """The box and all boxes in it, each before those inside it."""
        yield self
        for child in self.inside:
            yield from child.walk()


class BoxLink(NamedTuple):
    """A line between two boxes by their keys, from a box on the left to one on the right of it."""

    start: str
    end: str


class Picture(NamedTuple):
    """What is drawn.

    :param boxes: outermost boxes, side by side.
    :param links: between boxes inside different ones of them.
    :param meaning: of the links, for the legend.
    :param notes: what is to be said of the whole, below it.
    """

    boxes: tuple[Box, ...]
    links: tuple[BoxLink, ...] = ()
    meaning: str = ""
    notes: tuple[str, ...] = ()

    def walk(self) -> Iterator[Box]:
        """All boxes, each before those inside it."""
        for box in self.boxes:
            yield from box.walk()
