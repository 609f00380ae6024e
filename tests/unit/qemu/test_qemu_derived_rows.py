# SPDX-License-Identifier: Apache-2.0
"""Which rows of a version no binary was asked for."""

from __future__ import annotations

import re

import pytest

from vsmmu.qemu.derived_rows import derived_rows
from vsmmu.qemu.device_tables import CERTAIN, DERIVED
from vsmmu.qemu.texts import MESSAGES
from vsmmu.qemu.versions import parse_version


@pytest.mark.parametrize("version", ["10.2", "11.1"])
def test_a_version_whose_binary_was_asked_has_none(version: str) -> None:
    assert derived_rows(parse_version(version)) == ()


def test_every_derived_row_of_11_0_is_named_with_its_source() -> None:
    rows = derived_rows(parse_version("11.0"))
    text = "\n".join(row.row for row in rows)
    for removed in DERIVED[11, 0]:
        assert all(name in text for name in (removed.type, *removed.names))
    assert all(name in text for name in CERTAIN[(11, 0), "arm-smmuv3"])
    assert [code for code in MESSAGES if code.endswith("-11.0") and code not in text] == []
    assert all(re.search(r"[0-9a-f]{10}|QEMU 1[01]", row.source) for row in rows)


def test_where_the_binary_was_asked_its_names_are_not_derived() -> None:
    asked = parse_version("11.0")._replace(own_table=lambda: b"")
    assert "arm-smmuv3 without" not in "\n".join(row.row for row in derived_rows(asked))


def test_of_a_newer_version_every_row_is_the_newest_known_one() -> None:
    (row,) = derived_rows(parse_version("12.3"))
    assert (row.row, "11.1" in row.source) == ("every row", True)
