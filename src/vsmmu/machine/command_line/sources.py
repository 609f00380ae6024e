# SPDX-License-Identifier: Apache-2.0
"""Forms of a command line (words, NUL-separated, shell text), and writing single words back.

A source is immutable. It knows its words and can give itself back with a part of one word replaced or
words inserted; whatever is not replaced stays byte for byte. Texts (scripts, units, logs) are in
:mod:`vsmmu.machine.command_line.text_source`, which is imported when one is met.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Protocol

from vsmmu.errors import InputRefused
from vsmmu.machine.limits import MAX_SOURCE_BYTES, MAX_WORD_BYTES, MAX_WORDS, decode, refuse_over

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import TypeVar

    from vsmmu.machine.command_line.command_word import CommandWord, Opaque

    _Item = TypeVar("_Item")

__all__ = [
    "ArgvSource",
    "Changes",
    "NulSource",
    "Splice",
    "WordSource",
    "emulator_index",
    "moved",
    "named_emulator",
    "shell_quote",
    "spliced",
]

#: A replacement inside a word: first and last (exclusive) offset in its value, and the new text.
Splice = tuple[int, int, str]
#: Word number -> its replacements, one after the other: each has the offsets that the one before left.
Changes = Mapping[int, Sequence[Splice]]

_NOTHING: Final[Mapping[int, CommandWord]] = MappingProxyType({})
#: Options that no program in front of QEMU has.
_TELLING: Final = frozenset({"-M", "-machine", "--machine", "-device", "--device", "-nodefaults"})
#: Programs and shell words that start the program behind them.
_WRAPPERS: Final = frozenset(
    "exec command sudo doas env nice ionice chrt taskset numactl nohup setsid time timeout prlimit setpriv "
    "systemd-run strace ltrace perf gdb stdbuf unshare nsenter chroot runuser cgexec".split()
)
_NAMES: Final = frozenset({"-name", "--name"})
_SAFE: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@%+=:,./-_")


class WordSource(Protocol):
    """What a command line needs of the form it came in."""

    @property
    def words(self) -> tuple[str, ...]:
        """The words, program and what stands before it included."""
        ...

    def place(self, index: int) -> str:
        """Where a word stands, for people."""
        ...

    @property
    def opaque(self) -> Mapping[int, CommandWord]:
        """The words of which a part is not known, by number."""
        ...

    @property
    def printed(self) -> tuple[str, ...]:
        """What QEMU printed after this start, a line each, if the form tells."""
        ...

    def check(self, start: int) -> None:
        """Refuse if the value of a word from ``start`` on cannot be known."""
        ...

    def expansion(self, opaque: Opaque) -> InputRefused:
        """The refusal of a part that has to be known."""
        ...

    def splice(self, changes: Changes) -> WordSource:
        """The same with parts of some words replaced."""
        ...

    def insert(self, index: int, words: Iterable[str], like: int | None = None) -> WordSource:
        """The same with words after the word ``index``.

        :param like: a word that begins its line where the new words shall begin one.
        """
        ...

    def move(self, first: int, last: int, behind: int) -> WordSource:
        """The same with the words ``first`` to ``last`` behind the word ``behind``, which is none of them."""
        ...

    def remove(self, first: int, last: int) -> WordSource:
        """The same without the words ``first`` to ``last``."""
        ...

    def render(self) -> str:
        """The source's own form."""
        ...


def shell_quote(word: str) -> str:
    """A word as a shell needs it; the same result as :func:`shlex.quote`, without its import."""
    if word and _SAFE.issuperset(word):
        return word
    return "'" + word.replace("'", "'\"'\"'") + "'"


def named_emulator(words: Sequence[str]) -> int | None:
    """The first word that is called like an emulator and is no argument that only looks so."""
    for index, word in enumerate(words):
        # ``-accel kvm`` and ``-name qemu-kvm`` name no program; ``/usr/bin/kvm`` and ``sudo kvm`` do.
        before = words[index - 1] if index else ""
        if is_emulator(word) and not ((word == "kvm" and before.startswith("-")) or before in _NAMES):
            return index
    return None


def emulator_index(words: tuple[str, ...], opaque: Mapping[int, CommandWord] = _NOTHING) -> int | None:
    """Which word is the emulator: the first that is called like one, or can be; else the first that is not
    ``A=b``.

    None if options come first, so that no program was named.

    :param opaque: the words of which a part is not known, by number.
    """
    named = named_emulator(words)
    if named is not None:
        return named
    first = next((at for at, word in enumerate(words) if not _is_assignment(word)), None)
    if first is None or words[first].startswith("-"):
        return None
    found = _opaque_emulator(words, opaque, first) if opaque else None
    if found is None and _is_wrapper(words[first]):
        found = _wrapped(words, first)
    return first if found is None else found


def _is_wrapper(word: str) -> bool:
    return word.rpartition("/")[2] in _WRAPPERS


def _takes(word: str) -> bool:
    """Whether the next word may be its argument."""
    return word.startswith("-") and word != "--"


