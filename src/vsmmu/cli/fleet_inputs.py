# SPDX-License-Identifier: Apache-2.0
"""From HOST arguments to records: files, directories, JSON Lines, standard input, Kubernetes lists.

Records are read one at a time. One that is wrong is named and counted, and the others go on; ``--strict``
stops at the first.
"""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, NamedTuple

from vsmmu.cli import console
from vsmmu.errors import HostLacks, InputRefused, PermissionRefused, UsageError, error_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from vsmmu.cli.fleet_parts import Part
    from vsmmu.errors import VsmmuError
    from vsmmu.fleet.census import Census
    from vsmmu.fleet.records import Record, RecordReader
    from vsmmu.host.facts import Host

__all__ = ["FleetQuestion", "counted", "report_rejects", "single_host", "take_census"]

_MAX_RECORD: Final = 16 << 20
#: A Kubernetes list comes as one document, so it has to be held whole; 20,000 nodes are about 200 MiB.
_MAX_DOCUMENT: Final = 256 << 20
_BUFFER: Final = 1 << 20
_SUFFIXES: Final = frozenset({".json", ".jsonl", ".ndjson"})
_LINES: Final = frozenset({".jsonl", ".ndjson"})
#: What ends the reading even without ``--strict``: going on would only make it worse.
_FATAL: Final = frozenset({"too-many-classes", "too-many-pools"})
#: An indented document begins with a line no longer than this.
_SHORT: Final = 256
_SHOW_PROGRESS_FROM: Final = 8 << 20
_STEP: Final = 1000


class FleetQuestion(NamedTuple):
    """What the user asked about a fleet, as given."""

    hosts: tuple[str, ...]
    pool: str | None
    device: str | None
    qemu: str | None
    strict: bool
    latest: bool


def take_census(
    reader: RecordReader,
    census: Census,
    hosts: tuple[str, ...],
    *,
    strict: bool,
    pool: str | None = None,
    note: Callable[[Any], object] | None = None,
) -> None:
    """Read every record of every source into ``census``.

    :param pool: the label by which ``census`` groups.
    :param note: called with each record that counts; if later ones can take its place, at the end.
    :raise UsageError: ``no-such-pool``: no host has it.
    :raise InputRefused: ``no-records``; with ``strict`` whatever is wrong with the first wrong record.
    :raise HostLacks: a source that was named does not exist.
    """
    from vsmmu.fleet.census import check_pool

    held: dict[str, Record] = {}
    with _progress(hosts) as advance:
        for spec in hosts:
            in_parts = note is None and not census.takes_latest and Path(spec).suffix in _LINES
            if not in_parts or not _read_in_parts(spec, reader, census, advance, strict=strict):
                records = _records(spec, census, advance, strict=strict)
                _count(records, reader, census, strict=strict, note=note, held=held)
    if note is not None:
        for record in held.values():
            note(record)
    if not census.records:
        detail = census.rejects.examples[0] if census.rejects.examples else ""
        raise InputRefused(
            "no-records",
            "there are no facts about any host in it",
            where=", ".join(hosts)[:200],
            why=detail,
            next="give facts files, directories of them, JSON Lines, or builtin:NAME; of a cluster: "
            "kubectl get nodefeatures -A -o json | vsmmu report -",
        )
    check_pool(census, pool)


def _count(
    records: Iterable[tuple[bytes, str, str]],
    reader: RecordReader,
    census: Census,
    *,
    strict: bool,
    note: Callable[[Any], object] | None = None,
    held: dict[str, Record] | None = None,
    placed: Callable[[InputRefused, str], InputRefused] | None = None,
) -> None:
    """Count records.

    :param held: takes, by the names of hosts, the records that later ones can take the place of.
    :param placed: puts an error to the place in the whole file, given that in its part.
    """
    read, add = reader.read, census.add
    for data, where, source in records:
        try:
            record = read(data, where)
            counts = add(record, source)
        except InputRefused as error:
            if strict or error.code in _FATAL:
                raise
            census.rejects.add(error if placed is None else placed(error, where))
            continue
        if note is None or not counts:
            continue
        if census.takes_latest and held is not None:
            held[record.name] = record
        else:
            note(record)


