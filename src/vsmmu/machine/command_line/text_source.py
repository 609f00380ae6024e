# SPDX-License-Identifier: Apache-2.0
"""A command line in a text (script, unit, log, ``ps``): its words, and edits that leave the rest as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vsmmu.errors import InputRefused, Negative
from vsmmu.machine.command_line.shell import line_and_column
from vsmmu.machine.command_line.shell_edits import TextEdit, quoted, rewrite, word_edits
from vsmmu.machine.command_line.sources import check_words, moved, shell_quote, spliced
from vsmmu.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from vsmmu.machine.command_line.command_word import CommandWord, Opaque
    from vsmmu.machine.command_line.shell_edits import Quote
    from vsmmu.machine.command_line.sources import Changes

__all__ = ["FoundCommand", "TextSource"]


#: Blanks, and line ends behind which the command goes on.
_BETWEEN_WORDS: Final = " \t\r\n\\"


class FoundCommand(NamedTuple):
    """The command that starts QEMU, as found in a text.

    :param fields: its words.
    :param quote: how a part of a word is written in the text.
    :param quote_word: how a whole word is written.
    :param who: who would carry out what is opaque, for messages.
    :param printed: what QEMU printed after this start, a line each, without time stamps.
    :param between: what stands between two new words.
    """

    fields: tuple[CommandWord, ...]
    quote: Quote = quoted
    quote_word: Callable[[str], str] = shell_quote
    who: str = "a shell"
    printed: tuple[str, ...] = ()
    between: str = " "


class TextSource:
    """A text with a command line in it; a :class:`vsmmu.machine.command_line.sources.Source`."""

    def __init__(self, text: str, where: str, read: Callable[[str, str], FoundCommand]) -> None:
        """Find the command.

        :param read: finds it: ``read(text, where)``.
        :raise InputRefused: if there is none or more than one, a quote is open, or a limit is exceeded.
        """
        self._text = text
        self._where = where
        self._read = read
        self._reading = read(text, where)
        self._fields = self._reading.fields
        self.words = tuple([field.value for field in self._fields])
        self._lines: list[int] | None = None
        check_words(self.words, where)

    @property
    def opaque(self) -> Mapping[int, CommandWord]:
        """The words of which a part is not known, by number."""
        return {index: field for index, field in enumerate(self._fields) if field.opaque}

    @property
    def printed(self) -> tuple[str, ...]:
        """What QEMU printed after this start, a line each."""
        return self._reading.printed

    def place(self, index: int) -> str:
        """``line 3``."""
        if self._lines is None:
            self._lines = []
            line, at = 1, 0
            for field in self._fields:
                line += self._text.count("\n", at, field.start)
                at = field.start
                self._lines.append(line)
        return f"line {self._lines[index]}"

    def check(self, start: int) -> None:
        """Refuse what a shell would expand.

        :raise InputRefused: ``shell-expansion``, with line and column.
        """
        for index, field in self.opaque.items():
            if index >= start:
                raise self.expansion(field.opaque[0])

    def expansion(self, opaque: Opaque) -> InputRefused:
        """The refusal of a part that has to be known."""
        from vsmmu.machine.command_line.interpreter import capturing  # a whole command has no such part

        who, capture = self._reading.who, capturing(self._text, self._where)
        return InputRefused(
            "shell-expansion",
            f"{who} would expand {opaque.what} here, and this text does not say for certain to what",
            where=f"{self._where}, {line_and_column(self._text, opaque.offset)}",
            next="write the value itself (quoted with '...' if it is meant literally); or put vsmmu check -- "
            f"in front of QEMU inside the script; or let it say what it starts: {capture}"
            if who == "a shell"
            else "write the value into ExecStart= (or Environment=, without EnvironmentFile= beside it), "
            "or give the process id of the running QEMU",
        )

    def splice(self, changes: Changes) -> TextSource:
        """The same with parts of some words replaced, quoted as their surroundings are.

        :raise Negative: ``not-editable``, if one place in the text stands for several words that differ then.
        """
        edits: list[TextEdit] = []
        words = list(self.words)
        for index, change in changes.items():
            field = self._fields[index]
            edits += word_edits(field.pieces, change, self._reading.quote, field.tail)
            words[index] = spliced(words[index], change)
        return self._edited(edits, words, min(changes))

    def insert(self, index: int, words: Iterable[str], like: int | None = None) -> TextSource:
        """The same with words after the word ``index``, on its line.

        :param like: a word that begins its line where the new words shall begin one.
        """
        new = list(words)
        at = self._span(index)[1]
        between = self._reading.between
        lead = between if like is None else self._lead(like)
        text = lead + between.join([self._reading.quote_word(word) for word in new])
        return self._edited(
            [(at, at, text)], [*self.words[: index + 1], *new, *self.words[index + 1 :]], index
        )

    def move(self, first: int, last: int, behind: int) -> TextSource:
        """The same with words behind another one: their text with the blanks in front of it."""
        start, end = self._block(first, last)
        at, text = self._span(behind)[1], self._text[start:end]
        edits = [(start, end, ""), (at, at, text if text[:1].isspace() else f" {text.rstrip()}")]
        return self._edited(edits, moved(self.words, first, last, behind), first)

    def remove(self, first: int, last: int) -> TextSource:
        """The same without some words and the blanks in front of them."""
        start, end = self._block(first, last)
        return self._edited([(start, end, "")], [*self.words[:first], *self.words[last + 1 :]], first)

    def _block(self, first: int, last: int) -> tuple[int, int]:
        """The text of words with the blanks in front of it; with those behind it, if it begins an array."""
        before, (start, _), end = self._span(first - 1)[1], self._span(first), self._span(last)[1]
        if before < start and not self._text[before:start].strip(_BETWEEN_WORDS):
            return before, end
        return start, end + len(self._text[end:]) - len(self._text[end:].lstrip(" \t"))

    def _lead(self, index: int) -> str:
        """What stands in front of a word: a blank, or the end of a line that goes on and an indentation."""
        between = self._text[self._span(index - 1)[1] : self._span(index)[0]] if index else ""
        return between if between and not between.strip(_BETWEEN_WORDS) else " "

    def _span(self, index: int) -> tuple[int, int]:
        """Where a word is written: at its place, or in the array or variable that stands for several."""
        field = self._fields[index]
        place = field.start, field.end
        beside = self._fields[max(0, index - 1) : index + 2]
        if not field.pieces or sum((other.start, other.end) == place for other in beside) < 2:
            return place
        start, end = field.pieces[0].start, field.pieces[-1].end
        mark = self._text[max(0, start - 1) : start]
        quoted_whole = mark in ("'", '"') and self._text.startswith(mark, end)
        return (start - 1, end + 1) if quoted_whole else (start, end)

    def _edited(self, edits: list[TextEdit], words: Sequence[str], index: int) -> TextSource:
        text = rewrite(self._text, edits)
        try:
            after = TextSource(text, self._where, self._read)
            fits = _known(after) == [
                word for word, field in zip(words, after._fields, strict=True) if not field.opaque
            ]
        except (InputRefused, ValueError):
            fits = False
        if not fits:
            raise Negative(
                "not-editable",
                "the values cannot be written here without changing something else",
                where=f"{self._where}, {self.place(min(index, len(self._fields) - 1))}",
                why="the text of this word serves other words, too",
                next="write the device's option out where QEMU is started",
            )
        return after

    def render(self) -> str:
        """The text."""
        return self._text


def _known(source: TextSource) -> list[str]:
    """The words that are known in full; of others the text can differ while the value does not."""
    return [field.value for field in source._fields if not field.opaque]
