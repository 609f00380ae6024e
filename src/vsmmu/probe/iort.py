# SPDX-License-Identifier: Apache-2.0
"""The ACPI IORT table: the SMMU behind a root complex, and the root complex' attributes.

Source: Arm DEN 0049 (I/O Remapping Table), structures as in the kernel's include/acpi/actbl2.h. The table
comes from firmware: nothing in it is believed without looking, and a table that contradicts itself is
refused, never half read.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from vsmmu.errors import InputRefused

__all__ = ["MAX_BYTES", "RootComplex", "parse_iort"]

MAX_BYTES: Final = 1 << 20
_MAX_NODES: Final = 4096

_HEADER: Final = struct.Struct("<4sI28x")  # signature, length; revision, checksum, OEM fields
_TABLE: Final = struct.Struct("<III")  # node_count, node_offset, reserved
_NODE: Final = struct.Struct("<BH13x")  # type, length; revision, identifier, mapping count and offset
# (cache_coherency, hints, reserved,) memory_flags, ats_attribute, segment
_ROOT: Final = struct.Struct("<7xBII")

_TYPE_ROOT_COMPLEX: Final = 2
_ATS_SUPPORTED: Final = 1 << 0
_MEMORY_CANWBS: Final = 1 << 2


class RootComplex(NamedTuple):
    """A PCI root complex node.

    :param ats: whether ATS is supported (ats_attribute bit 0); without it the kernel never enables ATS.
    :param canwbs: whether device accesses are coherent whatever the page tables say (memory flags bit 2);
        nesting needs it, or stage 2 forced write-back.
    """

    segment: int
    ats: bool
    canwbs: bool


def parse_iort(data: bytes) -> tuple[RootComplex, ...]:
    """Read the root complexes of a table, in its order.

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
    roots = []
    for _ in range(count):
        kind, size = _node(data, offset)
        if kind == _TYPE_ROOT_COMPLEX:
            roots.append(_root(data, offset, size))
        offset += size
    return tuple(roots)


def _node(data: bytes, offset: int) -> tuple[int, int]:
    """The type and size of the node at an offset."""
    if offset + _NODE.size > len(data):
        raise _refuse(f"a node at {offset:#x} lies outside")
    kind, size = _NODE.unpack_from(data, offset)
    if size < _NODE.size or offset + size > len(data):
        raise _refuse(f"the node at {offset:#x} has {size} bytes")
    return kind, size


def _root(data: bytes, offset: int, size: int) -> RootComplex:
    if size < _NODE.size + _ROOT.size:
        raise _refuse(f"the root complex node at {offset:#x} is too short")
    memory, ats, segment = _ROOT.unpack_from(data, offset + _NODE.size)
    return RootComplex(segment, ats=bool(ats & _ATS_SUPPORTED), canwbs=bool(memory & _MEMORY_CANWBS))


def _refuse(why: str) -> InputRefused:
    return InputRefused(
        "iort-malformed",
        "the firmware's IORT cannot be read",
        where="/sys/firmware/acpi/tables/IORT",
        why=why,
        next="report it to the firmware's vendor; the kernel log says what Linux made of it",
    )
