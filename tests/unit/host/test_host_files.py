# SPDX-License-Identifier: Apache-2.0
"""Facts as they are read: names fit to be printed, YAML by its name, and a file that has nothing yet."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vsmmu.errors import InputRefused
from vsmmu.host.builtin import builtin_host
from vsmmu.host.files import decode_host, encode_host, open_stream

if TYPE_CHECKING:
    from pathlib import Path

#: What a terminal acts on, what shows a text in another order than it has, and what ends a line.
UNFIT = [
    *range(0x20),
    *range(0x7F, 0xA0),
    0x061C,
    0x200E,
    0x200F,
    *range(0x2028, 0x202F),
    *range(0x2066, 0x206A),
]
PATTERNED = {
    "name": "a", "taken_at": "2026", "release": "7.3", "boot_id": "b", "smmu": "s", "device": "d",
    "address": "0009:01:00.0", "vendor": "10de", "class_code": "030200", "word": "0x12",
}  # fmt: skip


def document(**texts: str) -> bytes:
    given = PATTERNED | texts
    host = {
        "schema": "vsmmu.host/1",
        "name": given["name"],
        "taken_at": given["taken_at"],
        "kernel": {"release": given["release"], "boot_id": given["boot_id"]},
        "evidence": {"e": {"kind": "measured", "source": "test"}},
        "smmus": [
            {
                "name": given["smmu"],
                "device": given["device"],
                "registers": {"IDR0": {"value": given["word"], "evidence": "e"}},
            }
        ],
        "functions": [
            {"address": given["address"], "vendor": given["vendor"], "class_code": given["class_code"]}
        ],
    }
    return msgspec.json.encode(host)


@pytest.mark.parametrize(
    "data", [b"---\nname: a\n", b"# nodes\napiVersion: v1\nkind: List\n", b"- name: a\n"]
)
def test_yaml_is_called_so(data: bytes) -> None:
    with pytest.raises(InputRefused) as caught:
        decode_host(data, "x")
    assert caught.value.diagnostic.why.startswith("it looks like YAML")


@pytest.mark.parametrize("data", [b"", b"{", b"x", b"http://host", b'"name": 1'])
def test_what_is_no_yaml_is_not_called_so(data: bytes) -> None:
    with pytest.raises(InputRefused) as caught:
        decode_host(data, "x")
    assert "YAML" not in caught.value.diagnostic.why


@pytest.mark.parametrize("member", PATTERNED)
def test_no_text_of_facts_has_a_final_newline(member: str) -> None:
    assert decode_host(document(), "x").name == "a"
    with pytest.raises(InputRefused) as caught:
        decode_host(document(**{member: PATTERNED[member] + "\n"}), "x")
    assert caught.value.code == "facts-malformed"


@given(
    member=st.sampled_from([name for name in PATTERNED if len(PATTERNED[name]) < 5 and name != "vendor"]),
    mark=st.sampled_from(UNFIT).map(chr),
    around=st.tuples(st.text("aé漢-.:", max_size=3), st.text("aé漢-.:", max_size=3)),
)
def test_names_have_no_controls_and_one_direction(member: str, mark: str, around: tuple[str, str]) -> None:
    if member != "word":
        assert decode_host(document(**{member: "".join(around)}), "x")
    with pytest.raises(InputRefused):
        decode_host(document(**{member: mark.join(around)}), "x")


def test_builtin_hosts_have_fit_names() -> None:
    host = builtin_host("gb200")
    assert decode_host(encode_host(host), "x") == host


@pytest.mark.parametrize("read", ["read", "readline", "readlines", "peek", "read1"])
def test_a_file_that_has_nothing_yet_says_so(
    read: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As /proc/kmsg does; what Python gives for it, None, is what no reader looks for."""
    ours, theirs = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    monkeypatch.setattr("vsmmu.host.files.open_regular", lambda _: ours)
    with open_stream("kmsg") as stream:
        with pytest.raises(BlockingIOError):
            getattr(stream, read)()
        os.write(theirs, b"a\nb")
        os.close(theirs)
        assert stream.readline() == b"a\n"
        assert stream.read() == b"b"
        assert stream.read() == b""
