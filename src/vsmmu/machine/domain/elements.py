# SPDX-License-Identifier: Apache-2.0
"""Domain XML as a tree of elements with their byte offsets.

The parser is CPython's own expat: it loads in no time (lxml takes 25 ms, on the path of a VM's start), tells
the byte at which each element begins, and needs no recursion. Nothing that could make it fetch or multiply
text is accepted: a document type declaration, and with it every entity, is refused unread.
"""

from __future__ import annotations

import pyexpat as expat  # hardened below; no element is read before size and encoding are checked
from typing import TYPE_CHECKING, Final

from vsmmu.errors import InputRefused
from vsmmu.machine.limits import refuse_over

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["MAX_DEPTH", "MAX_DOMAIN_BYTES", "MAX_ELEMENTS", "QEMU_NAMESPACE", "Element", "parse"]

#: Of elements that go past libvirt's schema: :mod:`vsmmu.machine.domain.qemu_namespace`.
QEMU_NAMESPACE: Final = "http://libvirt.org/schemas/domain/qemu/1.0"

#: libvirt's own limit of a string in its protocol (REMOTE_STRING_MAX in remote_protocol.x).
MAX_DOMAIN_BYTES: Final = 4 << 20
#: libxml2 stops at 256, and no domain needs more than a dozen.
MAX_DEPTH: Final = 256
#: Some thirty for each of more devices than an Arm machine has room for.
MAX_ELEMENTS: Final = 100_000

_BOMS: Final = (b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")
_ENCODINGS: Final = frozenset({"utf-8", "utf8", "us-ascii", "ascii"})
_NEXT: Final = "give the domain XML as virsh dumpxml --inactive prints it"


class Element:
    """One element.

    :ivar name: local name; with the namespace and a blank in front if it has one, so that foreign elements
        never match.
    :ivar attributes: values with references resolved.
    :ivar start: offset in bytes of its ``<``.
    :ivar close: offset in bytes of its end tag; of no use for ``<name/>``, which has none
        (:func:`vsmmu.machine.domain.spans.extent_of` tells the two apart).
    :ivar line: from 1.
    :ivar text: its own text, stripped.
    :ivar unstripped: the same with the blanks around it.
    """

    __slots__ = ("attributes", "children", "close", "line", "name", "start", "text", "unstripped")

    def __init__(self, name: str, attributes: dict[str, str], start: int, line: int) -> None:
        self.name = name
        self.attributes = attributes
        self.start = start
        self.close = start
        self.line = line
        self.text = self.unstripped = ""
        self.children: list[Element] = []

    def get(self, name: str, default: str = "") -> str:
        """The value of an attribute; ``default`` if it is absent."""
        return self.attributes.get(name, default)

    def find(self, path: str) -> Element | None:
        """The first element at ``a/b/c`` below this one."""
        return next(self.all(path), None)

    def all(self, path: str) -> Iterator[Element]:
        """All elements at ``a/b/c`` below this one, in document order."""
        head, _, rest = path.partition("/")
        for child in self.children:
            if child.name == head:
                if rest:
                    yield from child.all(rest)
                else:
                    yield child

    def value(self, path: str, attribute: str = "") -> str:
        """An attribute (or, without one, the text) of the element at ``path``; empty if it is not there."""
        found = self.find(path)
        if found is None:
            return ""
        return found.get(attribute) if attribute else found.text


def parse(data: bytes, where: str) -> Element:
    """Read a domain; the root element is ``domain``.

    :raise InputRefused: ``input-too-large``, ``xml-encoding``, ``xml-doctype``, ``xml-depth``,
        ``xml-malformed`` or ``xml-not-a-domain``; after reading no more than it takes to know.
    """
    refuse_over(len(data), MAX_DOMAIN_BYTES, "bytes", where)
    _check_encoding(data, where)
    builder = _Builder(where)
    try:
        builder.parser.Parse(data, True)
    except expat.ExpatError as error:
        raise InputRefused(
            "xml-malformed",
            "this is not well-formed XML",
            where=f"{where}, line {error.lineno}, column {error.offset + 1}",
            why=expat.errors.messages.get(error.code, str(error)),
            next=_NEXT,
        ) from None
    assert builder.root is not None  # noqa: S101 - expat insists on a root element
    if builder.root.name != "domain":
        raise InputRefused(
            "xml-not-a-domain",
            f"the root element is <{builder.root.name:.60}>, not <domain>",
            where=f"{where}, line {builder.root.line}",
            next=_NEXT,
        )
    return builder.root


class _Builder:
    """Builds the tree from expat's events, and stops at the first thing that has no place in a domain."""

    def __init__(self, where: str) -> None:
        self.root: Element | None = None
        self._where = where
        self._open: list[Element] = []
        self._count = 0
        self.parser = parser = expat.ParserCreate(namespace_separator=" ")
        parser.buffer_text = True
        parser.XmlDeclHandler = self._declaration
        parser.StartDoctypeDeclHandler = self._doctype
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text

    def _refuse(self, code: str, what: str, next_step: str, why: str = "") -> InputRefused:
        place = f"{self._where}, line {self.parser.CurrentLineNumber}"
        return InputRefused(code, what, where=place, why=why, next=next_step)

    def _declaration(self, version: str, encoding: str | None, standalone: int) -> None:  # noqa: ARG002
        if encoding is not None and encoding.lower() not in _ENCODINGS:
            raise self._refuse(
                "xml-encoding",
                f"the encoding is declared as {encoding!r:.60}",
                "convert it with iconv -t UTF-8, and declare UTF-8",
                "libvirt writes UTF-8",
            )

    def _doctype(self, name: str, *rest: object) -> None:  # noqa: ARG002
        raise self._refuse(
            "xml-doctype",
            f"there is a document type declaration (<!DOCTYPE {name:.60})",
            "remove it: domain XML has none",
            "entities and external files are not read",
        )

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._count += 1
        if len(self._open) >= MAX_DEPTH or self._count > MAX_ELEMENTS:
            limit = f"{MAX_DEPTH} levels" if len(self._open) >= MAX_DEPTH else f"{MAX_ELEMENTS} elements"
            raise self._refuse("xml-depth", f"there are more than {limit}", _NEXT)
        parser = self.parser
        element = Element(name, attributes, parser.CurrentByteIndex, parser.CurrentLineNumber)
        if self._open:
            self._open[-1].children.append(element)
        else:
            self.root = element
        self._open.append(element)

    def _end(self, name: str) -> None:  # noqa: ARG002
        element = self._open.pop()
        element.close = self.parser.CurrentByteIndex
        element.unstripped = element.text
        element.text = element.text.strip()

    def _text(self, data: str) -> None:
        if not data.isspace():
            self._open[-1].text += data


def _check_encoding(data: bytes, where: str) -> None:
    if data.startswith(_BOMS) or b"\0" in data:
        raise InputRefused(
            "xml-encoding",
            "this is not UTF-8 but UTF-16, UTF-32 or no text at all",
            where=where,
            next="convert it with iconv -t UTF-8",
        )
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputRefused(
            "xml-encoding",
            f"byte {error.start} (0x{data[error.start]:02x}) is not UTF-8",
            where=where,
            next="convert it with iconv -t UTF-8",
        ) from None
