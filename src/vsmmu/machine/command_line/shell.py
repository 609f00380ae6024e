# SPDX-License-Identifier: Apache-2.0
"""Shell text: split into commands and words.

It knows what a script that starts a VM uses: comments, continued lines, quotes, redirections, several
commands, arrays, here-documents. What a shell would *expand* is not carried out here: the word remembers it,
and :mod:`vsmmu.machine.command_line.shell_values` follows what the script itself assigns.
"""

from __future__ import annotations

import re
from typing import Final, Literal

from vsmmu.errors import InputRefused
from vsmmu.machine.limits import MAX_WORD_BYTES, MAX_WORDS, refuse_over
from vsmmu.named_tuple import NamedTuple

__all__ = [
    "Anchor",
    "Command",
    "Context",
    "Expansion",
    "Segment",
    "Word",
    "line_and_column",
    "scan",
    "segments_of",
]

#: How the text around a character is quoted: not at all, in ``'...'`` or in ``"..."``.
Context = Literal["bare", "single", "double"]
#: An offset in the text, and how text that is inserted there has to be quoted.
Anchor = tuple[int, Context]


class Segment(NamedTuple):
    """A piece of a word's value and where it stands in the text.

    ``end - start`` is the length of ``value``, except for one escaped character, which takes more.

    :param expands: a shell replaces it by something else; ``value`` is then the text as it is written.
    """

    value: str
    start: int
    end: int
    context: Context
    expands: bool = False


class Expansion(NamedTuple):
    """Something in a word that a shell replaces by something else."""

    offset: int
    what: str


class Word(NamedTuple):
    """A word: its value without quotes, its place ``text[start:end]``, what a shell would expand in it.

    :param expansion: the first thing that a shell would expand.
    :param elements: the words between the brackets of an array assignment, ``NAME=(...)``.
    """

    value: str
    start: int
    end: int
    expansion: Expansion | None
    segments: tuple[Segment, ...]
    elements: tuple[Word, ...] | None = None


class Command(NamedTuple):
    """The words of one simple command, redirections left out.

    :param before: the operators since the command before: newlines, ``;``, ``&&``, ``|``, brackets.
    """

    words: tuple[Word, ...]
    before: str = ""


_PLAIN: Final = re.compile(r"[^ \t\n'\"\\$`;&|<>()*?\[{~]+")
#: Quoted character by character in the longest way, a word takes four times its size.
_MAX_RAW_WORD: Final = 4 * MAX_WORD_BYTES
_DOUBLE_PLAIN: Final = re.compile(r"[^\"\\$`]+")
# Rare: compiled when met (re keeps them).
_ARRAY: Final = r"[A-Za-z_][A-Za-z0-9_]*\+?="
_PARAMETER: Final = r"\$(?:[A-Za-z_][A-Za-z0-9_]*|[0-9@*#?$!-])"
_PIPE: Final = ("<(", ">(")  # for which bash puts the name of a pipe
_REDIRECTION: Final = re.compile(r"[0-9]*(?:<<<|<<-?|<>|<&|<(?!\()|>>|>&|>\||>(?!\())|&>>?")
_CLOSES: Final = {"(": ")", "{": "}", '"': '"'}


def line_and_column(text: str, offset: int) -> str:
    """``line 3, column 7`` of an offset, both from 1."""
    line = text.count("\n", 0, offset) + 1
    return f"line {line}, column {offset - text.rfind(chr(10), 0, offset)}"


def _refuse(text: str, offset: int, where: str, what: str, next_step: str) -> InputRefused:
    return InputRefused(
        "shell-syntax", what, where=f"{where}, {line_and_column(text, offset)}", next=next_step
    )


