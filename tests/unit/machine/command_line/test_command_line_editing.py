# SPDX-License-Identifier: Apache-2.0
"""Edits of a command line: what is changed stands where it stood, and everything else stays."""

from __future__ import annotations

import pytest
from qemu_lines import QEMU, line, machine

from vsmmu.diagnostic import Edit
from vsmmu.errors import Negative
from vsmmu.machine.command_line.argv import read_source, read_words
from vsmmu.machine.command_line.text_edits import set_in_json


@pytest.mark.parametrize(
    ("text", "key", "value", "expected"),
    [
        ("a,id=x", "ats", "on", "a,id=x,ats=on"),
        ("a,ats=auto,id=x", "ats", "on", "a,ats=on,id=x"),
        ("a,ats=off,ats=auto", "ats", "on", "a,ats=off,ats=on"),
        ("a,ats", "ats", "off", "a,ats=off"),
        ("a,noats,id=x", "ats", "on", "a,ats=on,id=x"),
        ("a,", "ats", "on", "a,ats=on"),
        ("a,x=1,,", "ats", "on", "a,x=1,,,ats=on"),
        ("a,ats=", "ats", "on", "a,ats=on"),
        ("a", "x", "1,2", "a,x=1,,2"),
        ("a,x=1,,2,y=3", "x", "4,5", "a,x=4,,5,y=3"),
        ("a", "driver", "b", "b"),
        ('{"driver":"a"}', "ats", "on", '{"driver":"a","ats":"on"}'),
        ('{"driver":"a","b":1}', "ats", "on", '{"driver":"a","b":1,"ats":"on"}'),
        ('{"driver": "a", "b": 1 }', "ats", "on", '{"driver": "a", "b": 1, "ats": "on" }'),
        ('{\n  "driver" : "a",\n  "b" : 1\n}', "x", "1", '{\n  "driver" : "a",\n  "b" : 1,\n  "x" : "1"\n}'),
        ("{'driver':'a','oas':'auto'}", "oas", "48", "{'driver':'a','oas':'48'}"),
        ("{'driver':'a'}", "oas", "48", "{'driver':'a','oas':'48'}"),
        ('{"driver":"a","oas":44}', "oas", "48", '{"driver":"a","oas":"48"}'),
        ('{"driver":"a"}', "x", 'q"\\', '{"driver":"a","x":"q\\"\\\\"}'),
    ],
)
def test_edit(text: str, key: str, value: str, expected: str) -> None:
    before = line("-S", "-device", text, "x.img")
    after = before.edit([Edit(0, key, value)])
    assert after.words == (QEMU, "-S", "-device", expected, "x.img")
    assert (after.machine().devices[0].text(key) or after.machine().devices[0].driver) == value


def test_edits_are_appended_in_order_and_the_last_counts() -> None:
    after = line("-device", "a").edit([Edit(0, "x", "1"), Edit(0, "y", "2"), Edit(0, "x", "3")])
    assert after.words[-1] == "a,x=3,y=2"


def test_edit_of_an_empty_object() -> None:
    assert set_in_json("{}", "a", "b") == (1, 1, '"a":"b"')


def test_device_by_name() -> None:
    described = machine("-device", "a,id=S", "-device", "b")
    assert described.device("S") is described.devices[0]
    assert described.device("b#1") is described.devices[1]
    assert described.device("c") is None


def test_no_edit_changes_nothing() -> None:
    before = line("-device", "a")
    assert before.edit([]).text() == before.text()


def test_edit_of_what_set_wrote() -> None:
    after = line("-device", "a,id=S,x=0", "-set", "device.S.x=1").edit(
        [Edit(0, "x", "a,b"), Edit(0, "y", "2")]
    )
    assert after.words[1:] == ("-device", "a,id=S,x=0,y=2", "-set", "device.S.x=a,b")


CONFIG = b'[device "S"]\n driver = "a"\n[device "s.0"]\n driver = "a"\n[device]\n driver = "a"\n'


def test_edit_of_a_device_in_a_configuration_file() -> None:
    files = {"a.cfg": CONFIG}
    after = line("-readconfig", "a.cfg", "-S", files=files).edit(
        [Edit(0, "x", "1"), Edit(0, "x", "2"), Edit(0, "y", "3")]
    )
    assert after.words[3:] == ("-S", "-set", "device.S.x=2", "-set", "device.S.y=3")
    again = after.edit([Edit(0, "x", "4")])
    assert again.words[3:] == ("-S", "-set", "device.S.x=4", "-set", "device.S.y=3")


@pytest.mark.parametrize(("number", "why"), [(1, "holds a dot"), (2, "needs an id")])
def test_devices_that_set_cannot_reach(number: int, why: str) -> None:
    with pytest.raises(Negative) as caught:
        line("-readconfig", "a.cfg", files={"a.cfg": CONFIG}).edit([Edit(number, "x", "1")])
    assert caught.value.code == "not-editable"
    assert why in caught.value.why
    assert 'x = "1"' in caught.value.next


def test_devices_that_follow_from_other_options_cannot_be_edited() -> None:
    with pytest.raises(Negative, match="cannot be given"):
        line("-M", "virt", "-audio", "none,model=ac97").edit([Edit(0, "x", "1")])


def test_set_after_the_last_word_of_a_script() -> None:
    source = read_source(
        b"qemu-system-arm -readconfig a.cfg \\\n >log # c\n", reader={"a.cfg": CONFIG}.__getitem__
    )
    after = source.edit([Edit(0, "x", "a b")])
    assert after.text() == "qemu-system-arm -readconfig a.cfg -set 'device.S.x=a b' \\\n >log # c\n"


def test_render_of_words_is_quoted() -> None:
    assert read_words([QEMU, "-name", "it's", "", "a b"]).text() == f"{QEMU} -name 'it'\"'\"'s' '' 'a b'"


@pytest.mark.parametrize("data", [b"a\0-S\0", b"a\0-S", b"a\0\0-S\0\0", b"a\0"])
def test_nul_separated(data: bytes) -> None:
    assert read_source(data).text().encode() == data


def test_render_words_and_nul() -> None:
    source = read_source(b"qemu-system-arm -name 'a b' # c")
    assert source.render_words() == ("qemu-system-arm", "-name", "a b")
    assert source.render_nul() == "qemu-system-arm\0-name\0a b\0"
    data = b"qemu-kvm\0-readconfig\0a.cfg\0"
    nul = read_source(data, reader={"a.cfg": CONFIG}.__getitem__).edit([Edit(0, "x", "1")])
    assert nul.text().encode() == data + b"-set\0device.S.x=1\0"
    nul = read_source(b"qemu-system-arm\0-device\0a\0")
    assert nul.edit([Edit(0, "b", "1")]).text() == "qemu-system-arm\0-device\0a,b=1\0"
