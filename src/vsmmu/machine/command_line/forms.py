# SPDX-License-Identifier: Apache-2.0
"""Tell the forms of a text with a command line apart: libvirt log, systemd unit, process list, shell text."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from vsmmu.machine.command_line.text_source import FoundCommand

__all__ = ["form_of"]

_LOG: Final = re.compile(
    r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+\+\d{4}: starting up libvirt version", re.MULTILINE
)
_UNIT: Final = re.compile(r"^\[(?:Unit|Service)\][ \t]*$", re.MULTILINE)
_PROCESSES: Final = re.compile(
    r"\A[ \t]*(?:F|S|UID|USER|PID|PPID)\b[^\n]*\b(?:CMD|COMMAND|ARGS)[ \t]*$", re.MULTILINE
)
#: JSON that no quotes hold together: a shell would take it apart, so no shell has seen it.
_BARE_JSON: Final = re.compile(
    r"""-(?:device|object|blockdev|netdev|chardev)[ ]\{"[a-z-]+":[^'\\\n]*\}(?:[ ]-|\s*\Z)"""
)


def form_of(text: str) -> Callable[[str, str], FoundCommand]:
    """The reader of a text."""
    if _LOG.search(text):
        from vsmmu.machine.command_line.libvirt_log import read_log

        return read_log
    if _UNIT.search(text):
        from vsmmu.machine.command_line.unit import read_unit

        return read_unit
    if _PROCESSES.search(text) or _BARE_JSON.search(text):
        from vsmmu.machine.command_line.process_list import read_processes

        return read_processes
    from vsmmu.machine.command_line.script import read_script

    return read_script
