# SPDX-License-Identifier: Apache-2.0
"""Decode fleet records: host name, date and class from the bytes of a facts file.

A record is a document ``vsmmu.host/1``, or a Kubernetes ``NodeFeature`` that carries one. Most hosts of a
fleet have the same SMMUs, functions and evidence, byte for byte but for the functions' labels, so these three
are only compared with those seen before: the work that is left for a host of a known kind is a tenth of
reading it. Where only the functions are new, only they are read. Whatever is unusual takes the strict way,
which has the last word: the quick ways may decline, they may not differ.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from vsmmu.errors import InputRefused
from vsmmu.fleet.classes import EVERYTHING, HostClass, Selection, class_of
from vsmmu.fleet.frames import HostFrames, smmu_places
from vsmmu.fleet.node_features import read_node_feature
from vsmmu.fleet.quick_structs import (
    PATTERNED,
    decode_functions,
    decode_functions_strictly,
    is_in_order,
    is_plain,
    without_labels,
)
from vsmmu.host.files import decode_host
from vsmmu.host.judgements import direct_mapped

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from vsmmu.fleet.frames import HostFrame, Place
    from vsmmu.host.facts import Host, HostFunction

__all__ = ["MAX_CLASSES", "Kinds", "Record", "RecordReader"]

#: More kinds of hosts than this are not a fleet but noise (or an attack on memory).
MAX_CLASSES: Final = 20_000
_MOST_GOOD: Final = 100_000
#: Bytes of the functions that a frame met last: some sixty functions.
_MOST_REMEMBERED: Final = 1 << 14
#: Pictures are for people: nobody looks at more, or at a larger one.
_MOST_TOPOLOGIES: Final = 64
_MOST_FUNCTIONS: Final = 256
_NO_LABELS: Final[Mapping[str, str]] = {}
#: The position of a class, the places of the SMMUs, those of the functions.
_Shape = tuple[int, tuple[object, ...], tuple[object, ...]]


class Record(NamedTuple):
    """One host as one record states it.

    :param title: the host's title, or the product that its firmware names.
    :param kind: position of its class in :attr:`RecordReader.classes`.
    :param topology: position in :attr:`RecordReader.topologies` of a host of this class built like it; -1 if
        there are too many different ones.
    :param host: all facts, if they had to be read in full; None where another host has the same.
    """

    name: str
    taken_at: str
    kernel: str
    title: str
    kind: int
    labels: Mapping[str, str]
    topology: int
    host: Host | None


class Kinds(NamedTuple):
    """The classes and topologies that a reader met, for another process.

    :param shapes: the position of the topology of each shape.
    """

    classes: tuple[HostClass, ...]
    topologies: tuple[Host, ...]
    shapes: dict[_Shape, int]


class RecordReader:
    """Reads records and keeps the classes that it met.

    Memory is bounded by the number of kinds of hosts, not by the number of hosts.
    """

    def __init__(self, selection: Selection = EVERYTHING) -> None:
        self.classes: list[HostClass] = []
        self.topologies: list[Host] = []
        #: How many to keep.
        self.most_topologies = _MOST_TOPOLOGIES
        self._selection = selection
        self._numbers: dict[str, int] = {}
        self._frames = HostFrames()
        self._shapes: dict[_Shape, int] = {}
        self._good: set[object] = set()

    def read(self, data: bytes, where: str) -> Record:
        """Read one record.

        :param where: its place, for errors.
        :raise InputRefused: it is no such record, contradicts itself, or is one kind of host too many.
        """
        try:
            head, frame, functions = self._frames.cut(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return self._read_other(data, where)
        place = self._place(frame, functions) if frame is not None and is_plain(head) else None
        if place is None:
            return self._read_new(data, where)
        kind, topology = place
        title = head.title or head.product
        return Record(head.name, head.taken_at, head.kernel.release, title, kind, _NO_LABELS, topology, None)

    def findings(self) -> Kinds:
        """The classes and topologies that were met so far."""
        return Kinds(tuple(self.classes), tuple(self.topologies), dict(self._shapes))

    def adopt(self, findings: Kinds) -> tuple[list[int], list[int]]:
        """Take over what another reader met after what this one has met.

        :return: the position here of each of its classes, and of each of its topologies (or -1).
        :raise InputRefused: ``too-many-classes``.
        """
        kinds = [self._number(kind, "") for kind in findings.classes]
        topologies = [
            self._keep_topology((kinds[shape[0]], *shape[1:]), findings.topologies[position])
            for shape, position in sorted(findings.shapes.items(), key=lambda item: item[1])
        ]
        return kinds, topologies

    def restore(self, findings: Kinds) -> None:
        """Forget what was adopted since."""
        self.classes[:], self.topologies[:] = findings.classes, findings.topologies
        self._shapes = dict(findings.shapes)
        self._numbers = {kind.fingerprint: position for position, kind in enumerate(findings.classes)}

    def _place(self, frame: HostFrame, functions: bytes) -> Place | None:
        """Class and topology of a host with such functions; None if that cannot be told quickly."""
        last_functions, last_place = frame.last
        if functions == last_functions:
            return last_place
        text = without_labels(functions)
        place = frame.places.get(text)
        if place is None:
            place = self._read_functions(frame, functions)
            if place is not None:
                self._frames.note(frame, text, place)
        if place is not None and len(functions) <= _MOST_REMEMBERED:
            frame.last = functions, place
        return place

    def _read_functions(self, frame: HostFrame, text: bytes) -> Place | None:
        """The same where the functions alone have to be read."""
        try:
            functions = decode_functions(text or b"[]")
            if not self._good.issuperset(map(PATTERNED, functions)):
                decode_functions_strictly(text)
                self._note_good(functions)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None
        if not all(is_in_order(function, frame.smmus, frame.evidence) for function in functions):
            return None
        kind = frame.kinds.get(self._behind(functions))
        if kind is None or len({function.address for function in functions}) != len(functions):
            return None
        shape = self._shapes.get((kind, frame.shape, _places(functions)), -1)
        return None if shape < 0 and len(self._shapes) < self.most_topologies else (kind, shape)

    def _note_good(self, functions: tuple[HostFunction, ...]) -> None:
        """These were found to match the patterns."""
        if len(self._good) > _MOST_GOOD:
            self._good.clear()
        self._good.update(map(PATTERNED, functions))

    def _behind(self, functions: Iterable[HostFunction]) -> frozenset[object]:
        """What of the functions bears on the class."""
        takes = self._selection.takes
        return frozenset(
            [
                (entry.smmu, entry.canwbs, bool(entry.reserved_regions) and direct_mapped(entry).answer)
                for entry in functions
                if entry.smmu and takes(entry)
            ]
        )

    def _read_new(self, data: bytes, where: str) -> Record:
        host = decode_host(data, where)
        record = self._record(host, _NO_LABELS, where)
        self._frames.add(data, host, self._behind(host.functions), (record.kind, record.topology))
        return record

    def _read_other(self, data: bytes, where: str) -> Record:
        """A NodeFeature, or something wrong, which the strict reader puts into words."""
        found = read_node_feature(data, where)
        if found is None:
            return self._record(decode_host(data, where), _NO_LABELS, where)
        record = self.read(found.facts.encode(), f"{where} (node {found.node!r:.80})")
        return record._replace(name=found.node or record.name, labels=found.labels)

    def _record(self, host: Host, labels: Mapping[str, str], where: str) -> Record:
        kind = self._number(class_of(host, self._selection), where)
        release, topology = host.kernel.release, self._topology(host, kind)
        title = host.title or host.product
        return Record(host.name, host.taken_at, release, title, kind, labels, topology, host)

    def _topology(self, host: Host, kind: int) -> int:
        if len(host.functions) > _MOST_FUNCTIONS:
            return -1
        return self._keep_topology((kind, smmu_places(host), _places(host.functions)), host)

    def _keep_topology(self, shape: _Shape, host: Host) -> int:
        known = self._shapes.get(shape)
        if known is None:
            if len(self._shapes) >= self.most_topologies:
                return -1
            known = self._shapes[shape] = len(self.topologies)
            self.topologies.append(host)
        return known

    def _number(self, kind: HostClass, where: str) -> int:
        known = self._numbers.get(kind.fingerprint)
        if known is not None:
            return known
        if len(self.classes) >= MAX_CLASSES:
            raise InputRefused(
                "too-many-classes",
                f"these hosts are of more than {MAX_CLASSES} different kinds",
                where=where,
                next="are these facts about hosts? give fewer records, or narrow with --device",
            )
        self.classes.append(kind)
        self._numbers[kind.fingerprint] = len(self.classes) - 1
        return len(self.classes) - 1


def _places(functions: Iterable[HostFunction]) -> tuple[object, ...]:
    return tuple([(function.address, function.smmu) for function in functions])
