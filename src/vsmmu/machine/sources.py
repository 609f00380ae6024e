# SPDX-License-Identifier: Apache-2.0
"""The three forms in which a command line comes, and how each is written back with single words changed.

A source is immutable. It knows its words and can give itself back with a part of one word replaced or
words inserted; whatever is not replaced stays byte for byte.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, Protocol

from vsmmu.errors import InputRefused
from vsmmu.machine.limits import MAX_SOURCE_BYTES, MAX_WORD_BYTES, MAX_WORDS, decode, refuse_over
from vsmmu.machine.shell import Command, Word, line_and_column, scan, splice

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "ArgvSource",
    "Changes",
    "NulSource",
    "ShellSource",
    "Source",
    "Splice",
    "emulator_index",
    "shell_quote",
]

#: A replacement inside a word: first and last (exclusive) offset in its value, and the new text.
Splice = tuple[int, int, str]
#: Word number -> its replacements, one after the other: each has the offsets that the one before left.
Changes = Mapping[int, Sequence[Splice]]

_SAFE: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@%+=:,./-_")


class Source(Protocol):
    """What a command line needs of the form it came in."""

    @property
    def words(self) -> tuple[str, ...]:
        """The words, program and what stands before it included."""
        ...

    def place(self, index: int) -> str:
        """Where a word stands, for people."""
        ...

    def check(self, start: int) -> None:
        """Refuse if the value of a word from ``start`` on cannot be known."""
        ...

    def splice(self, changes: Changes) -> Source:
        """The same with parts of some words replaced."""
        ...

    def insert(self, index: int, words: Iterable[str]) -> Source:
        """The same with words after the word ``index``."""
        ...

    def render(self) -> str:
        """The source's own form."""
        ...


def shell_quote(word: str) -> str:
    """A word as a shell needs it; the same result as :func:`shlex.quote`, without its import."""
    if word and _SAFE.issuperset(word):
        return word
    return "'" + word.replace("'", "'\"'\"'") + "'"


def emulator_index(words: tuple[str, ...]) -> int | None:
    """Which word is the emulator: the first that is called like one, else the first that is not ``A=b``.

    None if options come first, so that no program was named.
    """
    for index, word in enumerate(words):
        if _is_emulator(word):
            return index
    for index, word in enumerate(words):
        if word.startswith("-"):
            return None
        if not _is_assignment(word):
            return index
    return None


def _is_emulator(word: str) -> bool:
    return word.rpartition("/")[2].startswith(("qemu-system-", "qemu-kvm")) and not _is_assignment(word)


def _is_assignment(word: str) -> bool:
    name, equals, _ = word.partition("=")
    return bool(equals) and name.isidentifier()


def _check_words(words: tuple[str, ...], where: str) -> None:
    refuse_over(len(words), MAX_WORDS, "words", where)
    longest = max(map(len, words), default=0)
    if longest * 4 > MAX_WORD_BYTES:
        longest = max(len(word.encode()) for word in words)
    refuse_over(longest, MAX_WORD_BYTES, "bytes in one word", where)


def _spliced(word: str, changes: Sequence[Splice]) -> str:
    for start, end, new in changes:
        word = word[:start] + new + word[end:]
    return word


class ArgvSource:
    """Words as a program got them, such as those after ``--``; written back as one shell-quoted line."""

    def __init__(self, words: Iterable[str]) -> None:
        """Take the words.

        :raise InputRefused: if one holds a NUL or is not text, or a limit is exceeded.
        """
        self.words = tuple(words)
        for index, word in enumerate(self.words):
            if "\0" in word:
                raise InputRefused(
                    "nul-in-word", "a NUL inside a word", where=self.place(index), next="remove it"
                )
            if not word.isascii():
                decode(word.encode("utf-8", "surrogateescape"), self.place(index))
        _check_words(self.words, "command line")
        refuse_over(sum(map(len, self.words)), MAX_SOURCE_BYTES, "characters", "command line")

    def place(self, index: int) -> str:
        """``argument 7``, counted from the program as 0."""
        return f"argument {index}"

    def check(self, start: int) -> None:
        """Words are what they are."""

    def splice(self, changes: Changes) -> ArgvSource:
        """The same with parts of some words replaced."""
        return ArgvSource(_spliced(word, changes.get(index, ())) for index, word in enumerate(self.words))

    def insert(self, index: int, words: Iterable[str]) -> ArgvSource:
        """The same with words after the word ``index``."""
        return ArgvSource((*self.words[: index + 1], *words, *self.words[index + 1 :]))

    def render(self) -> str:
        """One line for a shell."""
        return " ".join([shell_quote(word) for word in self.words])


class NulSource(ArgvSource):
    """NUL-separated words, as in ``/proc/PID/cmdline``."""

    def __init__(self, words: Iterable[str], *, closed: bool = True) -> None:
        """Take the words; ``closed`` tells whether a NUL follows the last."""
        super().__init__(words)
        self.closed = closed

    @classmethod
    def parse(cls, data: bytes, where: str) -> NulSource:
        """Split NUL-separated bytes."""
        text = decode(data, where)
        closed = text.endswith("\0")
        return cls((text[:-1] if closed else text).split("\0"), closed=closed)

    def splice(self, changes: Changes) -> NulSource:
        """The same with parts of some words replaced."""
        return NulSource(super().splice(changes).words, closed=self.closed)

    def insert(self, index: int, words: Iterable[str]) -> NulSource:
        """The same with words after the word ``index``."""
        return NulSource(super().insert(index, words).words, closed=self.closed)

    def render(self) -> str:
        """The words with NULs between, and one at the end if there was one."""
        return "\0".join(self.words) + ("\0" if self.closed else "")


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
        _check_words(self.words, where)

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
        index for index, command in enumerate(commands) if any(_is_emulator(w.value) for w in command.words)
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
