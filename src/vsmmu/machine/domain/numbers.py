# SPDX-License-Identifier: Apache-2.0
"""Numbers in attributes of a domain: which forms libvirt takes, by attribute.

It reads them as strtol() does, decimal alone or in C's bases (``010`` is 8, ``0b10`` is 2), with blanks and a
plus sign in front and nothing behind. Measured with libvirt 12.8, every attribute with every form;
``tests/libvirt/test_libvirt_numbers.py`` asks it again.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from vsmmu.errors import InputRefused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vsmmu.machine.domain.elements import Element

__all__ = ["BASES", "integer", "number"]

#: Attribute (``node`` is an element's text) -> 10 for decimal alone, 0 for C's bases.
BASES: Final[Mapping[str, int]] = {
    **dict.fromkeys(("controller", "index", "node", "oas", "pciBus", "ssidsize", "startport"), 10),
    **dict.fromkeys(("bus", "busNr", "chassis", "chassisNr", "domain", "function", "port", "slot"), 0),
}
_FORM: Final = (
    r"[ \t\r\n]*([+-]?)(?:0[xX](?P<hex>[0-9a-fA-F]+)|0[bB](?P<binary>[01]+)"
    r"|(?P<octal>0[0-7]*)|(?P<decimal>[1-9][0-9]*))"
)
_DECIMAL: Final = r"[ \t\r\n]*([+-]?)(?P<decimal>[0-9]+)"
_HEX: Final = frozenset("0123456789abcdef")
_BASE_OF: Final = {"hex": 16, "binary": 2, "octal": 8, "decimal": 10}
#: Longer ones would be no number of any use; int() is slow for very long ones.
_MAX_DIGITS: Final = 40
_MAX: Final = 0xFFFFFFFF


def integer(name: str, text: str) -> int | None:
    """A number as libvirt reads it in the attribute *name*, negative ones too; None for another text."""
    if len(text) > _MAX_DIGITS:
        return None
    # What libvirt itself writes: read without a pattern, which would be compiled at each start.
    if text.isdecimal() and text.isascii() and (BASES[name] or text == "0" or text[0] != "0"):
        value, sign = int(text), ""
    elif not BASES[name] and text.startswith("0x") and _HEX.issuperset(digits := text[2:]) and digits:
        value, sign = int(digits, 16), ""
    elif match := re.fullmatch(_DECIMAL if BASES[name] else _FORM, text):
        kind = match.lastgroup or ""
        value, sign = int(match[kind], _BASE_OF[kind]), match[1]
    else:
        return None
    if value > _MAX:
        return None
    return -value if sign == "-" else value


def number(element: Element | None, name: str) -> int | None:
    """The number in an attribute, which must not be negative; None if it is not written.

    :raise InputRefused: ``domain-number``, in libvirt's words.
    """
    text = element.attributes.get(name) if element is not None else None
    if element is None or text is None:
        return None
    value = integer(name, text)
    if value is None or value < 0:
        raise InputRefused(
            "domain-number",
            f"{name}={text!r:.40} of <{element.name}> is no number that libvirt takes",
            where=f"line {element.line}",
            why=f"Invalid value for attribute '{name}' in element '{element.name}': '{text:.40}'. "
            f"Expected {'non-negative' if value is not None else 'integer'} value",
            next=f"write it as {'2' if BASES[name] else '2 or 0x2'}, without blanks behind",
        )
    return value
