# SPDX-License-Identifier: Apache-2.0
"""The assignments of a script: each with the blocks (if, loops, functions, subshells) in which it stands."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Literal

from vsmmu.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vsmmu.machine.command_line.shell import Command, Word

__all__ = ["POSITIONAL", "Assignment", "Block", "Scopes", "read_scopes"]

#: The name under which the arguments of the script, ``"$@"``, are kept.
POSITIONAL: Final = "@"
_KINDS: Final = {
    "if": "branch", "case": "branch", "for": "loop", "while": "loop", "until": "loop", "select": "loop",
    "{": "group",
}  # fmt: skip
_ENDS: Final = {"fi": "branch", "esac": "branch", "done": "loop", "}": "group"}
_LEADERS: Final = frozenset({"then", "do", "!", "time", "elif", "else"})
_DECLARES: Final = frozenset({"export", "readonly", "declare", "typeset", "local"})
#: Commands that change variables which they name, to what the text does not say.
_CHANGES: Final = frozenset({"read", "unset", "mapfile", "readarray", "getopts", "printf", "let"})
_ASSIGNS: Final = r"([A-Za-z_][A-Za-z0-9_]*)(\+?=)"
_ARRAY_FLAG: Final = r"-[A-Za-z]*a[A-Za-z]*"
_NAME: Final = r"[A-Za-z_][A-Za-z0-9_]*"


class Block(NamedTuple):
    """A compound command; ``number`` tells two of one kind apart, ``arm`` the branches of one."""

    kind: Literal["branch", "loop", "group", "function", "subshell"]
    number: int
    arm: int = 0


class Assignment(NamedTuple):
    """A variable gets a value.

    :param at: number of the command.
    :param path: the blocks around it, outermost first.
    :param word: the whole assignment ``NAME=value``; None if the value is not in the text (``read NAME``).
    :param words: the words after ``set --``, for :data:`POSITIONAL`.
    :param empty: it is declared an array without elements (``declare -a NAME``).
    :param sure: it is carried out whenever its block is (no ``&&`` in front of it).
    """

    name: str
    at: int
    path: tuple[Block, ...]
    word: Word | None = None
    append: bool = False
    words: tuple[Word, ...] = ()
    sure: bool = True
    local: bool = False
    empty: bool = False


class Scopes(NamedTuple):
    """All assignments of a script, by name, and the blocks around each command."""

    assignments: dict[str, list[Assignment]]
    paths: list[tuple[Block, ...]]
    #: Numbers of the commands after which any variable may have changed: ``. FILE``, ``eval``.
    resets: list[int]
    #: Function -> number of the one command that calls it; None if there are more, or it is not certain.
    calls: dict[Block, int | None]
    #: Whether the script has a function without braces around its body, which is not followed.
    strange: bool = False


def read_scopes(commands: Sequence[Command]) -> Scopes:
    """Follow the blocks of a script and collect what it assigns."""
    return _Reader(commands).read()


class _Reader:
    def __init__(self, commands: Sequence[Command]) -> None:
        self.commands = commands
        self.stack: list[Block] = []
        self.count = 0
        self.scopes = Scopes({}, [], [], {})
        self.names: dict[str, list[Block]] = {}
        self.strange = False

    def read(self) -> Scopes:
        for index, command in enumerate(self.commands):
            self.brackets(command.before, index)
            words = self.leaders(command)
            self.scopes.paths.append(tuple(self.stack))
            if words:
                self.assign(index, words, sure=self.sure(index))
        for name, blocks in self.names.items():
            self.scopes.calls.update(dict.fromkeys(blocks, self.call(name) if len(blocks) == 1 else None))
        return self.scopes._replace(strange=self.strange)

    def call(self, name: str) -> int | None:
        """The one command that calls a function."""
        found: list[int | None] = []
        mention = re.compile(rf"\b{re.escape(name)}\b")
        for index, command in enumerate(self.commands):
            if any(mention.search(word.value) for word in command.words):
                defines = index + 1 < len(self.commands) and "()" in self.commands[index + 1].before
                if not (defines or command.words[0].value == "function"):
                    alone = [word.value for word in command.words if word.value not in _LEADERS][:1] == [name]
                    found.append(index if alone else None)
        return found[0] if len(found) == 1 else None

    def define(self, name: str) -> None:
        self.push("function")
        self.names.setdefault(name, []).append(self.stack[-1])

    def push(self, kind: Literal["branch", "loop", "group", "function", "subshell"]) -> None:
        self.count += 1
        self.stack.append(Block(kind, self.count))

    def pop(self, kind: str) -> None:
        if self.stack and (
            self.stack[-1].kind == kind or (kind, self.stack[-1].kind) == ("group", "function")
        ):
            self.stack.pop()

    def brackets(self, before: str, index: int) -> None:
        function = "()" in before
        if function and (self.commands[index].words[0].value != "{" or before.count("(") > 1):
            self.strange = True
        for mark in before.replace("()", "", 1) if function else before:
            if mark == "(":
                self.push("subshell")
            elif mark == ")":
                self.pop("subshell")
            if mark == ")" and self.stack and self.stack[-1].kind == "branch":
                self.next_arm()

    def next_arm(self) -> None:
        self.stack[-1] = self.stack[-1]._replace(arm=self.stack[-1].arm + 1)

    def leaders(self, command: Command) -> tuple[Word, ...]:
        """Open and close blocks at reserved words; the words after them."""
        words = command.words
        while words and words[0].expansion is None and words[0].end - words[0].start == len(words[0].value):
            word = words[0].value
            if word == "function" and len(words) > 1:
                self.strange |= len(words) < 3 or words[2].value != "{"
                self.define(words[1].value)
                return words[3:]
            if word == "{" and "()" in command.before and words is command.words:
                self.define(self.commands[len(self.scopes.paths) - 1].words[-1].value)
            elif word in _KINDS:
                self.push(_KINDS[word])  # type: ignore[arg-type]
                if word in ("for", "select", "case"):
                    if word != "case" and len(words) > 1:
                        self.unknown(len(self.scopes.paths), words[1].value)
                    return ()
            elif word in _ENDS:
                self.pop(_ENDS[word])
            elif word in _LEADERS:
                if word in ("elif", "else") and self.stack and self.stack[-1].kind == "branch":
                    self.next_arm()
            else:
                break
            words = words[1:]
        return words

    def sure(self, index: int) -> bool:
        """Whether nothing but its block decides that a command runs, in this shell."""
        before = self.commands[index].before
        after = self.commands[index + 1].before if index + 1 < len(self.commands) else ""
        piped = after.startswith("|") and not after.startswith("||")
        behind = after.startswith("&") and not after.startswith("&&")
        return not ("&&" in before or "|" in before or piped or behind)

    def note(self, entry: Assignment) -> None:
        self.scopes.assignments.setdefault(entry.name, []).append(entry)

    def unknown(self, index: int, name: str) -> None:
        self.note(Assignment(name, index, tuple(self.stack)))

    def assign(self, index: int, words: tuple[Word, ...], *, sure: bool) -> None:
        name = words[0].value
        if name in _DECLARES:
            arrays = any(re.fullmatch(_ARRAY_FLAG, word.value) for word in words[1:])
            for word in words[1:]:
                if arrays and re.fullmatch(_NAME, word.value):
                    self.array(index, word.value, sure=sure, local=name == "local")
                else:
                    self.assign_word(index, word, sure=sure, local=name == "local")
        elif re.match(_ASSIGNS, name):
            # In front of a command an assignment is for that command alone.
            if all(re.match(_ASSIGNS, word.value) for word in words):
                for word in words:
                    self.assign_word(index, word, sure=sure)
        elif name == "set":
            self.set(index, words, sure=sure)
        elif name == "shift":
            self.unknown(index, POSITIONAL)
        elif name in (".", "source", "eval"):
            self.scopes.resets.append(index)
        elif name in _CHANGES or "((" in self.commands[index].before:
            for found in re.findall(_NAME, " ".join(word.value for word in words)):
                self.unknown(index, found)

    def array(self, index: int, name: str, *, sure: bool, local: bool) -> None:
        """``declare -a NAME``: empty, unless it was something before, which then stays."""
        if local or name not in self.scopes.assignments:
            self.note(Assignment(name, index, tuple(self.stack), sure=sure, local=local, empty=True))

    def set(self, index: int, words: tuple[Word, ...], *, sure: bool) -> None:
        """``set -- WORD...``: the arguments are others from here on."""
        values = [word.value for word in words]
        if "--" in values:
            after = (words[0], *words[values.index("--") + 1 :])
            self.note(Assignment(POSITIONAL, index, tuple(self.stack), None, words=after, sure=sure))
        elif any(value[:1] not in ("-", "+") for value in values[1:]) and "-o" not in values:
            self.unknown(index, POSITIONAL)

    def assign_word(self, index: int, word: Word, *, sure: bool, local: bool = False) -> None:
        match = re.match(_ASSIGNS, word.value)
        if match is None:
            if re.fullmatch(_NAME, word.value) and local:
                self.unknown(index, word.value)
            element = re.match(rf"({_NAME})\[", word.value)
            if element:
                self.unknown(index, element.group(1))
            return
        append = match.group(2) == "+="
        self.note(Assignment(match.group(1), index, tuple(self.stack), word, append, sure=sure, local=local))
