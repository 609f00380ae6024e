# SPDX-License-Identifier: Apache-2.0
"""Write new libvirt elements, and insert them into a domain by the byte offsets of its parsed elements."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from vsmmu.machine.domain.spans import Splice, TagChange, change_tag, escape, extent_of, verify_tag

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from vsmmu.machine.domain.elements import Element

__all__ = [
    "ADDRESS_ORDER",
    "NewElement",
    "address",
    "append",
    "controller",
    "insert_behind",
    "remove",
    "set_attributes",
    "write",
]

#: The attributes of a PCI address, in the order in which libvirt writes them.
ADDRESS_ORDER: Final = ("type", "domain", "bus", "slot", "function", "multifunction")


class NewElement(NamedTuple):
    """An element to be written.

    :param text: its content, where it has no children.
    """

    name: str
    attributes: Mapping[str, str]
    children: tuple[NewElement, ...] = ()
    text: str = ""

    def lines(self) -> Iterator[str]:
        """One tag a line (but ``<name>text</name>`` is one), children two blanks further in."""
        written = "".join(f" {name}='{escape(value).decode()}'" for name, value in self.attributes.items())
        if self.children:
            yield f"<{self.name}{written}>"
            yield from (f"  {line}" for child in self.children for line in child.lines())
            yield f"</{self.name}>"
        elif self.text:
            yield f"<{self.name}{written}>{escape(self.text).decode()}</{self.name}>"
        else:
            yield f"<{self.name}{written}/>"


def write(elements: Iterable[NewElement], lead: bytes) -> bytes:
    """Elements as text.

    :param lead: a line break and an indentation, which goes in front of each line; without one, all is
        written in one line.
    """
    lines = [line.encode() for element in elements for line in element.lines()]
    return b"".join(lead + line if lead else line.lstrip() for line in lines)


def append(data: bytes, parent: Element, elements: Sequence[NewElement]) -> Splice:
    """Put elements behind the last child of ``parent``, indented as that is."""
    extent = extent_of(data, parent)
    if parent.children:
        last = parent.children[-1]
        at = extent_of(data, last).end
        return Splice(at, at, write(elements, _indentation(data, last.start)))
    if not extent.empty:
        return Splice(extent.close, extent.close, write(elements, b""))
    slash = extent.end - 2
    return Splice(slash, extent.end, b">" + write(elements, b"") + f"</{_name(data, extent.start)}>".encode())


def insert_behind(data: bytes, element: Element, elements: Sequence[NewElement]) -> Splice:
    """Put elements behind ``element``, as its next siblings."""
    at = extent_of(data, element).end
    return Splice(at, at, write(elements, _indentation(data, element.start)))


def set_attributes(
    data: bytes, element: Element, values: Mapping[str, str], order: Sequence[str]
) -> list[Splice]:
    """Give attributes of ``element`` these values; new ones go where ``order`` has them."""
    change = TagChange(values)
    splices = change_tag(data, element.start, change, order)
    verify_tag(data, element.start, splices, change)
    return splices


def remove(data: bytes, element: Element) -> Splice:
    """Take an element out, with the line break and the blanks in front of it."""
    extent = extent_of(data, element)
    return Splice(extent.start - len(_indentation(data, extent.start)), extent.end, b"")


def controller(index: int, model: str, name: str, content: NewElement) -> NewElement:
    """A PCI controller.

    :param name: QEMU's type of it.
    """
    attributes = {"type": "pci", "index": str(index), "model": model}
    return NewElement("controller", attributes, (NewElement("model", {"name": name}), content))


def address(bus: int, slot: int = 0, function: int = 0) -> dict[str, str]:
    """The attributes of a guest's PCI address; ``bus`` is the index of a controller."""
    place = {"bus": f"0x{bus:02x}", "slot": f"0x{slot:02x}", "function": f"0x{function}"}
    return {"type": "pci", "domain": "0x0000", **place}


def _indentation(data: bytes, start: int) -> bytes:
    """The line break and the blanks in front of an element; empty if it does not begin its line."""
    head = data[:start].rstrip(b" \t")
    if not head.endswith(b"\n"):
        return b""
    at = len(head) - (2 if head.endswith(b"\r\n") else 1)
    return data[at:start]


def _name(data: bytes, start: int) -> str:
    """The name of an element as it is written, with its prefix."""
    end = start + 1
    while data[end : end + 1] not in (b" ", b"\t", b"\r", b"\n", b"/", b">"):
        end += 1
    return data[start + 1 : end].decode()
