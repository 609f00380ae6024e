# SPDX-License-Identifier: Apache-2.0
"""The IORT: a table built here, tables that lie, and arbitrary bytes."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from iort_table import node, root, smmu, table

from vsmmu.errors import InputRefused, VsmmuError
from vsmmu.probe.iort import MAX_BYTES, RootComplex, parse_iort


def test_a_root_complex_promises() -> None:
    assert parse_iort(table(smmu(), root(segment=2, ats=1, memory=0b111))) == (RootComplex(2, True, True),)


@pytest.mark.parametrize(("ats", "memory", "promised"), [(1, 0, (True, False)), (0, 4, (False, True))])
def test_each_bit_promises_its_own(ats: int, memory: int, promised: tuple[bool, bool]) -> None:
    assert parse_iort(table(root(ats=ats, memory=memory))) == (RootComplex(0, *promised),)


def test_without_the_bits_nothing_is_promised() -> None:
    assert parse_iort(table(smmu(), root(ats=0b110, memory=0b011))) == (RootComplex(0, False, False),)


def test_root_complexes_keep_their_order() -> None:
    found = parse_iort(table(smmu(), root(segment=2, ats=1), root(segment=1), root(segment=2, ats=0)))
    assert [(entry.segment, entry.ats) for entry in found] == [(2, True), (1, False), (2, False)]


def test_other_nodes_are_passed_over() -> None:
    assert parse_iort(table(node(0, bytes(8)), node(99, b""), smmu(), node(4, bytes(4)))) == ()


def broken() -> dict[str, bytes]:
    good = table(smmu(), root())
    wrong_sum = bytearray(good)
    wrong_sum[9] ^= 1
    return {
        "empty": b"",
        "short": good[:40],
        "another table": b"APIC" + good[4:],
        "cut": good[:-4],
        "length": good[:4] + struct.pack("<I", 20) + good[8:],
        "checksum": bytes(wrong_sum),
        "too many nodes": table(smmu(), count=5000),
        "a node outside": table(smmu(), count=2),
        "a node of no size": table(struct.pack("<BHBIII", 4, 0, 0, 0, 0, 0)),
        "a node beyond the end": table(struct.pack("<BHBIII", 4, 900, 0, 0, 0, 0)),
        "a short root complex": table(node(2, bytes(4))),
        "huge": bytes(MAX_BYTES + 1),
    }


@pytest.mark.parametrize("name", broken())
def test_a_table_that_contradicts_itself_is_refused(name: str) -> None:
    with pytest.raises(InputRefused, match="iort-malformed"):
        parse_iort(broken()[name])


@given(st.binary(max_size=400))
def test_arbitrary_bytes(data: bytes) -> None:
    tolerant(data)


@given(st.binary(max_size=400), st.integers(0, 20))
def test_arbitrary_bytes_behind_a_good_header(data: bytes, count: int) -> None:
    tolerant(table(data, count=count))


@given(st.data())
def test_damage_to_a_good_table(data: st.DataObject) -> None:
    good = bytearray(table(smmu(), root(), node(0, bytes(8))))
    for place in data.draw(st.lists(st.integers(44, len(good) - 1), max_size=4)):
        good[place] = data.draw(st.integers(0, 255))
    good[9] = (good[9] - sum(good)) & 0xFF
    tolerant(bytes(good))


def tolerant(data: bytes) -> None:
    try:
        parse_iort(data)
    except VsmmuError as error:
        assert error.code == "iort-malformed"  # noqa: PT017 - either outcome is good
