# SPDX-License-Identifier: Apache-2.0
"""The IORT: a table built here, tables that lie, and arbitrary bytes."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from iort_table import BASE, node, root, smmu, table

from vsmmu.errors import InputRefused, VsmmuError
from vsmmu.probe.iort import MAX_BYTES, parse_iort


def test_a_root_complex_leads_to_its_smmu() -> None:
    iort = parse_iort(table(smmu(flags=1), root(ats=1, memory=0b111)))
    found = iort.smmu_of(0, 0x28)
    assert found is not None
    assert (found.base, found.name, found.coherent) == (BASE, "smmu3.0x0000000009050000", True)
    assert iort.roots[0].ats
    assert iort.roots[0].canwbs
    assert iort.roots[0].coherent_path


def test_without_the_bits_nothing_is_promised() -> None:
    iort = parse_iort(table(smmu(), root(ats=0b110, memory=0b001)))
    assert not iort.roots[0].ats
    assert not iort.roots[0].canwbs


def test_id_count_is_the_number_minus_one() -> None:
    iort = parse_iort(table(smmu(), root(span=0xFF)))
    assert iort.smmu_of(0, 0xFF)
    assert iort.smmu_of(0, 0x100) is None


def test_a_single_mapping_takes_every_requester() -> None:
    assert parse_iort(table(smmu(), root(span=0, flags=1))).smmu_of(0, 0xFFFF)


def test_segments_are_told_apart_and_the_first_of_equals_counts() -> None:
    iort = parse_iort(table(smmu(), root(segment=2, ats=1), root(segment=2, ats=0)))
    assert iort.root(0) is None
    assert iort.smmu_of(0, 0) is None
    first = iort.root(2)
    assert first is not None
    assert first.ats


def test_other_nodes_are_passed_over() -> None:
    iort = parse_iort(table(node(0, bytes(8)), node(99, b""), smmu()))
    assert len(iort.smmus) == 1
    assert iort.smmu_of(0, 0) is None


def test_a_mapping_to_something_else_than_an_smmu_is_none() -> None:
    assert parse_iort(table(node(0, bytes(8)), root(target=48))).smmu_of(0, 5) is None


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
        "a short SMMU": table(node(4, bytes(4))),
        "a short root complex": table(node(2, bytes(4))),
        "mappings beyond the node": table(struct.pack("<BHBIII", 2, 40, 0, 0, 7, 16) + bytes(24)),
        "too many mappings": table(struct.pack("<BHBIII", 2, 40, 0, 0, 0xFFFFFFFF, 16) + bytes(24)),
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
        iort = parse_iort(data)
    except VsmmuError as error:
        assert error.code == "iort-malformed"  # noqa: PT017 - either outcome is good
    else:
        iort.smmu_of(0, 0)
