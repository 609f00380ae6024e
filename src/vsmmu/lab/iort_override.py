# SPDX-License-Identifier: Apache-2.0
"""The IORT of the lab host with CANWBS set, as the initrd that makes the kernel take it instead.

``arm-smmu-v3`` refuses IOMMU_VIOMMU_ALLOC unless the SMMU has S2FWB or the root complex promises
that accesses cannot bypass the cache (CANWBS). QEMU's emulated SMMU has neither, and its firmware tables do
not say the second, so the lab says it: nothing in an emulated machine is incoherent. The kernel
replaces a table by one of a higher OEM revision that it finds in the initrd (CONFIG_ACPI_TABLE_UPGRADE).

Arm DEN0049, IO Remapping Table: the memory-access properties of a PCI root complex node are the eight bytes
at offset 16 of the node; their last byte holds the flags CPM (bit 0), DACS (bit 1) and CANWBS (bit 2).
"""

from __future__ import annotations

import struct

from vsmmu.errors import InputRefused
from vsmmu.lab import cpio

__all__ = ["INITRD_PATH", "override_initrd", "with_canwbs"]

#: Where the kernel looks in an uncompressed initrd (admin-guide/acpi/initrd_table_override.rst).
INITRD_PATH = "kernel/firmware/acpi/iort.aml"

_ACPI_HEADER = 36
_LENGTH_AT = 4
_CHECKSUM_AT = 9
_OEM_REVISION_AT = 24
_NODE_HEADER = 16
_TYPE_PCI_ROOT_COMPLEX = 2
_MEMORY_FLAGS_AT = 16 + 7
_CANWBS = 1 << 2


def _refused(why: str) -> InputRefused:
    return InputRefused(
        "iort-malformed",
        "cannot set CANWBS in this IORT",
        why=why,
        next="report it: the lab's firmware makes this table",
    )


def _nodes(table: bytes) -> list[tuple[int, int]]:
    """Offset and type of every node, each checked to lie inside the table."""
    count, offset = struct.unpack_from("<II", table, _ACPI_HEADER)
    nodes = []
    for _ in range(count):
        if offset + _NODE_HEADER > len(table):
            raise _refused(f"a node at offset {offset} is beyond the table's {len(table)} bytes")
        kind, length = struct.unpack_from("<BH", table, offset)
        if length < _NODE_HEADER or offset + length > len(table):
            raise _refused(f"the node at offset {offset} has length {length}")
        nodes.append((offset, kind))
        offset += length
    return nodes


def with_canwbs(table: bytes) -> bytes:
    """The same IORT with CANWBS on every PCI root complex, a higher OEM revision and a right checksum.

    :raise InputRefused: if it is not an IORT, is damaged, or has no root complex.
    """
    if len(table) < _ACPI_HEADER + 8 or table[:4] != b"IORT":
        raise _refused("it does not begin with the signature IORT")
    (length,) = struct.unpack_from("<I", table, _LENGTH_AT)
    if length != len(table):
        raise _refused(f"its header says {length} bytes, it has {len(table)}")
    if sum(table) % 256:
        raise _refused("its checksum is wrong")
    complexes = [offset for offset, kind in _nodes(table) if kind == _TYPE_PCI_ROOT_COMPLEX]
    if not complexes:
        raise _refused("it has no PCI root complex")
    patched = bytearray(table)
    for offset in complexes:
        if offset + _MEMORY_FLAGS_AT >= len(patched):
            raise _refused(f"the root complex at offset {offset} is cut off")
        patched[offset + _MEMORY_FLAGS_AT] |= _CANWBS
    (revision,) = struct.unpack_from("<I", patched, _OEM_REVISION_AT)
    struct.pack_into("<I", patched, _OEM_REVISION_AT, revision + 1)
    patched[_CHECKSUM_AT] = 0
    patched[_CHECKSUM_AT] = -sum(patched) % 256
    return bytes(patched)


def override_initrd(table: bytes) -> bytes:
    """The initrd that replaces the firmware's IORT by *table* with CANWBS."""
    return cpio.archive({INITRD_PATH: with_canwbs(table)})
