# SPDX-License-Identifier: Apache-2.0
"""A large file of JSON Lines in byte ranges, each read by a process of its own, and their counts merged.

Each process has the reader and the census as they were, by fork, and sends back what it found; merged in the
order of the file, that is what one process would have found. Where that cannot be (a record that ends the
reading, too many classes, a process that is killed), nothing is merged, and the file is read in one.
"""

from __future__ import annotations

import os
import signal
from functools import cache
from multiprocessing import connection, get_context
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from vsmmu.errors import InputRefused, VsmmuError

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection
    from multiprocessing.context import ForkProcess

    from vsmmu.fleet.census import Census
    from vsmmu.fleet.records import RecordReader

__all__ = ["MOST_PARTS", "Part", "placed", "read_parts", "split"]

#: More would need more memory: each part keeps what it has met.
MOST_PARTS: Final = 8
#: A process costs a few milliseconds; below this they are not worth it.
_LEAST: Final = 8 << 20
_BUFFER: Final = 1 << 20


class Part(NamedTuple):
    """Whole lines of a file, from one offset to another."""

    start: int
    end: int


def split(path: str) -> tuple[Part, ...]:
    """The parts of a file, as many as there are processors; none if that is not worth while."""
    try:
        size = os.stat(path).st_size  # noqa: PTH116
        count = min(len(os.sched_getaffinity(0)), MOST_PARTS, size // _LEAST)
        if count < 2:
            return ()
        with open(path, "rb", buffering=_BUFFER) as stream:  # noqa: PTH123
            first = stream.readline(_BUFFER)
            if first.startswith(b"[") or b'"items":' in first:  # a list on one line, and more behind it
                return ()
            starts = [0]
            for number in range(1, count):
                stream.seek(size * number // count)
                while (piece := stream.readline(_BUFFER)) and not piece.endswith(b"\n"):
                    pass
                starts.append(stream.tell())
    except OSError:
        return ()  # who opens it says what is wrong
    ends = [*starts[1:], size]
    return tuple(Part(start, end) for start, end in zip(starts, ends, strict=True) if start < end)


def placed(path: str, part: Part, error: InputRefused, where: str) -> InputRefused:
    """An error in a part, at its place in the file.

    :param where: the place of its record, ``PATH:LINE`` with the lines counted from the first of the part.
    """
    line = int(where.removeprefix(f"{path}:")) + _lines_before(path, part.start)
    place = f"{path}:{line}{error.where.removeprefix(where)}"
    return InputRefused.of(msgspec.structs.replace(error.diagnostic, where=place))


@cache
def _lines_before(path: str, offset: int) -> int:
    """How many lines a file has before an offset: only errors need it, and to count them takes a while."""
    with open(path, "rb", buffering=_BUFFER) as stream:  # noqa: PTH123
        return sum(stream.read(min(left, _BUFFER)).count(b"\n") for left in range(offset, 0, -_BUFFER))


def read_parts(
    parts: tuple[Part, ...],
    read: Callable[[Part, RecordReader, Census, Callable[[int], object]], object],
    reader: RecordReader,
    census: Census,
    advance: Callable[[int], object],
) -> bool:
    """Read all parts at once into ``reader`` and ``census``.

    :param read: reads one part; runs in a process of its own.
    :param advance: told how many bytes have been read.
    :return: whether that was possible; if not, both are as they were.
    """
    context = get_context("fork")
    children: list[tuple[ForkProcess, Connection]] = []
    try:
        for part in parts:
            ours, theirs = context.Pipe(duplex=False)
            child = context.Process(
                target=_child, args=(part, read, reader, census.empty(), theirs, len(parts)), daemon=True
            )
            child.start()
            theirs.close()
            children.append((child, ours))
        # Whoever judges the classes afterwards needs it, and nobody waits for it now.
        from vsmmu.fleet import fit  # noqa: F401

        found = _collect([ours for _, ours in children], advance)
        return found is not None and _merge(found, reader, census)
    finally:
        for child, ours in children:
            child.terminate()
            child.join()
            ours.close()


def _child(
    part: Part,
    read: Callable[[Part, RecordReader, Census, Callable[[int], object]], object],
    reader: RecordReader,
    census: Census,
    link: Connection,
    parts: int,
) -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # the parent says what there is to say
    reader.most_topologies *= parts
    try:
        read(part, reader, census, link.send)
    except VsmmuError:
        link.send(None)
    else:
        link.send((reader.findings(), census))


def _collect(links: list[Connection], advance: Callable[[int], object]) -> list[Any] | None:
    """What each process found, in order; None if one of them could not finish."""
    found: dict[Connection, Any] = {}
    while waiting := [link for link in links if link not in found]:
        for link in connection.wait(waiting):
            assert isinstance(link, connection.Connection)  # noqa: S101 - none other were given
            try:
                said = link.recv()
            except EOFError:
                return None
            if said is None:
                return None
            if isinstance(said, int):
                advance(said)
            else:
                found[link] = said
    return [found[link] for link in links]


def _merge(found: list[Any], reader: RecordReader, census: Census) -> bool:
    before, most = reader.findings(), census.empty()
    try:
        for findings, counted in found:
            most.merge(counted, *reader.adopt(findings))
    except VsmmuError:
        reader.restore(before)
        return False
    census.merge(most, range(len(reader.classes)), range(len(reader.topologies)))
    return True