class _Scanner:
    """One pass over the text."""

    def __init__(self, text: str, where: str) -> None:
        self.text = text
        self.where = where
        self.at = 0
        self.expansion: Expansion | None = None
        self.openings: dict[str, int] = {}
        self.count = 0
        self.heredocs: list[tuple[str, bool]] = []

    # --- commands -------------------------------------------------------------------------------------------

    def commands(self) -> list[Command]:
        text, size = self.text, len(self.text)
        commands: list[Command] = []
        words: list[Word] = []
        before: list[str] = []
        while self.at < size:
            mark = text[self.at]
            if self.skip_blank(mark):
                continue
            if redirection := _REDIRECTION.match(text, self.at):
                self.redirect(redirection.group())
            elif mark in "\n;&|()":
                if words:
                    commands.append(Command(tuple(words), "".join(before)))
                    words, before = [], []
                before.append(mark)
                self.at += 1
                if mark == "\n":
                    self.skip_heredocs()
            else:
                words.append(self.array(self.word()))
        if words:
            commands.append(Command(tuple(words), "".join(before)))
        return commands

    def skip_blank(self, mark: str) -> bool:
        """Step over blanks, a continued line or a comment."""
        text = self.text
        if mark in " \t":
            self.at += 1
        elif mark == "\\" and text.startswith("\n", self.at + 1):
            self.at += 2
        elif mark == "#":
            newline = text.find("\n", self.at)
            self.at = len(text) if newline < 0 else newline
        else:
            return False
        return True

    def array(self, word: Word) -> Word:
        """The word, with its elements if it is ``NAME=(`` or ``NAME+=(``."""
        text = self.text
        if not text.startswith("(", self.at) or not re.fullmatch(_ARRAY, text[word.start : word.end]):
            return word
        opening = self.at
        self.at += 1
        elements: list[Word] = []
        while self.at < len(text):
            mark = text[self.at]
            if mark == ")":
                self.at += 1
                return word._replace(elements=tuple(elements), end=self.at)
            if self.skip_blank(mark):
                continue
            if mark in "\n;&|<>(":
                if mark != "\n":
                    break
                self.at += 1
            else:
                elements.append(self.word())
        raise _refuse(text, opening, self.where, "an array's '(' without its ')'", "close it")

    def redirect(self, operator: str) -> None:
        self.at += len(operator)
        if "<<" in operator and operator[-3:] != "<<<":
            while self.text[self.at : self.at + 1] in (" ", "\t"):
                self.at += 1
            at = self.at
            # Quotes are taken away, and nothing is expanded in it.
            delimiter = self.word().value if self.text[at : at + 1] not in ("", *"\n;&|<>()") else ""
            if self.at == at:
                raise _refuse(self.text, at, self.where, "a here-document without a delimiter", "name it")
            self.heredocs.append((delimiter, operator.endswith("-")))
            return
        while self.text[self.at : self.at + 1] in (" ", "\t"):
            self.at += 1
        if self.text.startswith(_PIPE, self.at) or self.text[self.at : self.at + 1] not in ("", *"\n;|<>()"):
            self.word()

    def skip_heredocs(self) -> None:
        for delimiter, strip in self.heredocs:
            while self.at < len(self.text):
                newline = self.text.find("\n", self.at)
                end = len(self.text) if newline < 0 else newline
                line = self.text[self.at : end]
                self.at = min(end + 1, len(self.text))
                if (line.lstrip("\t") if strip else line) == delimiter:
                    break
        self.heredocs.clear()

    # --- words ----------------------------------------------------------------------------------------------

    def word(self) -> Word:
        start = self.at
        self.count += 1
        if self.count > MAX_WORDS:
            refuse_over(self.count, MAX_WORDS, "words", self.where)
        self.expansion = None
        self.openings = {}
        segments = self.segments()
        if self.openings:
            self.note_brackets(segments)
        value = "".join([segment.value for segment in segments])
        return Word(value, start, self.at, self.expansion, tuple(segments))

    def segments(self) -> list[Segment]:
        text, size = self.text, len(self.text)
        start = self.at
        out: list[Segment] = []
        while self.at < size:
            if plain := _PLAIN.match(text, self.at):
                out.append(Segment(plain.group(), self.at, plain.end(), "bare"))
                self.at = plain.end()
                continue
            mark = text[self.at]
            if mark in " \t\n;&|<>()" and not self.text.startswith(_PIPE, self.at):
                break
            if self.at - start > _MAX_RAW_WORD:
                refuse_over(self.at - start, _MAX_RAW_WORD, "characters in one word", self.where)
            if mark == "'":
                out.append(self.single_quoted())
            elif mark == '"':
                self.double_quoted(out)
            elif mark == "\\":
                self.escape(out, "bare", "")
            elif mark in "$`<>":
                self.dollar(out, "bare")
            else:
                out.append(Segment(mark, self.at, self.at + 1, "bare", self.note_pattern(mark, start)))
                self.at += 1
        return out

    def note(self, what: str, at: int | None = None) -> None:
        if self.expansion is None:
            self.expansion = Expansion(self.at if at is None else at, what)

    def note_pattern(self, mark: str, start: int) -> bool:
        """Whether a shell would expand it; of an opening bracket that is known at the word's end."""
        text, at = self.text, self.at
        if mark in "*?":
            self.note(f"the file name pattern {mark!r}")
        elif mark == "~" and (at == start or text[at - 1] == "="):
            self.note("the home directory '~'")
        else:
            if mark != "~":
                self.openings.setdefault(mark, at)
            return False
        return True

    def note_brackets(self, segments: list[Segment]) -> None:
        """Brackets mean something only in pairs, unquoted: the first opening one and the last closing one."""
        bare = "".join([s.value for s in segments if s.context == "bare" and s.end - s.start == len(s.value)])
        for mark, at in self.openings.items():
            inside = bare[bare.index(mark) : bare.rfind("]" if mark == "[" else "}") + 1]
            if mark == "[" and inside:
                self.note("the file name pattern '[...]'", at)
            elif "," in inside or ".." in inside:
                self.note("the brace expansion '{...}'", at)
            else:
                continue
            index = next(i for i, segment in enumerate(segments) if segment.start == at)
            segments[index] = segments[index]._replace(expands=True)

    def single_quoted(self) -> Segment:
        end = self.text.find("'", self.at + 1)
        if end < 0:
            raise _refuse(self.text, self.at, self.where, "a single quote that is not closed", "close it")
        segment = Segment(self.text[self.at + 1 : end], self.at + 1, end, "single")
        self.at = end + 1
        return segment

    def double_quoted(self, out: list[Segment]) -> None:
        text, size, opening = self.text, len(self.text), self.at
        self.at += 1
        out.append(Segment("", self.at, self.at, "double"))
        while self.at < size:
            if plain := _DOUBLE_PLAIN.match(text, self.at):
                out.append(Segment(plain.group(), self.at, plain.end(), "double"))
                self.at = plain.end()
                continue
            mark = text[self.at]
            if mark == '"':
                self.at += 1
                return
            if mark == "\\":
                self.escape(out, "double", '$`"\\')
            else:
                self.dollar(out, "double")
        raise _refuse(text, opening, self.where, "a double quote that is not closed", "close it")

    def escape(self, out: list[Segment], context: Context, escapable: str) -> None:
        """A backslash; ``escapable`` are the characters it protects, empty for all."""
        at = self.at
        following = self.text[at + 1 : at + 2]
        if following == "\n":
            self.at += 2
        elif following and (not escapable or following in escapable):
            out.append(Segment(following, at, at + 2, context))
            self.at += 2
        else:
            out.append(Segment("\\", at, at + 1, context))
            self.at += 1

    def dollar(self, out: list[Segment], context: Context) -> None:
        text, at = self.text, self.at
        end = at + 1
        following = text[at + 1 : at + 2]
        if text[at] == "`":
            closing = text.find("`", at + 1)
            if closing < 0:
                raise _refuse(text, at, self.where, "a backtick that is not closed", "close it")
            self.note("the command in backticks")
            end = closing + 1
        elif following in ("(", "{") and following:
            self.note(f"the command '{text[at]}(...)'" if following == "(" else "the variable '${...}'")
            end = self.closing(at + 1, double=context == "double")
        elif match := re.compile(_PARAMETER).match(text, at):
            self.note(f"the variable {match.group()!r}")
            end = match.end()
        elif context == "bare" and following in ("'", '"') and following:
            self.note(f"the string $ {following}...{following}".replace("$ ", "$"))
        else:
            out.append(Segment("$", at, end, context))
            self.at = end
            return
        out.append(Segment(text[at:end], at, end, context, expands=True))
        self.at = end

    def closing(self, opening: int, *, double: bool) -> int:
        """The offset after the bracket that closes the one at ``opening``.

        Quotes in ``$(...)`` are of their own, also between quotes: ``"$(echo "(it's)")"``.

        :param double: it stands in double quotes.
        """
        text, at = self.text, opening + 1
        awaited = [_CLOSES[text[opening]]]
        while at < len(text):
            mark, top = text[at], awaited[-1]
            if mark == top:
                awaited.pop()
                if not awaited:
                    return at + 1
            elif mark == "\\":
                at += 1
            elif mark == "$" and text[at + 1 : at + 2] in ("(", "{"):
                at += 1
                awaited.append(_CLOSES[text[at]])
            elif top == '"':
                pass
            elif mark == '"' or (mark == "(" and top == ")"):
                awaited.append(_CLOSES[mark])
            elif mark == "'" and not (top == "}" and _in_double(awaited, double=double)):
                at = text.find(mark, at + 1)
            elif mark == "#" and top == ")" and text[at - 1] in " \t\n;(":
                at = text.find("\n", at)
            if at < 0:
                break
            at += 1
        left = text[opening]
        raise _refuse(text, opening, self.where, f"{left!r} without its {_CLOSES[left]!r}", "close it")


def _in_double(awaited: list[str], *, double: bool) -> bool:
    """Whether the innermost ``${...}`` stands in double quotes."""
    around = next((mark for mark in reversed(awaited) if mark != "}"), "")
    return around == '"' or (not around and double)


def scan(text: str, where: str) -> list[Command]:
    """The simple commands of a script, in order; those without words are left out.

    :raise InputRefused: ``shell-syntax`` for a quote or bracket that is not closed, with line and column.
    """
    return _Scanner(text, where).commands()


def segments_of(raw: str) -> list[Segment]:
    """The segments of one word, by its text."""
    return _Scanner(raw, "").segments()