def _wrapped(words: tuple[str, ...], first: int) -> int | None:
    """The program behind ``sudo`` and its like, whatever it is called: options follow it."""
    for at in range(first + 1, len(words) - 1):
        if words[at] in _TELLING:
            break
        word, before, after = words[at], words[at - 1], words[at + 1]
        plain = not (word.startswith("-") or _is_assignment(word) or _is_wrapper(word))
        # What stands behind an option is its argument, unless it is a path.
        if plain and after.startswith("-") and ("/" in word or not _takes(before)):
            return at
    return None


def _opaque_emulator(words: tuple[str, ...], opaque: Mapping[int, CommandWord], first: int) -> int | None:
    """A word that is the emulator by what is known of it, or by what a wrapper in front of it leaves."""
    options = next((at for at, word in enumerate(words) if word in _TELLING), len(words))
    here = [at for at in opaque if at < options and not words[at].startswith("-")]
    for at in here:
        text = words[at].casefold()
        known = opaque[at].known
        if is_emulator(known) or (opaque[at].opaque[0].start == 0 and ("qemu" in text or "kvm" in text)):
            return at
    behind = [at for at in here if at > first and words[at + 1 : at + 2] and words[at + 1].startswith("-")]
    if first in opaque or not behind or _takes(words[behind[0] - 1]):
        return None
    return behind[0] if opaque[behind[0]].opaque[0].start == 0 else None


#: ``/dev/kvm`` and its like are the kernel's.
_KERNELS: Final = ("/dev/", "/proc/", "/sys/")


def is_emulator(word: str) -> bool:
    """Whether a word is called like QEMU's system emulators."""
    name = word.rpartition("/")[2]
    if not (name.startswith(("qemu-system-", "qemu-kvm")) or (name == "kvm" and word[0] in "/k")):
        return False
    # Nor a word of another language, ["qemu-system-aarch64", "-M", ...], nor what begins a message of QEMU.
    if word.startswith(_KERNELS) or word.endswith((",", ")", "]", ";", ":")):
        return False
    # Neither A=/usr/bin/qemu-kvm nor the whole command in one word, as in sh -c 'qemu-kvm -S'.
    return not _is_assignment(word) and not any(mark.isspace() for mark in name)


def _is_assignment(word: str) -> bool:
    name, equals, _ = word.partition("=")
    return bool(equals) and name.isidentifier()


def check_words(words: tuple[str, ...], where: str) -> None:
    """Refuse too many words, or one that no program can be started with.

    :raise InputRefused: ``input-too-large``.
    """
    refuse_over(len(words), MAX_WORDS, "words", where)
    longest = max(map(len, words), default=0)
    if longest * 4 > MAX_WORD_BYTES:
        longest = max(len(word.encode()) for word in words)
    refuse_over(longest, MAX_WORD_BYTES, "bytes in one word", where)


def spliced(word: str, changes: Sequence[Splice]) -> str:
    """A word with parts replaced, one after the other."""
    for start, end, new in changes:
        word = word[:start] + new + word[end:]
    return word


def moved(words: Sequence[_Item], first: int, last: int, behind: int) -> tuple[_Item, ...]:
    """Words with those from ``first`` to ``last`` behind the word ``behind``; -1 is in front of all."""
    block, at = words[first : last + 1], behind + 1
    if behind < first:
        return (*words[:at], *block, *words[at:first], *words[last + 1 :])
    return (*words[:first], *words[last + 1 : at], *block, *words[at:])


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
        check_words(self.words, "command line")
        refuse_over(sum(map(len, self.words)), MAX_SOURCE_BYTES, "characters", "command line")

    def place(self, index: int) -> str:
        """``argument 7``, counted from the program as 0."""
        return f"argument {index}"

    #: Words are what they are, and nobody has printed anything.
    opaque: Mapping[int, CommandWord] = _NOTHING
    printed: tuple[str, ...] = ()

    def check(self, start: int) -> None:
        """Words are what they are."""

    def expansion(self, opaque: Opaque) -> InputRefused:
        """Never asked for: there is nothing opaque."""
        raise NotImplementedError

    def splice(self, changes: Changes) -> ArgvSource:
        """The same with parts of some words replaced."""
        return ArgvSource(spliced(word, changes.get(index, ())) for index, word in enumerate(self.words))

    def insert(self, index: int, words: Iterable[str], like: int | None = None) -> ArgvSource:  # noqa: ARG002
        """The same with words after the word ``index``."""
        return ArgvSource((*self.words[: index + 1], *words, *self.words[index + 1 :]))

    def move(self, first: int, last: int, behind: int) -> ArgvSource:
        """The same with words behind another one."""
        return ArgvSource(moved(self.words, first, last, behind))

    def remove(self, first: int, last: int) -> ArgvSource:
        """The same without some words."""
        return ArgvSource((*self.words[:first], *self.words[last + 1 :]))

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

    def insert(self, index: int, words: Iterable[str], like: int | None = None) -> NulSource:
        """The same with words after the word ``index``."""
        return NulSource(super().insert(index, words, like).words, closed=self.closed)

    def move(self, first: int, last: int, behind: int) -> NulSource:
        """The same with words behind another one."""
        return NulSource(super().move(first, last, behind).words, closed=self.closed)

    def remove(self, first: int, last: int) -> NulSource:
        """The same without some words."""
        return NulSource(super().remove(first, last).words, closed=self.closed)

    def render(self) -> str:
        """The words with NULs between, and one at the end if there was one."""
        return "\0".join(self.words) + ("\0" if self.closed else "")