def _read_in_parts(
    spec: str, reader: RecordReader, census: Census, advance: Callable[[int], object], *, strict: bool
) -> bool:
    """Read a large file of JSON Lines by several processes; False if it has to be read by this one."""
    from vsmmu.cli.fleet_parts import placed, read_parts, split

    def read(part: Part, reader: RecordReader, census: Census, advance: Callable[[int], object]) -> None:
        records = _part(spec, part, advance)
        _count(records, reader, census, strict=strict, placed=partial(placed, spec, part))

    parts = split(spec)
    return bool(parts) and read_parts(parts, read, reader, census, advance)


def _part(path: str, part: Part, advance: Callable[[int], object]) -> Iterator[tuple[bytes, str, str]]:
    """The records of whole lines of a file, as :func:`_stream` gives them, numbered from its first."""
    with open(path, "rb", buffering=_BUFFER) as stream:  # noqa: PTH123
        stream.seek(part.start)
        line = stream.readline(_MAX_RECORD + 1)
        yield from _lines(line, stream, path, Path(path).stem, advance, length=part.end - part.start)


def single_host(spec: str) -> Host:
    """The one host that a source states.

    :raise UsageError: ``many-hosts``.
    :raise InputRefused: malformed facts.
    :raise HostLacks: no such file.
    """
    from vsmmu.fleet.census import Census, pool_key
    from vsmmu.fleet.records import RecordReader

    found: list[Host] = []
    census = Census(pool_key(None))

    def note(record: Record) -> None:
        if found or record.host is None:
            raise UsageError(
                "many-hosts",
                f"{spec} states more than one host",
                next="give a file with one; jq -c 'select(.name == \"NODE\")' cuts one out of JSON Lines",
            )
        found.append(record.host)

    take_census(RecordReader(), census, (spec,), strict=True, note=note)
    return found[0]


def report_rejects(census: Census) -> None:
    """Say on stderr which records were left out."""
    rejects = census.rejects
    for text in rejects.examples[:5]:
        console.remark(f"left out: {text}")
    if rejects.count > 5:
        console.remark(f"left out: {rejects.count - 5} more records")
    if census.replaced:
        console.remark(f"note: {census.replaced} older records of the same hosts are not counted", "note")


def _records(
    spec: str, census: Census, advance: Callable[[int], object], *, strict: bool
) -> Iterator[tuple[bytes, str, str]]:
    """Each record with its place and the source that it came from."""
    if spec == "live" or spec.startswith("builtin:"):
        from vsmmu.api import load_host
        from vsmmu.host.files import encode_host

        yield encode_host(load_host(spec)), spec, spec
    elif spec == "-":
        yield from _stream(sys.stdin.buffer, "standard input", spec, advance)
    elif Path(spec).is_dir():
        yield from _directory(Path(spec), census, advance, strict=strict)
    else:
        yield from _file(Path(spec), Path(spec).stem, advance)


def _directory(
    directory: Path, census: Census, advance: Callable[[int], object], *, strict: bool
) -> Iterator[tuple[bytes, str, str]]:
    """The records of all facts files below a directory; what cannot be read is named, or refused."""

    def reject(error: VsmmuError) -> None:
        if strict:
            raise error
        census.rejects.add(error)

    for path in _files(directory, reject):
        source = path.stem if path.suffix in _LINES else path.parent.name
        try:
            yield from _file(path, source, advance)
        except (HostLacks, PermissionRefused) as error:
            reject(error)


def _files(directory: Path, reject: Callable[[VsmmuError], object]) -> list[Path]:
    """The facts files below a directory; of folders that cannot be looked into the error is told."""
    found: list[Path] = []
    for folder, _, names in os.walk(directory, onerror=lambda error: reject(error_of(error))):
        found += [Path(folder, name) for name in names if not name.startswith(".")]
    return sorted(path for path in found if path.suffix in _SUFFIXES and not _is_special(path))


def _is_special(path: Path) -> bool:
    """Whether it is a FIFO, a device or the like; what cannot be looked at is for the one who opens it."""
    try:
        return not path.is_file()
    except OSError:
        return False


