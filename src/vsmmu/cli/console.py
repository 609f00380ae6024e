# SPDX-License-Identifier: Apache-2.0
"""Everything that is printed: lines for people in colours, remarks on stderr, documents as they are.

Names out of files, the kernel and other processes are not to be trusted: in what people read, a control
character is shown as an escape (``\\x1b``), whether the line goes to stdout or to stderr. Colours are data
(:class:`Styled`) until then, so that no text can bring its own.

An answer that cannot be written is an error (:mod:`vsmmu.cli.stdout`). A remark that cannot be written is
lost, and nothing else: it must not cost the answer.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING, Final, Literal, TextIO, get_args

from vsmmu.cli.stdout import ReaderGone, finish, raw, settle, write_answer
from vsmmu.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vsmmu.diagnostic import Diagnostic

__all__ = [
    "WHEN",
    "Line",
    "Meaning",
    "ReaderGone",
    "Styled",
    "When",
    "answer",
    "diagnosis",
    "difference",
    "finish",
    "raw",
    "remark",
    "say",
    "settle",
    "use_colour",
]

#: What a colour says; the severities are those of :mod:`vsmmu.diagnostic`.
Meaning = Literal["error", "hazard", "unknown", "warning", "note", "good", "title"]

_SGR: Final[dict[Meaning, str]] = {
    "error": "31",
    "hazard": "31",
    "unknown": "34",
    "warning": "33",
    "note": "36",
    "good": "32",
    "title": "1",
}


#: Where there are colours; *auto*: on terminals.
When = Literal["auto", "always", "never"]
WHEN: Final = get_args(When)

#: The first character of a line of a unified diff.
_DIFFERENCE: Final[dict[str, Meaning]] = {"+": "good", "-": "error", "@": "note"}


class Styled(NamedTuple):
    """A piece of a line, and what it means."""

    text: str
    meaning: Meaning


#: One line, without its end.
Line = str | Styled | tuple[str | Styled, ...]


def say(*lines: Line) -> None:
    """Print lines of the answer to stdout.

    :raise HostLacks: ``answer-unwritten``, as everything that writes the answer.
    :raise ReaderGone: likewise.
    """
    write_answer(lambda stream: _write(stream, lines))


def remark(text: object, meaning: Meaning | None = None) -> None:
    """Print a remark to stderr, after ``vsmmu:``; its further lines are indented, so that it stays one.

    :param meaning: colours the ``vsmmu:``.
    """
    first, *rest = str(text).split("\n")
    name = "vsmmu:" if meaning is None else Styled("vsmmu:", meaning)
    with contextlib.suppress(OSError):
        _write(sys.stderr, ((name, f" {first}"), *(f"  {line.removeprefix('  ')}" for line in rest)))


def diagnosis(found: Diagnostic) -> Iterator[Line]:
    """A diagnosis within an answer: severity, place, sentence and code; its reason; the next step."""
    place = f"{found.where}: " if found.where else ""
    yield Styled(f"{found.severity}:", found.severity), f" {place}{found.what} [{found.code}]"
    if found.why:
        yield from (f"  {line}" for line in found.why.split("\n"))
    if found.next:
        yield f"  next: {found.next}"


def difference(text: str) -> None:
    """Print a unified diff to stdout: in colours line by line, where they are wanted, else byte for byte."""
    if not _coloured(sys.stdout):
        raw(text)
    else:
        say(*(_difference_line(line) for line in text.splitlines()))


def _difference_line(line: str) -> Line:
    shown = line.expandtabs()
    if line.startswith(("---", "+++")):
        return Styled(shown, "title")
    meaning = _DIFFERENCE.get(line[:1])
    return shown if meaning is None else Styled(shown, meaning)


def answer(document: object) -> None:
    """Print a struct, or plain values, to stdout as a JSON document."""
    from vsmmu.document import encode_document

    raw(encode_document(document))


def use_colour(when: When) -> None:
    """Colour what goes to terminals, everything, or nothing (``-o json``)."""
    _WHEN[0] = when


def _coloured(stream: TextIO) -> bool:
    if _WHEN[0] != "auto":
        return _WHEN[0] == "always"
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return not plain and stream.isatty()


def _write(stream: TextIO, lines: tuple[Line, ...]) -> None:
    coloured = _coloured(stream)
    text = "".join([f"{_spelled(line, coloured=coloured)}\n" for line in lines])
    encoding = stream.encoding or "utf-8"
    stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
    stream.flush()


def _spelled(line: Line, *, coloured: bool) -> str:
    if isinstance(line, str):
        return _shown(line)
    if not isinstance(line, Styled):
        return "".join([_spelled(piece, coloured=coloured) for piece in line])
    text = _shown(line.text)
    return f"\x1b[{_SGR[line.meaning]}m{text}\x1b[0m" if coloured else text


def _shown(text: str) -> str:
    if text.isprintable():  # as nearly everything: it does not load the other
        return text
    from vsmmu.visible import visible

    return visible(text)


_WHEN: Final[list[When]] = ["auto"]
