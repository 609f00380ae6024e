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

#: What another program has put in front of each line (``journalctl``, ``grep``, a mail), and the start.
_START: Final = re.compile(
    r"^(?P<before>[^\n]*?)\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+\+\d{4}: starting up [^\n]*\n", re.MULTILINE
)
#: The command libvirt writes goes on while a line ends in a backslash.
_COMMAND: Final = re.compile(r"(?:[^\n]*\\\n)*[^\n]*")
_MESSAGE: Final = re.compile(r"^ *(?:\d{4}-\d\d-\d\dT[\d:.]+Z )?(\S*qemu[\w-]*: [^\n]*\S)", re.MULTILINE)


def read_log(text: str, where: str) -> FoundCommand:
    """The command of the last start, and what QEMU printed after it.

    :raise InputRefused: ``no-command``; and as :func:`vsmmu.machine.command_line.script.read_script`.
    """
    refuse_over(len(text), MAX_SOURCE_BYTES, "characters", where)
    shown = _alone(text)
    starts = list(_START.finditer(shown))
    command = _COMMAND.match(shown, starts[-1].end()) if starts else None
    if command is None or not command.group().strip() or command.group().endswith("\\\n"):
        raise _cut(where)
    # Blanks in front keep every offset and line number that of the log.
    blank = re.sub(r"[^\n]", " ", shown[: command.start()])
    try:
        reading = read_script(blank + command.group(), where)
    except InputRefused as error:
        # libvirt's own quotes are closed.
        cut = error.code == "shell-syntax" and not shown[command.end() :].strip()
        raise _cut(where) if cut else error from None
    return reading._replace(printed=tuple(_MESSAGE.findall(shown, command.end())))


def _cut(where: str) -> InputRefused:
    return InputRefused(
        "no-command",
        "the log ends before the command of its last start does",
        where=where,
        next="give the whole log of a start: /var/log/libvirt/qemu/NAME.log",
    )


def _alone(text: str) -> str:
    """The log with blanks for what is not libvirt's: carriage returns, and what begins every line."""
    shown = text.replace("\\\r\n", " \\\n").replace("\r\n", " \n")
    first = _START.search(shown)
    if first is None or not first["before"].strip():
        return shown
    # The time in it goes on from line to line.
    before = re.sub(r"(?:\\? )+", " +", re.sub(r"\d+", r"\\d+", re.escape(first["before"].rstrip())))
    return re.sub(rf"^{before} ?", lambda match: " " * len(match.group()), shown, flags=re.MULTILINE)
