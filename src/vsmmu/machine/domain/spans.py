# SPDX-License-Identifier: Apache-2.0
"""Edit XML text by byte spans: attributes of a start tag, and where an element begins and ends."""

from __future__ import annotations

import pyexpat as expat  # single start tags of a text that was read before
import re
from typing import TYPE_CHECKING, Final

from vsmmu.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from vsmmu.machine.domain.elements import Element

__all__ = [
    "Attribute",
    "Extent",
    "Splice",
    "TagChange",
    "apply",
    "attributes_at",
    "change_tag",
    "escape",
    "extent_of",
    "verify_tag",
]

_NAME: Final = re.compile(rb"<[^\s/>]+")
_ATTRIBUTE: Final = re.compile(rb"(\s+)([^\s=/>]+)(\s*=\s*)(?:\"([^\"]*)\"|'([^']*)')")
_ESCAPES: Final = {
    "&": "&amp;",
    "<": "&lt;",
    ">": "&gt;",
    '"': "&quot;",
    "'": "&apos;",
    "\n": "&#10;",
    "\t": "&#9;",
}


class Splice(NamedTuple):
    """Replace the bytes ``start``..``end`` by ``text``."""

    start: int
    end: int
    text: bytes


class Attribute(NamedTuple):
    """One attribute in a start tag.

    :param lead: the white space in front of it, at ``start``.
    :param name_start: where its name begins.
    :param value_start: where its value begins, behind the quotation mark.
    :param end: behind the closing quotation mark.
    """

    name: str
    lead: bytes
    start: int
    name_start: int
    value_start: int
    end: int
    quote: bytes


class Extent(NamedTuple):
    """Where one element stands, in bytes: ``data[start:end]`` is all of it.

    :param inner: behind its start tag.
    :param close: at its end tag; the same as ``end`` for an element without content, ``<name/>``.
    """

    start: int
    inner: int
    close: int
    end: int

    @property
    def empty(self) -> bool:
        """Whether it is one tag, ``<name/>``."""
        return self.close == self.end


class TagChange(NamedTuple):
    """What one start tag shall become.

    :param values: attribute -> new value; absent ones are added.
    :param renames: attribute -> its new name; applied together with ``values``, which use the new names.
    :param drop: attributes to remove.
    """

    values: Mapping[str, str] = {}
    renames: Mapping[str, str] = {}
    drop: frozenset[str] = frozenset()


def attributes_at(data: bytes, start: int) -> tuple[list[Attribute], int]:
    """The attributes of the start tag at ``start``, and where its last one (or its name) ends.

    The text must be well-formed: a parser has read it before.
    """
    name = _NAME.match(data, start)
    if name is None:
        raise ValueError(f"no start tag at byte {start}")
    found: list[Attribute] = []
    at = name.end()
    while match := _ATTRIBUTE.match(data, at):
        at = match.end()
        value = 4 if match[4] is not None else 5
        found.append(
            Attribute(
                match[2].decode(),
                match[1],
                match.start(),
                match.start(2),
                match.start(value),
                at,
                data[at - 1 : at],
            )
        )
    return found, at


def extent_of(data: bytes, element: Element) -> Extent:
    """Where an element that was parsed from ``data`` begins and ends."""
    _, last = attributes_at(data, element.start)
    # Behind the attributes there is nothing but white space and the end of the tag; so it is in an end tag.
    inner = data.index(b">", last) + 1
    if data[inner - 2 : inner - 1] == b"/":
        return Extent(element.start, inner, inner, inner)
    return Extent(element.start, inner, element.close, data.index(b">", element.close) + 1)


def change_tag(data: bytes, start: int, change: TagChange, order: Sequence[str]) -> list[Splice]:
    """The replacements that change the start tag at ``start``.

    :param order: where new attributes go: behind the last one that precedes them here, else behind all; with
        the white space and the quotation marks of that neighbour.
    """
    attributes, end = attributes_at(data, start)
    splices: list[Splice] = []
    placed: dict[str, Attribute] = {}
    for entry in attributes:
        name = change.renames.get(entry.name, entry.name)
        if entry.name in change.drop:
            splices.append(Splice(entry.start, entry.end, b""))
            continue
        placed[name] = entry
        if name != entry.name:
            splices.append(Splice(entry.name_start, entry.name_start + len(entry.name), name.encode()))
        if name in change.values:
            splices.append(Splice(entry.value_start, entry.end - 1, escape(change.values[name])))
    new = [name for name in order if name in change.values and name not in placed]
    ranks = {name: rank for rank, name in enumerate(order)}
    for name in new:
        before = [entry for key, entry in placed.items() if ranks.get(key, len(order)) < ranks[name]]
        neighbour = max(before or list(placed.values()), key=lambda entry: entry.end, default=None)
        lead, quote = (b" ", b"'") if neighbour is None else (neighbour.lead, neighbour.quote)
        at = end if neighbour is None else neighbour.end
        text = lead + name.encode() + b"=" + quote + escape(change.values[name]) + quote
        splices.append(Splice(at, at, text))
    return splices


def verify_tag(data: bytes, start: int, splices: Sequence[Splice], change: TagChange) -> None:
    """Hold a changed start tag against what was meant, as a parser sees both.

    Outside of the tag nothing changes, because no replacement lies there.

    :raise RuntimeError: the editor has a bug.
    """
    end = data.index(b">", attributes_at(data, start)[1]) + 1
    inside = all(start < splice.start <= splice.end < end for splice in splices)
    moved = [Splice(splice.start - start, splice.end - start, splice.text) for splice in splices]
    before, after = _tag(data[start:end]), _tag(apply(data[start:end], moved))
    expected = {
        change.renames.get(name, name): value for name, value in before[1].items() if name not in change.drop
    } | dict(change.values)
    if not inside or after != (before[0], expected):
        raise RuntimeError(f"editing changed <{before[0]}> in another way than meant")


def _tag(text: bytes) -> tuple[str, dict[str, str]]:
    """Name and attributes of one start tag."""
    found: list[tuple[str, dict[str, str]]] = []
    parser = expat.ParserCreate()
    parser.StartElementHandler = lambda name, attributes: found.append((name, attributes))
    parser.Parse(text if text.endswith(b"/>") else text[:-1] + b"/>", True)
    return found[0]


def apply(data: bytes, splices: Iterable[Splice]) -> bytes:
    """The text after all replacements; what is inserted at a place stays in order, before what is removed."""
    out: list[bytes] = []
    at = 0
    for splice in sorted(splices, key=lambda entry: (entry.start, entry.end)):
        out += [data[at : splice.start], splice.text]
        at = splice.end
    return b"".join([*out, data[at:]])


def escape(value: str) -> bytes:
    """Text as it is written in an attribute with either quotation mark, or between tags."""
    return "".join([_ESCAPES.get(character, character) for character in value]).encode()
