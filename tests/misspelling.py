# SPDX-License-Identifier: Apache-2.0
"""Recorded VMs that start, each with one slip: a misspelt name, or a second device at an address."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, NamedTuple

from recordings import RUNS, host_of, qemu_of
from vsmmu.machine.command_line.keyval import parse_opts
from vsmmu.machine.command_line.options import options

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vsmmu.host.facts import Host
    from vsmmu.qemu.versions import Qemu

#: Options whose parameters are names that QEMU looks up, with the key of the first value.
NAMING = {"device": "driver", "object": "qom-type", "machine": "type", "M": "type"}
#: Parameters whose value is a name that something before it has.
REFERENCES = frozenset(
    "bus primary-bus iommufd netdev drive chardev memdev rng iothread driver qom-type".split()
)


class Name(NamedTuple):
    """A name in a command line: the number of its word, and where in it."""

    word: int
    start: int
    end: int


def names(words: list[str]) -> Iterator[Name]:
    """Every name that QEMU looks up."""
    for option in options(words, 1):
        implied = NAMING.get(option.name)
        if implied is None:
            continue
        if option.text.startswith("{"):
            yield from (Name(option.last, *span) for span in _in_json(option.text))
            continue
        pairs = parse_opts(option.text, implied)
        last = {pair.key: pair for pair in pairs}
        for pair in pairs:
            if last[pair.key] is not pair:
                continue  # said again, so this one does not count
            if pair.value_start > pair.start:
                yield Name(option.last, pair.start, pair.value_start - 1)
            if pair.key in REFERENCES and pair.value and "/" not in pair.value:
                yield Name(option.last, pair.value_start, pair.end)


def _in_json(text: str) -> Iterator[tuple[int, int]]:
    try:
        members = json.loads(text)
    except ValueError:
        return  # QEMU's dialect, with apostrophes
    for key, value in members.items():
        at = text.find(f'"{key}"') + 1
        yield at, at + len(key)
        if key in REFERENCES and isinstance(value, str):
            at = text.find(f'"{value}"', at + len(key) + 1) + 1
            yield at, at + len(value)


def misspelt(text: str, how: int) -> str:
    """A text with one slip of the keyboard: two letters exchanged, one left out, one twice."""
    at = how // 3 % len(text)
    if how % 3 == 0:
        return text[:at] + text[at + 1 :]
    if how % 3 == 1:
        return text[:at] + text[at] + text[at:]
    return text[:at] + text[at + 1 : at + 2] + text[at] + text[at + 2 :]


def with_slip(words: list[str], name: Name, how: int) -> list[str]:
    """The command line with one name misspelt."""
    changed = list(words)
    word = changed[name.word]
    changed[name.word] = word[: name.start] + misspelt(word[name.start : name.end], how) + word[name.end :]
    return changed


class Recorded(NamedTuple):
    """A VM that QEMU 11.1.3 started, on the host that it had."""

    words: list[str]
    host: Host
    qemu: Qemu


def recorded() -> list[Recorded]:
    """Every recording of a VM that starts, but for those with files of configuration."""
    return [
        Recorded(shlex.split(case["command"]), host_of(case), qemu_of(case))
        for case in RUNS
        if not case["exit"] and "config" not in case
    ]
