# SPDX-License-Identifier: Apache-2.0
"""ATS and PASID from configuration spaces, good ones and others."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from fake_host import FakeHost, config_space
from vsmmu.probe.pci_config import Capabilities, parse_capabilities, read_capabilities

ATS, PASID, OTHER = 0x0F, 0x1B, 0x10


def parse(data: bytes) -> Capabilities | None:
    def read(offset: int) -> int | None:
        return struct.unpack_from("<I", data, offset)[0] if offset + 4 <= len(data) else None

    return parse_capabilities(read)


def pasid(width: int) -> bytes:
    return struct.pack("<HH", width << 8 | 0b110, 0)


def test_both() -> None:
    assert parse(config_space((OTHER, b"\0" * 8), (ATS, b"\0" * 4), (PASID, pasid(20)))) == Capabilities(
        True, 20
    )


def test_neither() -> None:
    assert parse(config_space((OTHER, b""))) == Capabilities(False, None)
    assert parse(config_space()) == Capabilities(False, None)


def test_an_unprivileged_reader_learns_nothing() -> None:
    assert parse(bytes(64)) is None


def test_a_device_that_does_not_answer_says_nothing() -> None:
    assert parse(b"\xff" * 4096) is None


def test_a_chain_in_a_circle_ends() -> None:
    data = bytearray(config_space((ATS, bytes(4))))
    struct.pack_into("<I", data, 0x100, ATS | 1 << 16 | 0x100 << 20)
    assert parse(bytes(data)) == Capabilities(True, None)


def test_a_capability_at_the_very_end_is_not_read_beyond_it() -> None:
    data = bytearray(config_space())
    struct.pack_into("<I", data, 0x100, OTHER | 1 << 16 | 0xFFC << 20)
    struct.pack_into("<I", data, 0xFFC, PASID | 1 << 16)
    assert parse(bytes(data)) is None


@given(st.binary(min_size=0, max_size=0xF00), st.booleans())
def test_arbitrary_bytes(data: bytes, padded: bool) -> None:
    space = bytes(0x100) + data
    result = parse(space.ljust(4096, b"\0") if padded else space)
    assert result is None or result.pasid_bits is None or 0 <= result.pasid_bits <= 31


def dvsec(vendor: int, number: int, can: int) -> bytes:
    return struct.pack("<HHHH", vendor, 12 << 4, number, can)


def test_cxl_cache_is_a_bit_of_the_first_dvsec_of_cxl() -> None:
    other, port = dvsec(0x8086, 0, 1), dvsec(0x1E98, 3, 1)
    for can, answer in ((0b111, True), (0b110, False)):
        space = config_space((0x23, other), (0x23, port), (0x23, dvsec(0x1E98, 0, can)), (ATS, bytes(4)))
        assert parse(space) == Capabilities(True, None, answer)
    assert parse(config_space((0x23, other), (0x23, port))) == Capabilities(False, None, False)


def test_from_sysfs(fake: FakeHost) -> None:
    fake.function("0000:00:08.0", config=config_space((ATS, bytes(4)), (PASID, pasid(16))))
    fake.function("0000:00:09.0", config=bytes(256))
    fake.function("0000:00:0a.0", config=bytes(64))
    assert read_capabilities(fake.tree, "0000:00:08.0") == Capabilities(True, 16)
    assert read_capabilities(fake.tree, "0000:00:09.0") == Capabilities(False, None)
    assert read_capabilities(fake.tree, "0000:00:0a.0") is None
    assert read_capabilities(fake.tree, "0000:00:1f.7") is None
