# SPDX-License-Identifier: Apache-2.0
"""Every code has an explanation, and each says something of its own."""

from __future__ import annotations

import re
from typing import get_args, get_type_hints

import pytest

from vsmmu.codes import message_causes
from vsmmu.explanation.table import all_codes, explain_code, fill, nearest_codes, nearest_property
from vsmmu.qemu.names import NameFault
from vsmmu.qemu.texts import MESSAGES
from vsmmu.smmuv3.fields import FIELDS
from vsmmu.smmuv3.properties import REGISTER_PROPERTIES


def test_each_message_has_a_cause_and_each_cause_a_message() -> None:
    assert set(message_causes()) == set(MESSAGES)
    assert all(row.cause and not row.next for row in message_causes().values())


@pytest.mark.parametrize("code", list(all_codes()))
def test_an_explanation_is_whole(code: str) -> None:
    found = explain_code(code)
    assert found is not None
    assert found.cause
    assert found.mend
    whole = " ".join((found.cause, found.about, found.since, found.mend, found.costs))
    assert "{" not in whole
    assert "}" not in whole


def test_registers_are_those_of_the_table() -> None:
    named = {key for row in message_causes().values() for key in re.findall(r"IDR\d\.\w+", row.about)}
    assert named <= set(FIELDS)
    for entry in REGISTER_PROPERTIES:
        found = explain_code(entry.host_message)
        assert found is not None
        assert entry.source_field.title in found.about
        assert f"{entry.source}{entry.source_field.bits}" in found.about


def test_each_code_of_a_name_fault_is_explained() -> None:
    for code in get_args(get_type_hints(NameFault)["code"]):
        assert explain_code(code) is not None, code


@pytest.mark.parametrize(
    ("written", "meant"), [("qemu-rill", "qemu-ril"), ("no-cold-plug", "qemu-no-cold-plug"), ("xyzzy", None)]
)
def test_a_misspelt_code_has_a_nearest(written: str, meant: str | None) -> None:
    near = nearest_codes(written)
    assert meant in near if meant else near == []


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("acell", "accel"),
        ("ats", "ats"),
        ("ssid_size", "ssidsize"),
        ("primary_bus", "primary-bus"),
        ("vm", ""),
    ],
)
def test_a_misspelt_property_is_known(written: str, meant: str) -> None:
    assert nearest_property(written) == meant


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("write ssidsize={host}, or less", "write ssidsize=5, or less"),
        ("an expander{known}, or 0", "an expander, or 0"),
        ("QEMU {qemu} has none", "this QEMU has none"),
        ("give {device} {written!r}", "give DEVICE WRITTEN"),
    ],
)
def test_places_are_filled(text: str, filled: str) -> None:
    assert fill(text, {"host": "5"}) == filled
