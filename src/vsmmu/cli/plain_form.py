# SPDX-License-Identifier: Apache-2.0
"""Plain command lines of the verbs about a VM, parsed from the option table without loading click.

These verbs lie on the path of a VM's start, to which loading click would add a quarter. Plain is
what scripts write: names of options in full, each at most once unless it is repeatable, and a value that
does not look like an option. Anything else (help, mistakes, ``-ojson``) is left to click, which reads the
same table, so that there is one behaviour and one wording.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

from vsmmu.cli.option_table import options_of
from vsmmu.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from vsmmu.cli.option_table import Option

__all__ = ["Question", "parse_plainly", "with_bare_values", "with_question"]

_KINDS: Final = ("text", "flag", "choice", "path")


class Question(NamedTuple):
    """What the user asked about a VM, as given: nothing is read yet.

    :param words: what stands after ``--``; None if there is no ``--``.
    """

    file: str | None
    words: tuple[str, ...] | None
    host: str
    qemu: str | None
    machine_type: str | None
    libvirt: str | None
    policy: str
    functions: tuple[str, ...]
    also: tuple[str, ...]
    smmu: tuple[str, ...]
    assume_safe: bool
    allow_mixed: bool
    pin_cmdqv: bool
    baseline: str | None = None
    unpin: tuple[str, ...] = ()


def with_question(given: dict[str, Any], question: type[Any]) -> dict[str, Any]:
    """The arguments of a verb's function: the values that are fields of its question as one of that type."""
    rest = {name: value for name, value in given.items() if name not in question._fields}
    mine = {name: value for name, value in given.items() if name in question._fields}
    return {"question": question(**mine), **rest}


def with_bare_values(words: Iterable[str], rows: tuple[Option, ...]) -> Iterator[str]:
    """The words, with what an option means that stands without one of its choices behind it.

    A parser would take whatever comes next, such as the VM.
    """
    bare = {name: row for row in rows if row.bare for name in row.names.split()}
    waiting: Option | None = None
    for word in words:
        if waiting is not None and word not in waiting.choices:
            yield waiting.bare
        yield word
        waiting = bare.get(word)
    if waiting is not None:
        yield waiting.bare


def parse_plainly(verb: str, arguments: Sequence[str]) -> dict[str, Any] | None:
    """The arguments of the function of a verb about a VM.

    :param arguments: what stands after the verb.
    :return: None if that is not written plainly, or has mistakes: click reads it.
    """
    at = arguments.index("--") if "--" in arguments else len(arguments)
    rows = options_of(verb)
    given = _defaults(rows)
    written = _values(rows, with_bare_values(arguments[:at], rows))
    if given is None or written is None:
        return None
    words = tuple(arguments[at + 1 :]) if at < len(arguments) else None
    return with_question({**given, **written, "words": words}, Question)


def _defaults(rows: tuple[Option, ...]) -> dict[str, Any] | None:
    given: dict[str, Any] = {}
    for row in rows:
        value = os.environ.get(row.variable) if row.variable else None
        if value and (row.kind != "text" or row.multiple):
            return None
        empty: Any = () if row.multiple else False if row.kind == "flag" else row.default
        given[row.key] = value or empty
    return given


def _values(rows: tuple[Option, ...], words: Iterator[str]) -> dict[str, Any] | None:
    """What is written, by key; None if anything of it is not plain."""
    named = {name: row for row in rows if not row.is_argument for name in row.names.split()}
    places = [row for row in rows if row.is_argument]
    given: dict[str, Any] = {}
    for word in words:
        value = word
        if _is_value(word):
            row = next((row for row in places if row.multiple or row.key not in given), None)
        else:
            name, equals, value = word.partition("=") if word.startswith("--") else (word, "", "")
            row = named.get(name)
            if row is not None and row.kind != "flag" and not equals:
                value = next(words, "")
        if row is None or not _fits(row, value) or (row.key in given and not row.multiple):
            return None
        plain = value or True
        given[row.key] = (*given.get(row.key, ()), plain) if row.multiple else plain
    return given


def _is_value(word: str) -> bool:
    return word == "-" or not word.startswith("-")


def _fits(row: Option, value: str) -> bool:
    if row.kind == "flag":
        return not value
    return (
        bool(value)
        and _is_value(value)
        and row.kind in _KINDS
        and (row.kind != "choice" or value in row.choices)
    )
