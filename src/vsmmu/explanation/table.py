# SPDX-License-Identifier: Apache-2.0
"""The explanation of each code, made of the tables of QEMU's messages, of libvirt's rules and of codes."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, Final

import msgspec

from vsmmu.codes import CodeRow, code_table, message_causes
from vsmmu.explanation.model import Explanation
from vsmmu.libvirt.rules import RULES
from vsmmu.libvirt.wording import WORDINGS
from vsmmu.probe.refusals import REFUSALS
from vsmmu.qemu.texts import MESSAGES
from vsmmu.smmuv3.fields import field
from vsmmu.smmuv3.properties import PROPERTIES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from vsmmu.explanation.model import Kind

__all__ = ["PLACE", "all_codes", "explain_code", "fill", "is_code", "nearest_codes", "nearest_property"]

#: A place of a text: ``{name}``, ``{name!r}``; *glued* is a letter right in front of it.
PLACE: Final = re.compile(r"(?P<glued>[a-z]?)\{(?P<name>\w*)[^}]*\}")
#: What stands in a place that is no name.
_STANDS_FOR: Final = {
    "accepted": "the values that -device DRIVER,help lists",
    "remedy": "correct the spelling: -device DRIVER,help lists what there is",
    "container": "",
}
#: Codes that a message of QEMU has for a domain only.
_WORDED: Final = {
    row.code: row for row in reversed(WORDINGS) if row.of in MESSAGES and row.code not in MESSAGES
}
_FIELD: Final = re.compile(r"IDR\d\.\w+")


def all_codes() -> Iterator[str]:
    """Every code that there is."""
    yield from MESSAGES
    yield from RULES
    yield from (row.code for row in _WORDED.values())
    yield from code_table()


def explain_code(code: str, **values: str) -> Explanation | None:
    """The explanation of a code; None if there is no such code.

    :param values: what was printed in the places of its sentence; other places of the remedy get their name.
    """
    kind: Kind
    if code in MESSAGES:
        message, row = MESSAGES[code], message_causes()[code]
        says = "" if message.text == "{text}" else f"{message.prefix}{message.text}"
        kind, mend = "qemu", message.remedy
    elif code in RULES:
        rule = RULES[code]
        kind, says, row, mend = "libvirt", rule.what, CodeRow(rule.consequence), rule.remedy
    elif code in code_table():
        row = code_table()[code]
        called = row.says or any(entry.code == code for entry in REFUSALS.values())
        kind, says, mend = "kernel" if called else "vsmmu", row.says, row.next
    elif code in _WORDED:
        worded = explain_code(_WORDED[code].of)
        assert worded is not None  # noqa: S101 - a message of QEMU
        return msgspec.structs.replace(
            worded, code=code, kind="libvirt", mend=fill(_WORDED[code].next, values)
        )
    else:
        return None
    return Explanation(
        code,
        kind,
        says=fill(says, {}),
        cause=fill(row.cause, values),
        about=_spelled(row.about),
        since=row.since,
        mend=fill(mend, values),
        costs=row.costs,
    )


def fill(text: str, values: Mapping[str, str]) -> str:
    """A text of a table with its ``{}`` places filled; those that nothing is known of get their own name."""

    def put(place: re.Match[str]) -> str:
        name = place["name"]
        if place["glued"]:  # more than a name: a list in parentheses
            return place["glued"]
        return values.get(name) or _STANDS_FOR.get(name, name.upper())

    return PLACE.sub(put, text.replace("QEMU {qemu}", "this QEMU"))


def nearest_codes(text: str) -> list[str]:
    """Up to three codes that ``text`` may have been meant to be, the likeliest first."""
    return difflib.get_close_matches(text, list(all_codes()), 3, cutoff=0.75)


def nearest_property(text: str) -> str:
    """The property of the vSMMU that a text is, or is near to; empty if there is none."""
    names = [*PROPERTIES, "accel", "primary-bus"]
    return next(iter(difflib.get_close_matches(text, names, 1, cutoff=0.75)), "")


def _spelled(about: str) -> str:
    """A register field with its bits and its title: ``IDR3.RIL[10] (range invalidation)``."""

    def spell(match: re.Match[str]) -> str:
        entry = field(match[0])
        return f"{entry.key}{entry.bits} ({entry.title})"

    return _FIELD.sub(spell, about)


def is_code(text: str) -> bool:
    """Whether a word is a code."""
    return text in set(all_codes())
