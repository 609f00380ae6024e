# SPDX-License-Identifier: Apache-2.0
"""QEMU's two key=value languages, with the oddities measured on 11.1.3."""

from __future__ import annotations

import pytest

from vsmmu.machine.command_line.keyval import escape, merged, opts_id, parse_keyval, parse_opts


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("a", [("driver", "a")]),
        ("a,", [("driver", "a")]),
        ("a,,b", [("driver", "a,b")]),
        ("a,,", [("driver", "a,")]),
        ("driver=a", [("driver", "a")]),
        ("x=1,driver=a", [("x", "1"), ("driver", "a")]),
        ("a,x=1,,2,y=3", [("driver", "a"), ("x", "1,2"), ("y", "3")]),
        ("a,x=1,,,y=3", [("driver", "a"), ("x", "1,"), ("y", "3")]),
        ("a,x=", [("driver", "a"), ("x", "")]),
        ("a,x=b=c", [("driver", "a"), ("x", "b=c")]),
        ("a,accel", [("driver", "a"), ("accel", "on")]),
        ("a,noaccel", [("driver", "a"), ("accel", "off")]),
        ("a,node", [("driver", "a"), ("de", "off")]),
        ("a,flag,,", [("driver", "a"), ("flag", "on"), ("", "on")]),
        (",a=1", [("driver", ""), ("a", "1")]),
        ("=x", [("", "x")]),
    ],
)
def test_opts(text: str, expected: list[tuple[str, str]]) -> None:
    assert [(pair.key, pair.value) for pair in parse_opts(text, "driver")] == expected


def test_opts_without_an_implied_key_reads_a_flag() -> None:
    assert [(pair.key, pair.value) for pair in parse_opts("a,b=1")] == [("a", "on"), ("b", "1")]


def test_the_last_of_repeated_keys_counts_but_the_first_id() -> None:
    pairs = parse_opts("a,x=1,id=A,x=2,id=B", "driver")
    assert merged(pairs) == {"driver": "a", "x": "2"}
    assert opts_id(pairs) == "A"


@pytest.mark.parametrize(
    ("text", "expected"), [("id,driver=a", "on"), ("noid,driver=a", "off"), ("a,x=1", None), ("a,id=", "")]
)
def test_id(text: str, expected: str | None) -> None:
    assert opts_id(parse_opts(text, "driver")) == expected


def test_offsets_name_what_is_written() -> None:
    text = "a,x=1,,2,flag"
    first, second, third = parse_opts(text, "driver")
    assert text[first.value_start : first.end] == "a"
    assert text[second.start : second.end] == "x=1,,2"
    assert text[second.value_start : second.end] == "1,,2"
    assert third.value_start == -1
    assert text[third.start : third.end] == "flag"


def test_escape() -> None:
    assert escape("a,b,,c") == "a,,b,,,,c"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("virt", [("type", "virt")]),
        ("virt,acpi=off,", [("type", "virt"), ("acpi", "off")]),
        ("acpi=off,type=virt", [("acpi", "off"), ("type", "virt")]),
        ("type=a,,b", [("type", "a,b")]),
        ("smp.cpus=4", [("smp.cpus", "4")]),
    ],
)
def test_keyval(text: str, expected: list[tuple[str, str]]) -> None:
    assert parse_keyval(text, "type") == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("acpi=off,virt", "Expected '=' after parameter 'virt'"),
        ("virt,acpi", "Expected '=' after parameter 'acpi'"),
        ("virt,,x=1", "Invalid parameter ''"),
        ("=x", "Invalid parameter ''"),
        ("help", "help"),
        ("virt,?", "help"),
    ],
)
def test_keyval_refuses_in_qemus_words(text: str, words: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_keyval(text, "type")
    assert str(caught.value) == words
