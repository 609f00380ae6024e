# SPDX-License-Identifier: Apache-2.0
"""Process list: lines of ``ps``, or ``/proc/PID/cmdline`` with blanks or line ends for NULs; words without
quotes.
"""

from __future__ import annotations

import re
from typing import Final

from vsmmu.errors import InputRefused
from vsmmu.machine.command_line.command_word import CommandWord
from vsmmu.machine.command_line.options import OPTIONS
from vsmmu.machine.command_line.shell import Context, Segment, line_and_column
from vsmmu.machine.command_line.sources import named_emulator
from vsmmu.machine.command_line.text_source import FoundCommand
from vsmmu.machine.limits import MAX_SOURCE_BYTES, MAX_WORDS, refuse_over

__all__ = ["read_processes", "read_word_lines"]

_WORD: Final = re.compile(r"[^ \t\r\n]+")


def read_processes(text: str, where: str) -> FoundCommand:
    """The words of the one process that is QEMU.

    ``ps`` does not show where a word ends: words that follow an option's argument and are no option belong
    to the argument (``-append console=ttyAMA0 quiet``).

    :raise InputRefused: ``no-command``, ``many-commands``.
    """
    refuse_over(len(text), MAX_SOURCE_BYTES, "characters", where)
    found: list[list[re.Match[str]]] = []
    at = 0
    for line in text.splitlines(keepends=True):
        words = list(_WORD.finditer(text, at, at + len(line)))
        refuse_over(len(words), MAX_WORDS, "words", where)
        program = named_emulator([word.group() for word in words])
        if program is not None and any(word.group().startswith("-") for word in words[program + 1 :]):
            found.append(words[program:])
        at += len(line)
    if not found:
        raise InputRefused(
            "no-command",
            "no process in it is QEMU",
            where=where,
            next="ps -ww -o args= -p $(pidof qemu-system-aarch64)",
        )
    if len(found) > 1:
        raise InputRefused(
            "many-commands",
            "more than one process is QEMU",
            where=f"{where}, {line_and_column(text, found[1][0].start())}",
            next="give the line of one, or its process id: vsmmu check PID",
        )
    return FoundCommand(_fields(text, found[0]), _refuse_blanks, _refuse_blanks_in_word, "ps")


def read_word_lines(text: str, where: str) -> FoundCommand:
    """Words of which each is a line: ``tr '\\0' '\\n' </proc/PID/cmdline``.

    :raise InputRefused: ``input-too-large``.
    """
    refuse_over(len(text), MAX_SOURCE_BYTES, "characters", where)
    fields: list[CommandWord] = []
    at = 0
    for line in text.removesuffix("\n").split("\n"):
        fields.append(_field(text, at, at + len(line)))
        at += len(line) + 1
    return FoundCommand(tuple(fields), _refuse_blanks, _refuse_blanks_in_word, "ps", between="\n")


def _fields(text: str, words: list[re.Match[str]]) -> tuple[CommandWord, ...]:
    fields: list[CommandWord] = []
    option = ""
    for word in words:
        if fields and option and not word.group().startswith("-"):
            takes = OPTIONS.get(option, False)
            if takes and fields[-1].value.lstrip("-") != option:
                start = fields[-1].start
                fields[-1] = _field(text, start, word.end())
                continue
        elif word.group().startswith("-"):
            option = word.group().lstrip("-")
        fields.append(_field(text, word.start(), word.end()))
    return tuple(fields)


def _field(text: str, start: int, end: int) -> CommandWord:
    return CommandWord(text[start:end], (Segment(text[start:end], start, end, "bare"),), start, end)


def _refuse_blanks(text: str, context: Context) -> str:  # noqa: ARG001 - a quote as other forms have it
    return _refuse_blanks_in_word(text)


def _refuse_blanks_in_word(text: str) -> str:
    """Nothing can be quoted here; a word with a blank would be two, which the source notices."""
    return text
