# SPDX-License-Identifier: Apache-2.0
"""Decode fleet records: host name, date and class from the bytes of a facts file.

A record is a document ``vsmmu.host/1``, or a Kubernetes ``NodeFeature`` that carries one. Most hosts of a
fleet have the same SMMUs, functions and evidence, byte for byte, so these three are only cut out, and looked
up among those seen before, all at once where they stand together at the end: the work that is left for a
host of a known kind is a tenth of reading it. Where only the functions are new, only they are read. Whatever
is unusual takes the strict way, which has the last word: the quick ways may decline, they may not differ.
"""

from __future__ import annotations

import contextlib
import operator
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from vsmmu.errors import InputRefused
from vsmmu.fleet.classes import EVERYTHING, HostClass, Selection, class_of
from vsmmu.fleet.node_features import read_node_feature
from vsmmu.host.evidence import UNKNOWN, Fact
from vsmmu.host.facts import (
    SCHEMA,
    HostFunction,
    MemoryRegion,
    ReservedRegion,
    facts_of,
    region_fault,
)
from vsmmu.host.files import decode_host
from vsmmu.host.judgements import direct_mapped

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from vsmmu.host.evidence import Evidence
    from vsmmu.host.facts import Host

__all__ = ["MAX_CLASSES", "Kinds", "Record", "RecordReader"]

#: More kinds of hosts than this are not a fleet but noise (or an attack on memory).
MAX_CLASSES: Final = 20_000
_MAX_KNOWN: Final = 4096
#: Of one length; they are compared one after the other.
_MOST_ENDS: Final = 8
_MOST_GOOD: Final = 100_000
_LONGEST_NAME: Final = 255
#: Pictures are for people: nobody looks at more, or at a larger one.
_MOST_TOPOLOGIES: Final = 64
_MOST_FUNCTIONS: Final = 256
_MAX_KNOWN_BYTES: Final = 64 << 20
_NO_LABELS: Final[Mapping[str, str]] = {}
_NOTHING: Final = msgspec.Raw(b"")
#: What tells kinds of hosts apart, uncut: SMMUs, functions, and all else.
_Key = tuple[bytes, bytes, bytes]
#: The large members, and how the end of a record begins that has no others.
_LARGE: Final = frozenset({"smmus", "functions", "evidence"})
_LARGE_END: Final = b',"smmus":'
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


class _Kernel(msgspec.Struct, frozen=True, gc=False):
    """``Kernel`` of the facts, without its patterns: they cost more than all else, see :func:`_is_plain`."""

    release: str = ""
    boot_id: str = ""
    command_line: str = ""


class _Function(msgspec.Struct, frozen=True, gc=False):
    """:class:`HostFunction`, without its patterns."""

    address: str
    smmu: str | None = None
    label: str = ""
    vendor: str | None = None
    device: str | None = None
    class_code: str | None = None
    driver: str = ""
    iommu_group: int | None = None
    numa_node: int | None = None
    physical_function: str | None = None
    virtual_functions: int | None = None
    reserved_regions: tuple[ReservedRegion, ...] | msgspec.UnsetType = msgspec.UNSET
    memory_regions: tuple[MemoryRegion, ...] | msgspec.UnsetType = msgspec.UNSET
    generic_initiators: Fact = UNKNOWN
    cxl_cache: Fact = UNKNOWN
    ats_capability: Fact = UNKNOWN
    ats_not_supported: Fact = UNKNOWN
    root_complex_ats: Fact = UNKNOWN
    canwbs: Fact = UNKNOWN
    pasid_capability: Fact = UNKNOWN
    pasid_width: Fact = UNKNOWN
    max_pasid_log2: Fact = UNKNOWN
    dirty_tracking: Fact = UNKNOWN
    pasid_exec: Fact = UNKNOWN
    pasid_privileged: Fact = UNKNOWN


