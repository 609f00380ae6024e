# SPDX-License-Identifier: Apache-2.0
"""Text edits that set a property inside an option's argument.

A property that is written there gets its new value in place, another goes to the end; the style of the
surroundings (blanks and line breaks between JSON members, the kind of quotation marks) is followed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vsmmu.machine.command_line.keyval import escape, parse_opts

if TYPE_CHECKING:
    from vsmmu.machine.command_line.sources import Splice

__all__ = ["set_in_json", "set_in_opts", "set_in_set_option"]


def set_in_opts(text: str, key: str, value: str, implied: str = "driver") -> Splice:
    """The replacement that sets ``key`` in a QemuOpts string; of repeated keys, in the last, which counts."""
    pairs = parse_opts(text, implied)
    for pair in reversed(pairs):
        if pair.key != key:
            continue
        if pair.value_start < 0:
            return pair.start, pair.end, f"{key}={escape(value)}"
        return pair.value_start, pair.end, escape(value)
    open_end = not pairs or pairs[-1].end < len(text)
    return len(text), len(text), f"{'' if open_end else ','}{key}={escape(value)}"


def set_in_set_option(text: str, value: str) -> Splice:
    """The replacement that changes the value of ``-set group.id.key=value``."""
    return text.index("=") + 1, len(text), value


def set_in_json(text: str, key: str, value: str) -> Splice:
    """The replacement that sets ``key`` in a JSON object, as a string.

    :raise JsonError: if ``text`` is no object.
    """
    from vsmmu.machine.command_line.qjson import parse_object, quote  # most command lines have no JSON

    members = parse_object(text)
    for member in members:
        if member.key == key:
            return member.value_start, member.value_end, quote(value, _mark(text, member.value_start))
    if not members:
        at = text.index("{") + 1
        return at, at, f"{quote(key)}:{quote(value)}"
    last = members[-1]
    mark = text[last.key_start]
    comma = text[members[-2].value_end : last.key_start] if len(members) > 1 else ","
    colon = text[last.key_end : last.value_start]
    return last.value_end, last.value_end, f"{comma}{quote(key, mark)}{colon}{quote(value, mark)}"


def _mark(text: str, at: int) -> str:
    return text[at] if text[at] in "'\"" else '"'
