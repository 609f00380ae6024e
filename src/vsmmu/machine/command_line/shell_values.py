# SPDX-License-Identifier: Apache-2.0
"""Shell values: the fields of a command, with what the script itself assigns for certain put in.

Followed are literal assignments of the same file, arrays and ``set --``. What depends on an argument, the
environment, another program, a loop or a branch stays opaque: nothing is guessed.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from vsmmu.machine.command_line.command_word import CommandWord, Opaque
from vsmmu.machine.command_line.shell_scopes import POSITIONAL, Assignment, Block, Scopes, read_scopes
from vsmmu.machine.limits import MAX_WORD_BYTES, MAX_WORDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from vsmmu.machine.command_line.shell import Anchor, Command, Segment, Word

__all__ = ["command_fields"]

#: A script that assigns more is no script by hand; nothing in it is followed.
_MOST_ASSIGNMENTS: Final = 1024
_DEEPEST: Final = 32
_SCALAR: Final = (
    r"\$(?:\{([A-Za-z_][A-Za-z0-9_]*)(?:\[(?P<index>[0-9]{1,4})\])?(?::?-[^}]*)?\}|([A-Za-z_][A-Za-z0-9_]*))"
)
#: All elements; also ``${A[@]+"${A[@]}"}`` and ``${1+"$@"}``, which old shells want for a list without any.
_LIST: Final = (
    r"\$(?:\{(?P<array>[A-Za-z_][A-Za-z0-9_]*)\[(?P<all>[@*])\]"
    r"(?::?\+\"?\$\{(?P=array)\[(?P<same>[@*])\]\}\"?)?\}|\{(?P<braced>[@*])\}|(?P<arguments>[@*])"
    r"|\{1:?\+\"\$(?P<old>@)\"\})"
)
#: An element that says its place: the array may have gaps.
_SUBSCRIPT: Final = r"\[[^]]*\]\+?="
#: How an expansion begins -> what it is.
_KINDS: Final = {
    "$((": "the arithmetic '$((...))'", "$(": "the command '$(...)'", "`": "the command in backticks",
}  # fmt: skip
_BLANK: Final = " \t\n"

CommandWords = tuple[CommandWord, ...]


def command_fields(commands: Sequence[Command], index: int) -> CommandWords:
    """The fields of a command of a script."""
    words = commands[index].words
    if all(word.expansion is None for word in words):
        return tuple([_literal(word) for word in words])
    return tuple(_Values(commands).fields(words, index))


def _literal(word: Word) -> CommandWord:
    return CommandWord(word.value, word.segments, word.start, word.end)


class _Values:
    def __init__(self, commands: Sequence[Command]) -> None:
        self.scopes: Scopes = read_scopes(commands)
        self.known: dict[tuple[str, int, int], CommandWords | None] = {}
        self.depth = 0
        entries = [entry for found in self.scopes.assignments.values() for entry in found]
        if len(entries) > _MOST_ASSIGNMENTS or self.scopes.strange:
            self.scopes = self.scopes._replace(assignments={})
            entries = []
        self.splits = "IFS" not in self.scopes.assignments
        # In the order of the file: each then finds those before it known, and nothing goes deep.
        for entry in sorted(entries, key=lambda entry: entry.at):
            self.value(entry)

    # --- variables ------------------------------------------------------------------------------------------

    def value(self, entry: Assignment) -> CommandWords | None:
        """What an assignment gives its variable; None if that is not certain."""
        key = (entry.name, entry.at, entry.word.start if entry.word else -1)
        if key not in self.known:
            self.known[key] = None  # while it is looked for: one that needs itself is not known
            if self.depth < _DEEPEST:
                self.depth += 1
                self.known[key] = _bounded(self.assigned(entry))
                self.depth -= 1
        return self.known[key]

    def assigned(self, entry: Assignment) -> CommandWords | None:
        if entry.name == POSITIONAL:
            return tuple(self.fields(entry.words[1:], entry.at)) if entry.words else None
        if entry.word is None:
            return () if entry.empty else None
        if entry.word.elements is not None:
            if any(re.match(_SUBSCRIPT, word.value) for word in entry.word.elements):
                return None
            values: CommandWords | None = tuple(self.fields(entry.word.elements, entry.at))
        else:
            values = self.scalar(entry)
        if not entry.append or values is None:
            return values
        before = self.lookup(entry.name, entry.at, entry)
        if before is None:
            return None
        if entry.word.elements is not None:
            return (*before, *values)
        return (*before[:-1], _joined(before[-1], values[0])) if before else values

    def scalar(self, entry: Assignment) -> CommandWords | None:
        word = entry.word
        assert word is not None  # noqa: S101 - the caller has looked
        skip = len(entry.name) + (2 if entry.append else 1)
        segments: list[Segment] = []
        for segment in word.segments:
            if skip >= len(segment.value):
                skip -= len(segment.value)
            else:
                start = segment.start + skip
                segments.append(segment._replace(value=segment.value[skip:], start=start))
                skip = 0
        # Names of files are not filled in here, nor is what comes out split.
        pieces: list[Segment] = []
        for segment in segments:
            if not segment.expands or segment.value in ("*", "?", "[", "{"):
                pieces.append(segment._replace(expands=False))
                continue
            found = self.one(segment, entry.at)
            pieces += [segment] if found is None else found.pieces
        return (_field(pieces, word, self.what(word)),)

    def lookup(self, name: str, index: int, user: Assignment | None = None) -> CommandWords | None:
        """The value of a variable where command ``index`` uses it; None if it is not certain."""
        entries = self.scopes.assignments.get(name, [])
        path = self.scopes.paths[index]
        before = [e for e in entries if e.at < index or (e.at == index and _in_front(e, user))]
        last = next((e for e in reversed(before) if e.sure and path[: len(e.path)] == e.path), None)
        function = next((block for block in reversed(path) if block.kind == "function"), None)
        if function is not None and (last is None or function not in last.path):
            return self.lookup_at_call(name, index, function)
        if last is None or self.reset(last, index):
            return None
        loops = [block for block in path if block.kind == "loop"]
        after = before[before.index(last) + 1 :]
        rivals = [e for e in after if not _apart(e.path, path)]
        if not all(block in last.path for block in loops):
            rivals += [e for e in entries if any(block in e.path for block in loops)]
        rivals += [e for e in entries if _elsewhere(e, path)]
        value = self.value(last)
        if value is None or any(self.differs(e, value) for e in rivals if e is not last):
            return None
        return value

    def lookup_at_call(self, name: str, index: int, function: Block) -> CommandWords | None:
        """The value of a variable that a function finds set: the one at its only call."""
        call = self.scopes.calls.get(function)
        inside = any(function in entry.path for entry in self.scopes.assignments.get(name, []))
        resets = any(function in self.scopes.paths[at] for at in self.scopes.resets)
        if call is None or inside or resets or name == POSITIONAL or self.depth >= _DEEPEST or call == index:
            return None
        self.depth += 1
        value = self.lookup(name, call)
        self.depth -= 1
        return value

    def reset(self, last: Assignment, index: int) -> bool:
        """Whether any variable may have changed between an assignment and a use."""
        path = self.scopes.paths[index]
        loops = [block for block in path if block.kind == "loop"]
        for at in self.scopes.resets:
            other = self.scopes.paths[at]
            called = any(block.kind == "function" and block not in path for block in other)
            if last.at < at < index or called or any(block in other for block in loops):
                return True
        return False

    def differs(self, entry: Assignment, value: CommandWords) -> bool:
        other = self.value(entry)
        return other is None or [field.value for field in other] != [field.value for field in value]

    # --- words ----------------------------------------------------------------------------------------------

    def fields(self, words: Iterable[Word], index: int) -> Iterable[CommandWord]:
        for word in words:
            if word.expansion is None:
                yield _literal(word)
            else:
                yield from self.expanded(word, index)

    def expanded(self, word: Word, index: int) -> Iterable[CommandWord]:
        only = [segment for segment in word.segments if segment.value]
        single = only[0] if len(only) == 1 and only[0].expands else None
        if single is not None and (match := re.fullmatch(_LIST, single.value)):
            array = self.lookup(match["array"] or POSITIONAL, index)
            # The word behind a + has quotes of its own.
            inner = '"' in single.value
            whole = single.context == "double" or inner
            strange = inner and (
                single.context == "double" or (":" in single.value and not _starts_full(array))
            )
            joined = whole and "*" in single.value
            if array is not None and not (joined or strange) and (whole or all(map(self.plain, array))):
                yield from (field._replace(start=word.start, end=word.end) for field in array)
                return
        parts: list[list[Segment]] = [[]]
        quoted = any(segment.context != "bare" for segment in word.segments)
        for segment in word.segments:
            found = self.one(segment, index) if segment.expands else None
            if found is None:
                parts[-1].append(segment)
            elif segment.context == "double":
                parts[-1] += found.pieces
            else:
                first, *rest = _split(found.pieces)
                parts[-1] += first
                parts += rest
        many = single is not None and (single.context == "bare" or "@" in single.value)
        last = _tail(word) if len(parts) == 1 else None
        for part in parts:
            if part or (quoted and len(parts) == 1):
                field = _field(part, word, self.what(word))
                yield field._replace(many=many and _alone(field), tail=last)

    def what(self, word: Word) -> str:
        return word.expansion.what if word.expansion is not None else ""

    def plain(self, field: CommandWord) -> bool:
        """Whether a shell would leave it alone without quotes."""
        return self.splits and bool(field.value) and not re.search(r"[ \t\n*?\[]", field.value)

    def one(self, segment: Segment, index: int) -> CommandWord | None:
        """The value that stands for a ``$NAME``; None if that is not certain."""
        match = re.fullmatch(_SCALAR, segment.value)
        if match is None:
            return None
        value = self.lookup(match.group(1) or match.group(3), index)
        at = int(match["index"] or 0)
        # Of words that may be several nobody knows which one is behind them.
        if not value or at >= len(value) or _alone(value[at]) or any(field.many for field in value[: at + 1]):
            return None
        field = value[at]
        if ":-" in segment.value and (field.opaque or not field.value):
            return None
        if segment.context == "bare" and (re.search(r"[*?\[]", field.value) or not self.splits):
            return None
        return field


def _alone(field: CommandWord) -> bool:
    """Whether nothing is known of a word: its own name tells people more than what it was set from."""
    return bool(field.opaque) and not field.known.strip()


def _starts_full(fields: CommandWords | None) -> bool:
    """Whether the first of some words is certainly not empty."""
    return fields is not None and bool(fields) and bool(fields[0].value) and not fields[0].opaque


def _apart(one: tuple[Block, ...], other: tuple[Block, ...]) -> bool:
    """Whether two places are in different branches of one ``if``, or one is in a subshell of its own."""
    for a, b in zip(one, other, strict=False):
        if a != b:
            return a.number == b.number
    return any(block.kind == "subshell" for block in one[len(other) :])


def _in_front(entry: Assignment, user: Assignment | None) -> bool:
    """Whether an assignment stands in front of another one of the same command."""
    return (
        user is not None and entry.word is not None and user.word is not None
        and entry.word.start < user.word.start
    )  # fmt: skip


def _elsewhere(entry: Assignment, path: tuple[Block, ...]) -> bool:
    """Whether a function that can be called at any time does it."""
    return not entry.local and any(b.kind == "function" and b not in path for b in entry.path)


def _bounded(fields: CommandWords | None) -> CommandWords | None:
    """The same, unless it is larger than a command line can be."""
    if fields is None or len(fields) > MAX_WORDS:
        return None
    return fields if sum(len(field.value) for field in fields) <= MAX_WORD_BYTES * 8 else None


def _joined(first: CommandWord, second: CommandWord) -> CommandWord:
    shift = len(first.value)
    moved = [part._replace(start=part.start + shift, end=part.end + shift) for part in second.opaque]
    return second._replace(
        value=first.value + second.value,
        pieces=first.pieces + second.pieces,
        opaque=(*first.opaque, *moved),
    )


def _field(pieces: Sequence[Segment], word: Word, what: str = "") -> CommandWord:
    at = 0
    opaque: list[Opaque] = []
    for piece in pieces:
        if piece.expands:
            opaque.append(Opaque(at, at + len(piece.value), piece.start, _named(piece, what)))
        at += len(piece.value)
    value = "".join([piece.value for piece in pieces])
    return CommandWord(value, tuple(pieces), word.start, word.end, tuple(opaque))


def _named(piece: Segment, what: str) -> str:
    begins = next((known for known in _KINDS if piece.value.startswith(known)), None)
    if begins is not None or not piece.value.startswith("$"):
        return what if begins is None else _KINDS[begins]
    if piece.value == "$":
        return "the string $'...'"
    return f"the variable {piece.value if len(piece.value) < 40 else piece.value[:37] + '...'!r}"


def _tail(word: Word) -> Anchor | None:
    """Behind a variable that stands last in a word, text is added to the word, not to the variable."""
    last = word.segments[-1]
    if last.expands and last.context in ("bare", "double"):
        return last.end, last.context
    return None


def _split(pieces: Sequence[Segment]) -> list[list[Segment]]:
    """Pieces of a value, split at blanks as a shell does without quotes."""
    parts: list[list[Segment]] = [[]]
    for piece in pieces:
        if piece.expands or not any(mark in _BLANK for mark in piece.value):
            parts[-1].append(piece)
            continue
        if len(piece.value) != piece.end - piece.start:  # one escaped character
            parts.append([])
            continue
        for number, match in enumerate(re.finditer(r"[^ \t\n]+|[ \t\n]+", piece.value)):
            del number
            if match.group()[0] in _BLANK:
                parts.append([])
            else:
                start = piece.start + match.start()
                parts[-1].append(
                    piece._replace(value=match.group(), start=start, end=start + len(match.group()))
                )
    return parts
