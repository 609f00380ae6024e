# SPDX-License-Identifier: Apache-2.0
"""Positions of register fields against those in the headers of Linux and QEMU, copied with their source."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from vsmmu.smmuv3.fields import FIELDS, REGISTERS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vsmmu.smmuv3.fields import Field

SOURCES = json.loads((Path(__file__).parents[2] / "golden" / "register-positions.json").read_bytes())
#: What a header calls otherwise than the architecture.
OURS = {
    "IDR0.STLEVEL": "IDR0.ST_LEVEL",
    "IDR0.ST_LVL": "IDR0.ST_LEVEL",
    "IDR1.EVTQS": "IDR1.EVENTQS",
    "IDR3.BBM": "IDR3.BBML",
    "IIDR.IMPLEMENTER": "IIDR.Implementer",
    "IIDR.PRODUCTID": "IIDR.ProductID",
    "IIDR.REVISION": "IIDR.Revision",
    "IIDR.VARIANT": "IIDR.Variant",
}
#: Fields that neither header names: from the architecture alone (IHI 0070, section 6.3).
ARCHITECTURE = {
    "IDR4.IMPDEF": [31, 0],
    "IDR5.D128": [8, 8],
    "AIDR.ArchMinorRev": [3, 0],
    "AIDR.ArchMajorRev": [7, 4],
}


def wrong(fields: Mapping[str, Field]) -> list[str]:
    """The fields that stand elsewhere than a source has them, or that it has and the table lacks."""
    copies = [source["fields"] for source in SOURCES] + [ARCHITECTURE]
    found = set()
    for copy in copies:
        for name, position in copy.items():
            entry = fields.get(OURS.get(name, name))
            if entry is None or [entry.msb, entry.lsb] != position:
                found.add(OURS.get(name, name))
    return sorted(found)


def test_every_field_stands_where_the_headers_have_it() -> None:
    assert wrong(FIELDS) == []


def test_every_field_is_in_a_header_or_said_not_to_be() -> None:
    named = {OURS.get(name, name) for source in SOURCES for name in source["fields"]}
    assert FIELDS.keys() - named == ARCHITECTURE.keys()


@pytest.mark.parametrize("key", FIELDS)
@pytest.mark.parametrize(("msb", "lsb"), [(1, 1), (-1, -1), (1, 0), (0, 1)])
def test_a_field_that_is_moved_is_seen(key: str, msb: int, lsb: int) -> None:
    entry = FIELDS[key]
    moved = entry._replace(msb=entry.msb + msb, lsb=entry.lsb + lsb)
    assert wrong({**FIELDS, key: moved}) == [key]


def test_registers_stand_where_the_headers_have_them() -> None:
    for source in SOURCES:
        assert source["offsets"].items() <= REGISTERS.items(), source["source"]
    assert {name for source in SOURCES for name in source["offsets"]} == REGISTERS.keys()
