# SPDX-License-Identifier: Apache-2.0
"""JSON as QEMU reads it."""

from __future__ import annotations

import pytest

from vsmmu.machine.command_line.qjson import JsonError, parse_object, quote
from vsmmu.machine.limits import MAX_JSON_DEPTH


def values(text: str) -> dict[str, object]:
    return {member.key: member.value for member in parse_object(text)}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{}", {}),
        (' {"a" : 1 } ', {"a": 1}),
        (
            '{"a":-1,"b":1.5,"c":1e3,"d":true,"e":false,"f":null}',
            {"a": -1, "b": 1.5, "c": 1000.0, "d": True, "e": False, "f": None},
        ),
        ('{"a":[1,[2],{}],"b":[]}', {"a": [1, [2], {}], "b": []}),
        ("{'a':'it\\'s'}", {"a": "it's"}),
        (r'{"a":"\"\\\/\b\f\n\r\t\u00e9"}', {"a": '"\\/\b\f\n\r\té'}),
        (r'{"a":"\ud83d\ude00!"}', {"a": "😀!"}),
        ('{"a":18446744073709551615}', {"a": (1 << 64) - 1}),
        ('{"a":18446744073709551616}', {"a": float(1 << 64)}),
        ('{"a":-9223372036854775809}', {"a": float(-(1 << 63) - 1)}),
        ('{"a":' + "9" * 5000 + "}", {"a": float("inf")}),
    ],
)
def test_reads(text: str, expected: dict[str, object]) -> None:
    assert values(text) == expected


@pytest.mark.parametrize(
    ("text", "what", "offset"),
    [
        ("{", "premature end of input", 1),
        ('{"a"', "premature end of input", 4),
        ('{"a":', "premature end of input", 5),
        ('{"a":1', "premature end of input", 6),
        ('{"a":[1', "premature end of input", 7),
        ('{"a":1,}', "expecting key", 7),
        ("{a:1}", "expecting key", 1),
        ('{"a" 1}', "missing ':'", 5),
        ('{"a":1 "b":2}', "expected ',' or '}'", 7),
        ('{"a":[1 2]}', "expected ',' or ']'", 8),
        ('{"a":1,"a":2}', "duplicate key 'a'", 7),
        ('{"a":{"b":1,"b":2}}', "duplicate key 'b'", 12),
        ('{"a":nope}', "invalid keyword 'nope'", 5),
        ('{"a":01}', "not a number", 5),
        ('{"a":-}', "not a number", 5),
        ('{"a":1.}', "not a number", 5),
        ('{"a":%s}', "unexpected '%'", 5),
        ('{"a":"b', "a string that does not end", 5),
        ('{"a":"b\tc"}', "control character", 5),
        (r'{"a":"\x"}', "invalid escape sequence", 6),
        (r'{"a":"\ud83d"}', "half a surrogate", 12),
        (r'{"a":"\ud83dx"}', "half a surrogate", 12),
        (r'{"a":"\ud83d\n"}', "half a surrogate", 12),
        (r'{"a":"\ud83d\u0041"}', "half a surrogate", 18),
        ('{"a":(1)}', "unexpected '('", 5),
        (r'{"a":"\ude00"}', "not a character", 6),
        (r'{"a":"\u0000"}', "not a character", 6),
        ('{"a":1} // c', "at most one JSON value", 8),
        ("[1]", "expecting an object", 0),
        ("", "expecting an object", 0),
    ],
)
def test_refuses_with_the_place(text: str, what: str, offset: int) -> None:
    with pytest.raises(JsonError) as caught:
        parse_object(text)
    assert what in str(caught.value)
    assert caught.value.offset == offset


@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_depth_is_bounded(opening: str) -> None:
    with pytest.raises(JsonError, match="nested more than"):
        parse_object('{"a":' + opening * 100_000)
    closing = {"[": "]", '{"a":': "}"}[opening]
    levels = MAX_JSON_DEPTH - 1
    assert values(
        '{"a":' + opening * (levels - 1) + ("[]" if opening == "[" else "{}") + closing * (levels - 1) + "}"
    )


def test_members_name_their_places() -> None:
    text = '{ "a" : "b", "c":{"d":1} }'
    first, second = parse_object(text)
    assert text[first.key_start : first.key_end] == '"a"'
    assert text[first.value_start : first.value_end] == '"b"'
    assert text[second.value_start : second.value_end] == '{"d":1}'


def test_quote() -> None:
    assert quote('a"\\\n') == '"a\\"\\\\\\u000a"'
    assert quote("a'", "'") == "'a\\''"
