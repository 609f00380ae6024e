# SPDX-License-Identifier: Apache-2.0
"""The configuration space, read by the project's own parser of real ones."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vsmmu.emulate.config_space import SIZE, ConfigSpace, Identity
from vsmmu.probe.pci_config import parse_capabilities


def space(*, ats: bool = False, pasid: int | None = None) -> ConfigSpace:
    return ConfigSpace(Identity(0x10DE, 0x2941, 0x030200, ats, pasid))


def word(read: object, offset: int) -> int:
    return int(struct.unpack("<I", read(offset, 4))[0])  # type: ignore[operator]


@pytest.mark.parametrize("ats", [False, True])
@pytest.mark.parametrize("pasid", [None, 0, 4, 20])
def test_capabilities_are_those_of_the_facts(ats: bool, pasid: int | None) -> None:
    config = space(ats=ats, pasid=pasid)
    found = parse_capabilities(lambda offset: word(config.read, offset))
    assert found is not None
    assert (found.ats, found.pasid_bits) == (ats, pasid)
    # vfio-pci hides PASID and keeps the rest.
    found = parse_capabilities(lambda offset: word(config.vfio_read, offset))
    assert found is not None
    assert (found.ats, found.pasid_bits) == (ats, None)


def test_the_chain_of_capabilities_ends() -> None:
    config, seen = space(), []
    place = config.read(0x34, 1)[0]
    while place:
        seen.append(config.read(place, 1)[0])
        place = config.read(place + 1, 1)[0]
    assert seen == [0x01, 0x10, 0x05]


def test_identity() -> None:
    assert word(space().read, 0) == 0x294110DE
    assert word(space().read, 8) == 0x03020000


def test_a_bar_is_sized_by_writing_ones() -> None:
    config = space()
    config.write(0x10, b"\xff" * 4)
    assert word(config.read, 0x10) == 0xFFFFF000
    config.write(0x14, b"\xff" * 4)
    assert word(config.read, 0x14) == 0


@given(offset=st.integers(0, SIZE + 8), data=st.binary(max_size=16), ats=st.booleans())
def test_writes_change_what_hardware_would_let_change_and_reset_undoes_them(
    offset: int, data: bytes, ats: bool
) -> None:
    config = space(ats=ats, pasid=20)
    before = config.read(0, SIZE)
    config.write(offset, data)
    after = config.read(0, SIZE)
    assert len(after) == SIZE
    assert after[0:4] == before[0:4]
    assert after[8:16] == before[8:16]
    config.reset()
    assert config.read(0, SIZE) == before
