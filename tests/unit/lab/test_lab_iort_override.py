# SPDX-License-Identifier: Apache-2.0
"""The IORT with CANWBS."""

from __future__ import annotations

import struct

import pytest

from vsmmu.errors import InputRefused
from vsmmu.lab.iort_override import INITRD_PATH, override_initrd, with_canwbs

ITS_GROUP, ROOT_COMPLEX, SMMUV3 = 0, 2, 4


def node(kind: int, body: bytes) -> bytes:
    """A node without mappings."""
    return struct.pack("<BHBIII", kind, 16 + len(body), 1, 0, 0, 0) + body


def root_complex(flags: int = 0x03) -> bytes:
    memory_access = struct.pack("<IBHB", 1, 0, 0, flags)
    return node(ROOT_COMPLEX, memory_access + struct.pack("<IIB3x", 0, 0, 64))


def iort(*nodes: bytes, revision: int = 1) -> bytes:
    body = struct.pack("<III", len(nodes), 48, 0) + b"".join(nodes)
    header = struct.pack(
        "<4sIBB6s8sI4sI", b"IORT", 36 + len(body), 5, 0, b"BOCHS ", b"BXPC    ", revision, b"", 1
    )
    table = bytearray(header + body)
    table[9] = -sum(table) % 256
    return bytes(table)


def test_only_flag_revision_and_checksum_change() -> None:
    table = iort(node(ITS_GROUP, bytes(8)), node(SMMUV3, bytes(52)), root_complex())
    patched = with_canwbs(table)
    flags_at = 48 + 24 + 68 + 16 + 7
    assert patched[flags_at] == 0x07
    assert struct.unpack_from("<I", patched, 24) == (2,)
    assert sum(patched) % 256 == 0
    different = {at for at, pair in enumerate(zip(table, patched, strict=True)) if pair[0] != pair[1]}
    assert different == {9, 24, flags_at}


def test_every_root_complex_gets_it() -> None:
    patched = with_canwbs(iort(root_complex(), node(ITS_GROUP, bytes(8)), root_complex(0)))
    assert (patched[48 + 23], patched[48 + 36 + 24 + 23]) == (0x07, 0x04)


def test_the_revision_carries_into_the_next_byte() -> None:
    assert struct.unpack_from("<I", with_canwbs(iort(root_complex(), revision=0xFF)), 24) == (0x100,)


def test_the_initrd_has_it_where_the_kernel_looks() -> None:
    table = iort(root_complex())
    archive = override_initrd(table)
    assert INITRD_PATH.encode() + b"\0" in archive
    assert with_canwbs(table) in archive


def damaged(table: bytes, at: int, value: bytes) -> bytes:
    """*table* with other bytes and a right checksum."""
    changed = bytearray(table)
    changed[at : at + len(value)] = value
    changed[9] = 0
    changed[9] = -sum(changed) % 256
    return bytes(changed)


GOOD = iort(root_complex())


@pytest.mark.parametrize(
    ("table", "why"),
    [
        (b"", "signature"),
        (b"APIC" + GOOD[4:], "signature"),
        (GOOD[:-1], "header says 84 bytes, it has 83"),
        (GOOD[:9] + bytes([GOOD[9] ^ 1]) + GOOD[10:], "checksum"),
        (iort(node(SMMUV3, bytes(52))), "no PCI root complex"),
        (iort(node(ROOT_COMPLEX, b"")), "is cut off"),
        (damaged(GOOD, 40, struct.pack("<I", 0xFFFF)), "beyond the table"),
        (damaged(GOOD, 36, struct.pack("<I", 2)), "beyond the table"),
        (damaged(GOOD, 49, struct.pack("<H", 3)), "has length 3"),
        (damaged(GOOD, 49, struct.pack("<H", 0xFFFF)), "has length 65535"),
    ],
)
def test_what_is_no_sound_iort_is_refused(table: bytes, why: str) -> None:
    with pytest.raises(InputRefused) as caught:
        with_canwbs(table)
    assert why in caught.value.why
    assert caught.value.code == "iort-malformed"
