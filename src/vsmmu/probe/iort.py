# SPDX-License-Identifier: Apache-2.0
"""The ACPI IORT table: which SMMU a root complex's functions reach, and what the root complex promises.

Source: Arm DEN 0049 (I/O Remapping Table), structures as in the kernel's include/acpi/actbl2.h. The table
comes from firmware: nothing in it is believed without looking, and a table that contradicts itself is
refused, never half read.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from vsmmu.errors import InputRefused

__all__ = ["MAX_BYTES", "IdMapping", "Iort", "RootComplex", "Smmu", "parse_iort"]

MAX_BYTES: Final = 1 << 20
_MAX_NODES: Final = 4096
_MAX_MAPPINGS: Final = 65536

_HEADER: Final = struct.Struct("<4sI28x")  # signature, length; revision, checksum, OEM fields
_TABLE: Final = struct.Struct("<III")  # node_count, node_offset, reserved
_NODE: Final = struct.Struct("<BHBIII")  # type, length, revision, identifier, mapping_count, mapping_offset
_MAPPING: Final = struct.Struct("<IIIII")  # input_base, id_count, output_base, output_reference, flags
_ROOT: Final = struct.Struct(
    "<IBHBII"
)  # cache_coherency, hints, reserved, memory_flags, ats_attribute, segment
_SMMU: Final = struct.Struct("<QI4xQI")  # base, flags, reserved, vatos, model

_TYPE_ROOT_COMPLEX: Final = 2
_TYPE_SMMU_V3: Final = 4
_MAPPING_SINGLE: Final = 1 << 0
_ATS_SUPPORTED: Final = 1 << 0
_MEMORY_CPM: Final = 1 << 0
_MEMORY_CANWBS: Final = 1 << 2
_SMMU_COHACC_OVERRIDE: Final = 1 << 0


class IdMapping(NamedTuple):
    """Input ids ``first``..``last`` become ``output`` + (id - first) at the node at offset ``target``."""

    first: int
    last: int
    output: int
    target: int
    single: bool


class Smmu(NamedTuple):
    """An SMMUv3 node.

    :param coherent: whether the firmware overrides IDR0.COHACC with "coherent".
    :param model: 0 generic, 1 HiSilicon HI161X, 2 Cavium CN99xx.
    """

    offset: int
    base: int
    coherent: bool
    model: int

    @property
    def name(self) -> str:
        """The name that the kernel gives to this SMMU in sysfs."""
        return f"smmu3.{self.base:#018x}"


class RootComplex(NamedTuple):
    """A PCI root complex node.

    :param ats: whether ATS is supported (ats_attribute bit 0); without it the kernel never enables ATS.
    :param canwbs: whether device accesses are coherent whatever the page tables say (memory flags bit 2);
        nesting needs it, or stage 2 forced write-back.
    """

    segment: int
    ats: bool
    canwbs: bool
    coherent_path: bool
    mappings: tuple[IdMapping, ...]


class Iort(NamedTuple):
    """The table, reduced to what matters here."""

    smmus: tuple[Smmu, ...]
    roots: tuple[RootComplex, ...]

    def root(self, segment: int) -> RootComplex | None:
        """The root complex of a PCI segment: the first, as the kernel takes it."""
        return next((root for root in self.roots if root.segment == segment), None)

    def smmu_of(self, segment: int, requester: int) -> Smmu | None:
        """The SMMU that sees requester id ``bus << 8 | devfn`` of a segment; None if none does."""
        root = self.root(segment)
        if root is None:
            return None
        for mapping in root.mappings:
            if mapping.first <= requester <= mapping.last:
                return next((smmu for smmu in self.smmus if smmu.offset == mapping.target), None)
        return None


def parse_iort(data: bytes) -> Iort:
    """Read a table.

    :raise InputRefused: ``iort-malformed``.
    """
    if not _HEADER.size + _TABLE.size <= len(data) <= MAX_BYTES:
        raise _refuse(f"{len(data)} bytes are no IORT")
    signature, length = _HEADER.unpack_from(data)
    if signature != b"IORT" or length > len(data) or length < _HEADER.size + _TABLE.size:
        raise _refuse(f"the header says {signature!r} and {length} bytes, the table has {len(data)}")
    data = data[:length]
    if sum(data) & 0xFF:
        raise _refuse("the checksum is wrong")
    count, offset, _ = _TABLE.unpack_from(data, _HEADER.size)
    if count > _MAX_NODES:
        raise _refuse(f"{count} nodes, more than {_MAX_NODES}")
    smmus, roots = [], []
    for _ in range(count):
        kind, size, mapping_count, mapping_offset = _node(data, offset)
        if kind == _TYPE_SMMU_V3:
            smmus.append(_smmu(data, offset, size))
        elif kind == _TYPE_ROOT_COMPLEX:
            roots.append(
                _root(data, offset, size, _mappings(data, offset, size, mapping_count, mapping_offset))
            )
        offset += size
    return Iort(tuple(smmus), tuple(roots))


def _node(data: bytes, offset: int) -> tuple[int, int, int, int]:
    if offset + _NODE.size > len(data):
        raise _refuse(f"a node at {offset:#x} lies outside")
    kind, size, _, _, mapping_count, mapping_offset = _NODE.unpack_from(data, offset)
    if size < _NODE.size or offset + size > len(data):
        raise _refuse(f"the node at {offset:#x} has {size} bytes")
    return kind, size, mapping_count, mapping_offset


def _smmu(data: bytes, offset: int, size: int) -> Smmu:
    if size < _NODE.size + _SMMU.size:
        raise _refuse(f"the SMMUv3 node at {offset:#x} is too short")
    base, flags, _, model = _SMMU.unpack_from(data, offset + _NODE.size)
    return Smmu(offset, base, bool(flags & _SMMU_COHACC_OVERRIDE), model)


def _root(data: bytes, offset: int, size: int, mappings: tuple[IdMapping, ...]) -> RootComplex:
    if size < _NODE.size + _ROOT.size:
        raise _refuse(f"the root complex node at {offset:#x} is too short")
    _, _, _, memory, ats, segment = _ROOT.unpack_from(data, offset + _NODE.size)
    return RootComplex(
        segment=segment,
        ats=bool(ats & _ATS_SUPPORTED),
        canwbs=bool(memory & _MEMORY_CANWBS),
        coherent_path=bool(memory & _MEMORY_CPM),
        mappings=mappings,
    )


def _mappings(data: bytes, offset: int, size: int, count: int, start: int) -> tuple[IdMapping, ...]:
    if count > _MAX_MAPPINGS or (count and start + count * _MAPPING.size > size):
        raise _refuse(f"the node at {offset:#x} has {count} id mappings, more than fit")
    found = []
    for first, span, output, target, flags in _MAPPING.iter_unpack(
        data[offset + start : offset + start + count * _MAPPING.size]
    ):
        # id_count is the number of ids minus one; a single mapping takes every input.
        single = bool(flags & _MAPPING_SINGLE)
        found.append(
            IdMapping(0 if single else first, 0xFFFFFFFF if single else first + span, output, target, single)
        )
    return tuple(found)


def _refuse(why: str) -> InputRefused:
    return InputRefused(
        "iort-malformed",
        "the firmware's IORT cannot be read",
        where="/sys/firmware/acpi/tables/IORT",
        why=why,
        next="report it to the firmware's vendor; the kernel log says what Linux made of it",
    )