def _file(path: Path, source: str, advance: Callable[[int], object]) -> Iterator[tuple[bytes, str, str]]:
    from vsmmu.host.files import open_stream

    try:
        with open_stream(str(path), _BUFFER) as stream:
            yield from _stream(stream, str(path), source, advance, lines=path.suffix in _LINES)
    except PermissionError as error:
        from vsmmu.file_access import who_may

        raise PermissionRefused(
            "file-permission",
            "may not read facts",
            where=str(path),
            why=str(error.strerror),
            next=who_may(str(path.absolute())) or "run as a user who may",
        ) from None
    except OSError as error:
        raise HostLacks(
            "file-missing",
            "cannot read facts",
            where=str(path),
            why=str(error.strerror),
            next="check the name of the file or folder",
        ) from None


def _stream(
    stream: IO[bytes], where: str, source: str, advance: Callable[[int], object], *, lines: bool = False
) -> Iterator[tuple[bytes, str, str]]:
    """The records of one file: a line each, or one document over many lines."""
    first = stream.readline(_MAX_RECORD + 1)
    if not lines and len(first) <= _SHORT and not _is_complete(first):
        yield from _document(first, stream, where, source)
        return
    items = _items(first)
    if items is not None:
        for number, item in enumerate(items, 1):
            yield item, f"{where} item {number}", source
        first = stream.readline(_MAX_RECORD + 1)
    yield from _lines(first, stream, where, source, advance)


def _lines(
    line: bytes,
    stream: IO[bytes],
    where: str,
    source: str,
    advance: Callable[[int], object],
    *,
    length: int | None = None,
) -> Iterator[tuple[bytes, str, str]]:
    """A record a line.

    :param length: after how many bytes to stop, where a line begins.
    """
    number, size, left = 0, 0, sys.maxsize if length is None else length
    while line and left > 0:
        number += 1
        size += len(line)
        left -= len(line)
        if number % _STEP == 0:
            advance(size)
            size = 0
        if len(line) > _MAX_RECORD:
            left -= _skip_line(line, stream)
            line = b'"longer than a record may be"'
        if len(line) > 2 or line.strip():
            yield line, f"{where}:{number}", source
        line = stream.readline(_MAX_RECORD + 1)
    advance(size)


def _is_complete(line: bytes) -> bool:
    import msgspec

    try:
        msgspec.json.decode(line, type=msgspec.Raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


def _items(line: bytes) -> Iterator[bytes] | None:
    """The items of a list that stands on one line; None if it is a record."""
    if not line.startswith(b"[") and b'"items":' not in line:
        return None
    from vsmmu.fleet.lists import split_list

    return split_list(line)


def _document(first: bytes, stream: IO[bytes], where: str, source: str) -> Iterator[tuple[bytes, str, str]]:
    from vsmmu.fleet.lists import split_list

    data = first + stream.read(_MAX_DOCUMENT + 1 - len(first))
    if len(data) > _MAX_DOCUMENT:
        raise InputRefused(
            "facts-too-large",
            f"the document is over {_MAX_DOCUMENT >> 20} MiB",
            where=where,
            next="make JSON Lines of it: jq -c '.items[]'",
        )
    items = split_list(data)
    if items is None:
        yield data, where, source
        return
    for number, item in enumerate(items, 1):
        yield item, f"{where} item {number}", source


def _skip_line(line: bytes, stream: IO[bytes]) -> int:
    """Read on to the end of a line; how many bytes that were."""
    skipped = 0
    while line and not line.endswith(b"\n"):
        line = stream.readline(_BUFFER)
        skipped += len(line)
    return skipped


@contextmanager
def _progress(hosts: tuple[str, ...]) -> Iterator[Callable[[int], object]]:
    """A bar on stderr, if that is a terminal and there is much to read; the bytes read are told to it."""
    total = 0
    for spec in hosts:
        path = Path(spec)
        try:
            paths = _files(path, lambda _error: None) if path.is_dir() else [path]
            total += sum(entry.stat().st_size for entry in paths)
        except OSError:
            continue
    if total < _SHOW_PROGRESS_FROM or not sys.stderr.isatty():
        yield lambda _size: None
        return
    import click

    with click.progressbar(length=total, label="reading facts", file=sys.stderr) as bar:
        yield bar.update


def counted(count: int, one: str = "host", many: str = "hosts") -> str:
    """``1 host``, ``1,200 hosts``."""
    return f"{count:,} {one if count == 1 else many}"