class _Head(msgspec.Struct, frozen=True, gc=False):
    """The members of ``vsmmu.host/1``, with the large ones uncut."""

    schema: str
    name: str
    title: str = ""
    taken_at: str = ""
    kernel: _Kernel = _Kernel()
    product: str = ""
    synthetic: tuple[str, ...] = ()
    iommufd: Fact = UNKNOWN
    page_size: msgspec.Raw = _NOTHING
    numa_nodes: msgspec.Raw = _NOTHING
    egm: msgspec.Raw = _NOTHING
    smmus: msgspec.Raw = _NOTHING
    functions: msgspec.Raw = _NOTHING
    evidence: msgspec.Raw = _NOTHING


class _Body(NamedTuple):
    """SMMUs and evidence that were found in order, for which only the functions may be new."""

    number: int
    smmus: frozenset[str]
    shape: tuple[object, ...]
    evidence: Mapping[str, Evidence]


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
        self._known: dict[_Key, tuple[int, int]] = {}
        #: The same by the end of a record, and then by what else tells kinds apart. Ends are found by length:
        #: to compare them takes a tenth of the time of making a key of them.
        self._ends: dict[int, dict[bytes, dict[_Key, tuple[int, int]]]] = {}
        self._known_bytes = 0
        self._bodies: dict[tuple[bytes, bytes], _Body] = {}
        self._kinds: dict[tuple[int, frozenset[object]], int] = {}
        self._shapes: dict[_Shape, int] = {}
        self._good: set[object] = set()

    def read(self, data: bytes, where: str) -> Record:
        """Read one record.

        :param where: its place, for errors.
        :raise InputRefused: it is no such record, contradicts itself, or is one kind of host too many.
        """
        cut = data.find(_LARGE_END)
        same = self._after(data, cut)
        try:
            head = _DECODE_HEAD(data if same is None else data[:cut] + b"}")
            key = _key(head)
            known = (self._known if same is None else same).get(key)
            if known is None and same is not None:
                key = _key(_DECODE_HEAD(data))
                known = self._known.get(key)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return self._read_other(data, where)
        if known is None:
            known = self._read_functions(key)
        if known is None or head.schema != SCHEMA or head.iommufd is not UNKNOWN or not _is_plain(head):
            return self._read_new(data, where, key)
        release, (kind, topology) = head.kernel.release, known
        title = head.title or head.product
        return Record(head.name, head.taken_at, release, title, kind, _NO_LABELS, topology, None)

    def _after(self, data: bytes, cut: int) -> Mapping[_Key, tuple[int, int]] | None:
        """What is known of records that end as this one does from there on."""
        for end, known in self._ends.get(len(data) - cut, {}).items() if cut > 0 else ():
            if data.endswith(end):
                return known
        return None

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

    def _read_functions(self, key: _Key) -> tuple[int, int] | None:
        """Class and topology of a host whose functions alone are new; None if that cannot be told quickly."""
        body = self._bodies.get((key[0], key[2]))
        if body is None:
            return None
        try:
            functions = _DECODE_FUNCTIONS(key[1] or b"[]")
            if not self._good.issuperset(map(_PATTERNED, functions)):
                _DECODE_STRICTLY(key[1])
                self._note_good(functions)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None
        if not all(_is_in_order(function, body) for function in functions):
            return None
        kind = self._kinds.get((body.number, self._behind(functions)))
        if kind is None or len({function.address for function in functions}) != len(functions):
            return None
        shape = self._shapes.get((kind, body.shape, _places(functions)), -1)
        return None if shape < 0 and len(self._shapes) < self.most_topologies else (kind, shape)

    def _note_good(self, functions: tuple[_Function, ...]) -> None:
        """These were found to match the patterns."""
        if len(self._good) > _MOST_GOOD:
            self._good.clear()
        self._good.update(map(_PATTERNED, functions))

    def _behind(self, functions: Iterable[HostFunction | _Function]) -> frozenset[object]:
        """What of the functions bears on the class."""
        takes = self._selection.takes
        return frozenset(
            [
                (entry.smmu, entry.canwbs, bool(entry.reserved_regions) and direct_mapped(entry).answer)
                for entry in functions
                if entry.smmu and takes(entry)
            ]
        )

    def _read_new(self, data: bytes, where: str, key: _Key) -> Record:
        host = decode_host(data, where)
        record = self._record(host, _NO_LABELS, where)
        size = sum(map(len, key))
        if len(self._known) >= _MAX_KNOWN or self._known_bytes + size > _MAX_KNOWN_BYTES:
            self._known.clear()
            self._ends.clear()
            self._bodies.clear()
            self._kinds.clear()
            self._known_bytes = 0
        self._known[key] = record.kind, record.topology
        self._note_end(data, record)
        body = self._bodies.get((key[0], key[2]))
        if body is None:
            names = frozenset(smmu.name for smmu in host.smmus)
            body = _Body(len(self._bodies), names, _smmu_places(host), host.evidence)
            self._bodies[key[0], key[2]] = body
        self._kinds[body.number, self._behind(host.functions)] = record.kind
        self._known_bytes += size + len(data)
        return record

    def _note_end(self, data: bytes, record: Record) -> None:
        """Note what record the end makes of whatever it follows, if it has the large members only."""
        cut = data.find(_LARGE_END)
        with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            head = _DECODE_HEAD(data[:cut] + b"}")  # not, where the end is that of a member
            if _DECODE_MEMBERS(b"{" + data[cut + 1 :]).keys() <= _LARGE:
                ends = self._ends.setdefault(len(data) - cut, {})
                if len(ends) < _MOST_ENDS:
                    ends.setdefault(data[cut:], {})[_key(head)] = record.kind, record.topology

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
        return self._keep_topology((kind, _smmu_places(host), _places(host.functions)), host)

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


