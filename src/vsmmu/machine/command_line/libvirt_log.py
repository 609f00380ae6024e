# SPDX-License-Identifier: Apache-2.0
"""libvirt's log of a domain (``/var/log/libvirt/qemu/NAME.log``): the last start in it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from vsmmu.errors import InputRefused
from vsmmu.machine.command_line.script import read_script
from vsmmu.machine.limits import MAX_SOURCE_BYTES, refuse_over

if TYPE_CHECKING:
    from vsmmu.machine.command_line.text_source import FoundCommand

__all__ = ["read_log"]

_START: Final = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+\+\d{4}: starting up [^\n]*\n", re.MULTILINE)
#: The command libvirt writes goes on while a line ends in a backslash.
_COMMAND: Final = re.compile(r"(?:[^\n]*\\\n)*[^\n]*")
_MESSAGE: Final = re.compile(r"^(?:\d{4}-\d\d-\d\dT[\d:.]+Z )?(\S*qemu[\w-]*: [^\n]+)", re.MULTILINE)


def read_log(text: str, where: str) -> FoundCommand:
    """The command of the last start, and what QEMU printed after it.

    :raise InputRefused: ``no-command``; and as :func:`vsmmu.machine.command_line.script.read_script`.
    """
    refuse_over(len(text), MAX_SOURCE_BYTES, "characters", where)
    starts = list(_START.finditer(text))
    command = _COMMAND.match(text, starts[-1].end()) if starts else None
    if command is None or not command.group().strip():
        raise InputRefused(
            "no-command",
            "the log ends before the command of its last start",
            where=where,
            next="give the log of a start: /var/log/libvirt/qemu/NAME.log",
        )
    # Blanks in front keep every offset and line number that of the log.
    blank = re.sub(r"[^\n]", " ", text[: command.start()])
    reading = read_script(blank + command.group(), where)
    return reading._replace(printed=tuple(_MESSAGE.findall(text, command.end())))
