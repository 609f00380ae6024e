# SPDX-License-Identifier: Apache-2.0
"""Tell the forms of a text with a command line apart: libvirt log, systemd unit, process list, shell text,
and a word a line.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from vsmmu.machine.command_line.sources import is_emulator

if TYPE_CHECKING:
    from collections.abc import Callable

    from vsmmu.machine.command_line.text_source import FoundCommand

__all__ = ["form_of"]

# Each with a text that it cannot do without: a start of a VM, whose script is mostly none of these, does not
# wait for the pattern to be compiled.
_LOG: Final = (
    ": starting up libvirt version",
    r"^[^\n'\"]*?\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+\+\d{4}: starting up libvirt version",
)
_UNIT: Final = ("[Unit]", r"^\[Unit\][ \t]*\r?$")
_SERVICE: Final = ("[Service]", r"^\[Service\][ \t]*\r?$")
_PROCESSES: Final = r"\A[ \t]*(?:F|S|UID|USER|PID|PPID)\b[^\n]*\b(?:CMD|COMMAND|ARGS)[ \t]*\r?$"
_COLUMNS: Final = ("F", "S", "UID", "USER", "PID", "PPID")
#: A line of ``ps`` without its head, or of ``pgrep -a``: a user, a number, columns; nothing is quoted.
_LINE: Final = (
    r"\A(?:[^\n'\\$`]*\n)*?[ \t]*(?:[a-z_][\w.+-]*[ \t]+)?\d+(?=[ \t])[^\n'\"\\$`]*?"
    r"[/ \t](?:qemu-system-|qemu-kvm)[^\n'\"\\$`]*$"
)
#: JSON that no quotes hold together: a shell would take it apart, so no shell has seen it.
_BARE_JSON: Final = (
    ' {"',
    r"""-(?:device|object|blockdev|netdev|chardev)[ ]\{"[a-z-]+":[^'\\\n]*\}(?:[ ]-|\s*\Z)""",
)


def form_of(text: str) -> Callable[[str, str], FoundCommand]:
    """The reader of a text."""
    if _has(_LOG, text):
        from vsmmu.machine.command_line.libvirt_log import read_log

        return read_log
    if _has(_UNIT, text) or _has(_SERVICE, text):
        from vsmmu.machine.command_line.unit import read_unit

        return read_unit
    if _is_process_list(text) or _has(_BARE_JSON, text):
        from vsmmu.machine.command_line.process_list import read_processes

        return read_processes
    if _is_word_a_line(text):
        from vsmmu.machine.command_line.process_list import read_word_lines

        return read_word_lines
    from vsmmu.machine.command_line.script import read_script

    return read_script


def _has(form: tuple[str, str], text: str) -> bool:
    mark, pattern = form
    return mark in text and re.search(pattern, text, re.MULTILINE) is not None


def _is_process_list(text: str) -> bool:
    if not text.lstrip(" \t").startswith(_COLUMNS):
        return text[:1] != "#" and re.match(_LINE, text, re.MULTILINE) is not None
    return re.search(_PROCESSES, text, re.MULTILINE) is not None


def _is_word_a_line(text: str) -> bool:
    """``tr '\\0' '\\n' </proc/PID/cmdline``: the program alone in its line, and each option in its own."""
    first, end, rest = text.partition("\n")
    if not end or not rest.startswith("-") or " " in first or not is_emulator(first or " "):
        return False
    return not any(line.startswith("-") and " " in line for line in rest.split("\n"))
