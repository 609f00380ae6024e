# SPDX-License-Identifier: Apache-2.0
"""A command line in a shell script: find the command that starts QEMU, and write it back.

Everything else in the script is left alone, and everything in the command but the parts that are replaced.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vsmmu.errors import InputRefused
from vsmmu.machine.command_line.shell import Command, Word, line_and_column, scan, splice
from vsmmu.machine.command_line.sources import check_words, is_emulator, shell_quote
from vsmmu.machine.limits import MAX_SOURCE_BYTES, refuse_over

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vsmmu.machine.command_line.sources import Changes

__all__ = ["ShellSource"]


class ShellSource:
    """A shell script, or a part of one, with the command that starts QEMU somewhere in it."""

    def __init__(self, text: str, where: str = "command line") -> None:
        """Find the command.

        :raise InputRefused: if there is none or more than one, a quote is open, or a limit is exceeded.
        """
        self._text = text
        self._where = where
        self._words = _qemu_command(text, where)
        self.words = tuple(word.value for word in self._words)
        self._lines: list[int] | None = None
        check_words(self.words, where)

    def place(self, index: int) -> str:
        """``line 3``."""
        if self._lines is None:
            self._lines = []
            line, at = 1, 0
            for word in self._words:
                line += self._text.count("\n", at, word.start)
                at = word.start
                self._lines.append(line)
        return f"line {self._lines[index]}"

    def check(self, start: int) -> None:
        """Refuse what a shell would expand.

        :raise InputRefused: ``shell-expansion``, with line and column.
        """
        for word in self._words[start:]:
            if word.expansion is not None:
                raise InputRefused(
                    "shell-expansion",
                    f"a shell would expand {word.expansion.what} here, and vsmmu does not run one",
                    where=f"{self._where}, {line_and_column(self._text, word.expansion.offset)}",
                    next="write the value itself, or quote it with '...' if it is meant literally",
                )

    def splice(self, changes: Changes) -> ShellSource:
        """The same with parts of some words replaced, quoted as their surroundings are."""
        out: list[str] = []
        at = 0
        for index in sorted(changes):
            word = self._words[index]
            raw = self._text[word.start : word.end]
            for change in changes[index]:
                raw = splice(raw, *change)
            out += [self._text[at : word.start], raw]
            at = word.end
        return ShellSource("".join([*out, self._text[at:]]), self._where)

    def insert(self, index: int, words: Iterable[str]) -> ShellSource:
        """The same with words after the word ``index``, on its line."""
        at = self._words[index].end
        new = "".join([" " + shell_quote(word) for word in words])
        return ShellSource(self._text[:at] + new + self._text[at:], self._where)

    def render(self) -> str:
        """The script."""
        return self._text


def _qemu_command(text: str, where: str) -> tuple[Word, ...]:
    refuse_over(len(text), MAX_SOURCE_BYTES, "characters", where)
    if "\r\n" in text:
        raise InputRefused(
            "shell-syntax",
            "a carriage return ends the line (Windows line ends), and a shell would take it for text",
            where=f"{where}, {line_and_column(text, text.index(chr(13)))}",
            next="convert the file, for example with dos2unix",
        )
    commands = scan(text, where)
    if not commands:
        raise InputRefused(
            "no-command", "there is no command in it", where=where, next="give a QEMU command line"
        )
    if all(command.words[0].value.startswith("-") for command in commands):
        return tuple(word for command in commands for word in command.words)
    named = [
        index for index, command in enumerate(commands) if any(is_emulator(w.value) for w in command.words)
    ]
    # `which qemu-system-aarch64` and its like start no VM.
    started = [
        index for index in named if any(w.value.startswith("-") for w in commands[index].words)
    ] or named
    if len(started) > 1:
        raise InputRefused(
            "many-commands",
            "more than one command starts QEMU",
            where=f"{where}, {line_and_column(text, commands[started[1]].words[0].start)}",
            next="give each to vsmmu on its own",
        )
    chosen = started[0] if started else _plausible(commands)
    _refuse_lost_options(text, where, commands, chosen)
    return commands[chosen].words


def _plausible(commands: list[Command]) -> int:
    """Without a known name: the first command with a QEMU device in it, else the last."""
    for index, command in enumerate(commands):
        if any(word.value in ("-device", "--device", "-machine", "-M") for word in command.words):
            return index
    return len(commands) - 1


def _refuse_lost_options(text: str, where: str, commands: list[Command], chosen: int) -> None:
    """Refuse a line of options after the command: a shell would take it for a command of its own."""
    if chosen + 1 < len(commands) and commands[chosen + 1].words[0].value.startswith("-"):
        stray = commands[chosen + 1].words[0]
        raise InputRefused(
            "shell-syntax",
            f"the command has ended before the option {stray.value!r}",
            where=f"{where}, {line_and_column(text, stray.start)}",
            why="a line break without a backslash, a comment or an operator ends it",
            next="end each line but the last with a backslash, and keep comments out of the continued lines",
        )
