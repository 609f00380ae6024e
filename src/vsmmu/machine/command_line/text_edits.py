# SPDX-License-Identifier: Apache-2.0
"""Text edits that set a property inside an option's argument, or take it out.

A property that is written there gets its new value in place, another goes to the end; the style of the
surroundings (blanks and line breaks between JSON members, the kind of quotation marks) is followed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vsmmu.diagnostic import spelled
from vsmmu.machine.command_line.keyval import escape, parse_opts

if TYPE_CHECKING:
    from collections.abc import Container, Iterator

    from vsmmu.diagnostic import Written
    from vsmmu.machine.command_line.sources import Splice

__all__ = ["set_in_json", "set_in_opts", "set_in_set_option", "unset_in_json", "unset_in_opts"]


def set_in_opts(text: str, key: str, value: Written, implied: str = "driver") -> Splice:
    """The replacement that sets ``key`` in a QemuOpts string; of repeated keys, in the last, which counts."""
    pairs = parse_opts(text, implied)
    written = escape(spelled(value))
    for pair in reversed(pairs):
        if pair.key != key:
            continue
        if pair.value_start < 0:
            return pair.start, pair.end, f"{key}={written}"
        return pair.value_start, pair.end, written
    open_end = not pairs or pairs[-1].end < len(text)
    return len(text), len(text), f"{'' if open_end else ','}{key}={written}"


def unset_in_opts(text: str, keys: Container[str], implied: str = "driver") -> Iterator[Splice]:
    """The replacements that take parameters out of a QemuOpts string, each with a comma; the last one first.

    The first parameter stays if its key is the implied one.
    """
    pairs = parse_opts(text, implied)
    for number, pair in reversed(list(enumerate(pairs))):
        if pair.key in keys and (number or pair.start != pair.value_start):
            yield (pairs[number - 1].end, pair.end, "") if number else (0, min(pair.end + 1, len(text)), "")


def set_in_set_option(text: str, value: Written) -> Splice:
    """The replacement that changes the value of ``-set group.id.key=value``."""
    return text.index("=") + 1, len(text), spelled(value)


def set_in_json(text: str, key: str, value: Written) -> Splice:
    """The replacement that sets ``key`` in a JSON object.

    :raise JsonError: if ``text`` is no object.
    """
    from vsmmu.machine.command_line.qjson import parse_object, quote  # most command lines have no JSON

    members = parse_object(text)
    for member in members:
        if member.key == key:
            return member.value_start, member.value_end, _in_json(value, _mark(text, member.value_start))
    if not members:
        at = text.index("{") + 1
        return at, at, f"{quote(key)}:{_in_json(value)}"
    last = members[-1]
    mark = text[last.key_start]
    comma = text[members[-2].value_end : last.key_start] if len(members) > 1 else ","
    colon = text[last.key_end : last.value_start]
    return last.value_end, last.value_end, f"{comma}{quote(key, mark)}{colon}{_in_json(value, mark)}"


def unset_in_json(text: str, keys: Container[str]) -> Iterator[Splice]:
    """The replacements that take members out of a JSON object, each with a comma; the last one first.

    :raise JsonError: if ``text`` is no object.
    """
    from vsmmu.machine.command_line.qjson import parse_object

    members = parse_object(text)
    gone = [number for number, member in enumerate(members) if member.key in keys]
    for number in reversed(gone):
        if number:
            yield members[number - 1].value_end, members[number].value_end, ""
        else:
            # What stands in front of the first member that stays goes with this one; the others are gone.
            stays = next((other for other in range(1, len(members)) if other not in gone), 0)
            comma = members[stays].key_start - members[stays - 1].value_end if stays else 0
            yield members[0].key_start, members[0].value_end + comma, ""


def _in_json(value: Written, mark: str = '"') -> str:
    from vsmmu.machine.command_line.qjson import quote

    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int) else quote(value, mark)


def _mark(text: str, at: int) -> str:
    return text[at] if text[at] in "'\"" else '"'