def _key(head: _Head) -> _Key:
    # Pages, nodes and EGM regions name evidence, and are as seldom new.
    rest = b"\n".join(map(bytes, (head.page_size, head.numa_nodes, head.egm, head.evidence)))
    return bytes(head.smmus), bytes(head.functions), rest


def _smmu_places(host: Host) -> tuple[object, ...]:
    return tuple([(smmu.name, smmu.numa_node) for smmu in host.smmus])


def _places(functions: Iterable[HostFunction | _Function]) -> tuple[object, ...]:
    return tuple([(function.address, function.smmu) for function in functions])


def _is_plain(head: _Head) -> bool:
    """Whether these texts certainly are names (:data:`vsmmu.host.facts.Name`)."""
    kernel = head.kernel
    texts = (head.name, head.taken_at, head.product, kernel.release, kernel.boot_id)
    return "".join(texts).isprintable() and max(map(len, texts)) <= _LONGEST_NAME


def _is_in_order(function: _Function, body: _Body) -> bool:
    """Whether the strict reader certainly has nothing against this function, apart from patterns."""
    if function.smmu is not None and function.smmu not in body.smmus:
        return False
    label, driver = function.label, function.driver
    if not (label.isprintable() and driver.isprintable()) or max(len(label), len(driver)) > _LONGEST_NAME:
        return False
    for region in function.reserved_regions or ():
        if not region.type.isprintable() or region_fault(region, body.evidence):
            return False
    if any(region_fault(region, body.evidence) for region in function.memory_regions or ()):
        return False
    for fact in _FACTS_OF(function):
        if fact is not UNKNOWN:
            evidence = body.evidence.get(fact.evidence)
            if evidence is None or (fact.value is None) != (evidence.kind == "unknown"):
                return False
    return True


_FACTS_OF: Final = operator.attrgetter(*facts_of(HostFunction))
#: What has a pattern that is not checked otherwise.
_PATTERNED: Final = operator.attrgetter("address", "vendor", "device", "class_code", "physical_function")
_DECODE_FUNCTIONS: Final = msgspec.json.Decoder(tuple[_Function, ...]).decode
_DECODE_STRICTLY: Final = msgspec.json.Decoder(tuple[HostFunction, ...]).decode
_DECODE_HEAD: Final = msgspec.json.Decoder(_Head).decode
_DECODE_MEMBERS: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
