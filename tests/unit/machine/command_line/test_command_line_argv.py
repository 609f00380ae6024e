# SPDX-License-Identifier: Apache-2.0
"""Command lines: the emulator in them, what they describe, what is refused, edits, the three forms."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

import pytest

from vsmmu.diagnostic import Edit
from vsmmu.errors import InputRefused, Negative, VsmmuError
from vsmmu.machine import limits
from vsmmu.machine.command_line.argv import CommandLine, read_source, read_words
from vsmmu.machine.command_line.text_edits import set_in_json

if TYPE_CHECKING:
    from vsmmu.machine.model import Machine

QEMU = "qemu-system-aarch64"


def machine(*options: str, files: dict[str, bytes] | None = None) -> Machine:
    return line(*options, files=files).machine()


def line(*options: str, files: dict[str, bytes] | None = None) -> CommandLine:
    return read_words((QEMU, *options), (files or {}).__getitem__)


def refused(*options: str, files: dict[str, bytes] | None = None) -> InputRefused:
    with pytest.raises(InputRefused) as caught:
        machine(*options, files=files)
    return caught.value


# --- which word is the emulator -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "program"),
    [
        (["qemu-system-aarch64", "-S"], "qemu-system-aarch64"),
        (["/usr/libexec/qemu-kvm", "-S"], "/usr/libexec/qemu-kvm"),
        (["sudo", "-E", "A=b", "qemu-system-arm", "-S"], "qemu-system-arm"),
        (["Q=/x/qemu-system-arm", "exec", "qemu-system-aarch64", "-S"], "qemu-system-aarch64"),
        (["A=b", "./my-qemu", "-S"], "./my-qemu"),
        (["A=b"], ""),
        (["A=/x/qemu-kvm"], ""),
        (["-S"], ""),
    ],
)
def test_emulator(words: list[str], program: str) -> None:
    assert read_words(words).machine().program == program


def test_a_command_inside_a_word_is_not_read() -> None:
    with pytest.raises(InputRefused, match="no option '-c'"):
        read_words(["sh", "-c", "qemu-system-arm -device a"]).machine()


def test_options_only() -> None:
    text = b"-M virt\n-device pci-testdev,id=a\n"
    assert [device.id for device in read_source(text).machine().devices] == ["a"]


# --- what the options mean ------------------------------------------------------------------------


def test_values_that_look_like_options() -> None:
    assert machine("-name", "-device", "-append", "-nodefaults").default_nic


def test_only_migratable() -> None:
    assert machine("--only-migratable").only_migratable
    assert not machine().only_migratable


def test_double_dash() -> None:
    assert machine("--device", "pci-testdev", "--nodefaults").default_nic is False


def test_machine_options_are_merged_and_dashed() -> None:
    described = machine("-M", "virt,acpi=on", "-machine", "kernel_irqchip=split,acpi=off", "-M", "virt-11.0")
    assert described.machine_type == "virt-11.0"
    assert described.machine_options == {"acpi": "off", "kernel-irqchip": "split"}


@pytest.mark.parametrize(
    ("options", "names"),
    [
        (
            ["-accel", "kvm,kernel_irqchip=on", "-accel", "tcg,thread=multi,kernel-irqchip=off"],
            ("kvm", "tcg"),
        ),
        (["-M", "virt,accel=kvm:tcg"], ("kvm", "tcg")),
        (["-M", "accel=tcg", "-enable-kvm"], ("kvm",)),
        (["-enable-kvm", "-M", "accel=tcg"], ("tcg",)),
        ([], ()),
    ],
)
def test_accelerators(options: list[str], names: tuple[str, ...]) -> None:
    assert machine(*options).accelerators == names


def test_options_of_the_first_accelerator_come_first() -> None:
    described = machine("-accel", "kvm,kernel_irqchip=on", "-accel", "tcg,thread=multi,kernel-irqchip=off")
    assert described.accelerator_options == {"kernel-irqchip": "on", "thread": "multi"}


@pytest.mark.parametrize(
    ("options", "firmware"),
    [
        ([], ""),
        (["-bios", "a.fd", "-bios", "b.fd"], "b.fd"),
        (["-M", "virt,firmware=a.fd"], "a.fd"),
        (["-M", "virt,pflash0=node"], "node"),
        (["-pflash", "a.fd", "-pflash", "b.fd"], "a.fd"),
        (["-drive", "if=pflash,unit=1,file=v.fd", "-drive", "if=pflash,file=c.fd"], "c.fd"),
        (["-drive", "if=pflash,unit=1,file=v.fd"], ""),
        (["-drive", "if=pflash,id=x", "-drive", "if=none,id=y", "-set", "drive.x.file=c.fd"], "c.fd"),
        (["-drive", "if=pflash,index=0"], "pflash"),
        (["-drive", "if=pflash,unit=99999999999999999999,file=c.fd"], "c.fd"),
    ],
)
def test_firmware(options: list[str], firmware: str) -> None:
    assert machine(*options).firmware == firmware


@pytest.mark.parametrize(
    ("options", "default", "cards"),
    [
        ([], True, ()),
        (["-nodefaults"], False, ()),
        (["-nic", "none"], False, ()),
        (["-net", "none"], False, ()),
        (["-netdev", "user,id=n"], False, ()),
        (["-net", "nic,model=e1000", "-net", "user"], False, ("e1000",)),
        (["-nodefaults", "-nic", "user,model=e1000e", "-nic", "user"], False, ("e1000e", "")),
        (["-device", "virtio-net-pci"], True, ()),
    ],
)
def test_network_cards(options: list[str], default: bool, cards: tuple[str, ...]) -> None:
    described = machine(*options)
    assert (described.default_nic, described.network_cards) == (default, cards)


def test_order_of_creation() -> None:
    described = machine(
        "-M", "virt",
        "-device", '{"driver":"pci-testdev","id":"j1"}',
        "-drive", "file=x.img,id=d",
        "-device", "pci-testdev,id=k1",
        "-virtfs", "local,path=/tmp,mount_tag=t,security_model=none",
        "-readconfig", "a.cfg",
        "y.img",
        "-audio", "driver=none,model=hda",
        "-audio", "driver=none,model=nosuch",
        "-device", "pci-testdev,id=k2",
        "-device", '{"driver":"pci-testdev","id":"j2"}',
        files={"a.cfg": b'[device "c1"]\n  driver = "pci-testdev"\n'},
    )  # fmt: skip
    assert [device.id or device.driver for device in described.devices] == [
        "intel-hda", "k1", "virtio-9p-pci", "c1", "k2", "virtio-blk-pci", "virtio-blk-pci", "j1", "j2",
    ]  # fmt: skip
    assert [device.number for device in described.devices] == list(range(9))


def test_drives_on_other_boards_make_no_device() -> None:
    assert machine("-M", "sbsa-ref", "-hda", "x.img").devices == ()
    assert machine("-M", "virt", "-sd", "x.img", "-drive", "if=none,id=d").devices == ()


def test_globals() -> None:
    described = machine(
        "-global", "a.b=c,d=e", "-global", "property=p,driver=d,value=v", "-global", "a.b.c=d"
    )
    assert [entry[:3] for entry in described.globals] == [
        ("a", "b", "c,d=e"),
        ("d", "p", "v"),
        ("a", "b.c", "d"),
    ]


def test_objects() -> None:
    described = machine("-object", "iommufd,id=i0,fd=3", "-object", '{"qom-type":"x","id":"y","n":[1]}')
    assert [entry[:3] for entry in described.objects] == [
        ("iommufd", "i0", {"fd": "3"}),
        ("x", "y", {"n": [1]}),
    ]


def test_json_device_without_a_text_id() -> None:
    (device,) = machine("-device", '{"driver":"pci-testdev","id":7,"x":true}').devices
    assert (device.id, device.name, device.text("x")) == ("", "pci-testdev#0", "on")


def test_set() -> None:
    (device,) = machine(
        "-device", "a,id=S,ats=on", "-set", "device.S.ats=a=b,c", "-set", "device.S.new=1"
    ).devices
    assert device.properties == {"ats": "a=b,c", "new": "1"}
    (device,) = machine("-device", "a,id=S", "-set", "device.S.id=T", "-set", "device.S.driver=b").devices
    assert (device.driver, device.id) == ("b", "T")
    machine("-chardev", "null,id=x", "-set", "chardev.x.logfile=a")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("chardev.x.y=1", 'there is no chardev "x" defined'),
        ("global.x.y=off", 'there is no global "x" defined'),
        ("drive.x.y=1", 'there is no drive "x" defined'),
        ("nosuch.x.y=1", "There is no option group 'nosuch'"),
        ("object.x.y=1", "-set is not supported with object"),
        ("abc", 'can\'t parse: "abc"'),
    ],
)
def test_set_of_what_is_not_there(text: str, why: str) -> None:
    with pytest.raises(InputRefused) as caught:
        machine("-set", text)
    assert caught.value.why == why


def test_backends() -> None:
    described = machine(
        *("-netdev", "user,id=n", "-nic", "user,id=c", "-chardev", "null,id=s", "-drive", "id=d,if=none"),
        *("-blockdev", '{"driver":"raw","node-name":"o","file":{"driver":"file","node-name":"i"}}'),
    ).backends
    assert described is not None
    assert {name: set(given) for name, given in described.items() if given} == {
        "netdev": {"n"},
        "chardev": {"s"},
        "drive": {"d", "o", "i"},
    }


def test_origin() -> None:
    described = machine(
        "--device", "a,b=1", "-readconfig", "d/a.cfg", files={"d/a.cfg": b'[device]\n\n driver = "x"\n'}
    )
    assert described.devices[0].origin == ("--device a,b=1", "argument 1")
    assert described.devices[1].origin == ("d/a.cfg:3", "d/a.cfg:3")


def test_configuration_file_groups() -> None:
    text = b"""# comment
[machine]
  type = "virt"
[accel]
  accel = "kvm"
[device]
  driver = "a"
  driver = "b"
  id = "S"
[drive "x"]
  if = "pflash"
  file = "f"
[chardev "c"]
  backend = "null"
[netdev "n"]
  type = "user"
[object]
  qom-type = "iommufd"
"""
    described = machine("-readconfig", "a.cfg", files={"a.cfg": text})
    assert (described.machine_type, described.accelerators, described.firmware) == ("virt", ("kvm",), "f")
    assert [(device.id, device.driver) for device in described.devices] == [("S", "b")]
    assert described.default_nic, "only the option -netdev switches it off [measured]"


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["-nosuch", "x"], "option-unknown", "'-nosuch'"),
        (["-"], "option-unknown", "'-'"),
        (["--", "-M"], "option-unknown", "'--'"),
        (["-" + "x" * 500], "option-unknown", "..."),
        (["-M"], "option-argument-missing", "-M: requires an argument"),
        (["-help"], "no-vm", "help"),
        (["-version"], "no-vm", "help"),
        (["-M", "help"], "no-vm", "help"),
        (["-accel", "?"], "no-vm", "help"),
        (["-accel", "thread=single"], "no-vm", "help"),
        (["-device", "help"], "no-vm", "help"),
        (["-device", "vfio-pci,help"], "no-vm", "help"),
        (["-M", "virt,acpi"], "option-syntax", "Expected '=' after parameter 'acpi'"),
        (["-M", "a_b=1,a-b=2"], "option-syntax", "Conflict between 'a_b' and 'a-b'"),
        (["-global", "a.b"], "option-syntax", "'driver', 'property', and 'value' are required"),
        (["-global", "driver=a,property=b"], "option-syntax", "are required"),
        (["-object", "id=x"], "option-syntax", "'qom-type' is missing"),
        (["-object", '{"qom-type":7}'], "option-syntax", "'qom-type' is missing"),
        (["-object", "a,id=x", "-object", "b,id=x"], "duplicate-id", "two objects"),
        (["-set", "device.S"], "option-syntax", "can't parse"),
        (["-set", "machine.x.y=1"], "option-syntax", "not supported with machine"),
        (["-set", "device.S.a=1"], "option-syntax", 'there is no device "S" defined'),
        (["-device", '{"driver":"a","id":"S"}', "-set", "device.S.a=1"], "option-syntax", "no device"),
        (["-device", "id=S"], "driver-missing", "Parameter 'driver' is missing"),
        (["-device", "{}"], "driver-missing", "Parameter 'driver' is missing"),
        (["-device", '{"driver":7}'], "driver-missing", "Parameter 'driver' is missing"),
        (["-device", "a,id=1a"], "bad-id", "Parameter 'id' expects an identifier"),
        (["-device", "a,id="], "bad-id", "Parameter 'id' expects an identifier"),
        (["-object", "iommufd,id="], "bad-id", "Parameter 'id' expects an identifier"),
        (["-object", '{"qom-type":"iommufd","id":""}'], "bad-id", "Parameter 'id' expects an identifier"),
        (["-device", '{"driver":"a","id":"b/c"}'], "bad-id", "Invalid qdev ID 'b/c'"),
        (["-device", "a,id=S", "-device", "b,id=S"], "duplicate-id", "Duplicate ID 'S' for device"),
        (["-device", '{"driver":"a","id":"S"}', "-device", "b,id=S"], "duplicate-id", "device ID 'S'"),
        (["-device", '{"driver":"a"'], "json-invalid", "premature end of input at character 14"),
        (["-device", '{"a":' * 1000], "json-invalid", "nested more than 64 deep"),
        (["-device", '{"driver":"a","b":1,"b":2}'], "json-invalid", "duplicate key 'b'"),
        (["-readconfig", "b.cfg"], "config-syntax", "b.cfg:2"),
    ],
)  # fmt: skip
def test_refusals(options: list[str], code: str, words: str) -> None:
    error = refused(*options, files={"b.cfg": b'[device "S"]\n driver="a"\n'})
    assert error.code == code
    assert words in str(error)
    assert error.next
    assert len(str(error)) < 1000


@pytest.mark.parametrize(
    ("text", "line_number"),
    [
        (b'driver = "a"\n', 1),
        (b"[nosuch]\n", 1),
        (b"[device 'S']\n", 1),
        (b"[]\n", 1),
        (b"[device]\n  # indented\n", 2),
        (b"[device]\n   \n", 2),
        (b'[device]\r\n driver = "a"\r\n\r\n', 3),
        (b'[device]\n driver = "' + b"x" * 2000 + b'"\n', 2),
        (b'[device]\n driver = "a\0"\n', 2),
        (b'[device]\n driver = "a\n', 2),
    ],
)
def test_configuration_files_that_are_refused(text: bytes, line_number: int) -> None:
    error = refused("-readconfig", "a.cfg", files={"a.cfg": text})
    assert error.code == "config-syntax"
    assert error.where == f"a.cfg:{line_number}"


def test_configuration_file_limits() -> None:
    assert refused("-readconfig", "a", files={"a": b"\xff"}).code == "not-utf8"
    assert (
        refused("-readconfig", "a", files={"a": b"#" * (limits.MAX_CONFIG_BYTES + 1)}).code
        == "input-too-large"
    )
    many = ["-readconfig", "a"] * (limits.MAX_CONFIG_FILES + 1)
    assert refused(*many, files={"a": b""}).code == "input-too-large"
    with pytest.raises(InputRefused, match="not at hand"):
        read_words([QEMU, "-readconfig", "a"]).machine()


@pytest.mark.parametrize(
    ("data", "code", "where"),
    [
        (b"", "no-command", "t"),
        (b"\0", "no-command", "t"),
        (b"  # nothing\n", "no-command", "t"),
        (b"qemu \xff\n", "not-utf8", "t"),
        (b"qemu\0\xff\0", "not-utf8", "t"),
        (b"x" * (limits.MAX_SOURCE_BYTES + 1), "input-too-large", "t"),
        (b"x" * (limits.MAX_WORD_BYTES + 1), "input-too-large", "t"),
        (b"x " * (limits.MAX_WORDS + 1), "input-too-large", "t"),
        (b"a\0" * (limits.MAX_WORDS + 1), "input-too-large", "command line"),
        (b"qemu-system-arm 'x", "shell-syntax", "t, line 1, column 17"),
        (b"qemu-system-arm -M virt\n-S\n", "shell-syntax", "t, line 2, column 1"),
        (b"qemu-system-arm -M virt \\\n # c\n -S\n", "shell-syntax", "t, line 3, column 2"),
        (b"qemu-system-arm \\\r\n -S\r\n", "shell-syntax", "t, line 1, column 18"),
        (b"qemu-system-arm -S\nqemu-system-arm -s\n", "many-commands", "t, line 2, column 1"),
    ],
)
def test_sources_that_are_refused(data: bytes, code: str, where: str) -> None:
    with pytest.raises(InputRefused) as caught:
        read_source(data, "t")
    assert (caught.value.code, caught.value.where) == (code, where)


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("qemu-system-arm -M $MACHINE", "t, line 1, column 20"),
        ('qemu-system-arm \\\n -device "a,id=${b}"', "t, line 2, column 16"),
        ("qemu-system-arm -M virt -$X a", "t, line 1, column 26"),
    ],
)
def test_expansions_are_refused(text: str, where: str) -> None:
    with pytest.raises(InputRefused) as caught:
        read_source(text.encode(), "t").machine()
    assert (caught.value.code, caught.value.where) == ("shell-expansion", where)


def test_expansions_before_the_emulator_are_left_alone() -> None:
    source = read_source(b'"$WRAPPER" qemu-system-arm -device a')
    assert source.machine().devices
    with pytest.raises(InputRefused, match="would expand"):
        source.render_words()
    with pytest.raises(InputRefused, match="would expand"):
        source.render_nul()


def test_words_that_are_refused() -> None:
    for words, code in (
        (["a\0b"], "nul-in-word"),
        (["a\udc80"], "not-utf8"),
        ([], "no-command"),
        ([""], "no-command"),
        (["x" * (limits.MAX_WORD_BYTES + 1)], "input-too-large"),
        (["é" * limits.MAX_WORD_BYTES], "input-too-large"),
        (["x" * 100_000] * 30, "input-too-large"),
    ):
        with pytest.raises(InputRefused) as caught:
            read_words(words)
        assert caught.value.code == code


@pytest.mark.parametrize(
    "unit", ["{", "{,", "[", "$(", "${", "`", "'", '"', "\\", "1", "a=", "<<a ", ",", "#", "\\\n", "a\n"]
)
def test_two_mebibytes_of_anything_are_soon_done(unit: str) -> None:
    size = limits.MAX_SOURCE_BYTES // len(unit)
    start = time.process_time()
    with contextlib.suppress(InputRefused):
        read_source((unit * size).encode()).machine()
    assert time.process_time() - start < 10


@pytest.mark.parametrize("unit", ["{", "[", ",", "=", '"', "\\", '{"a":', "[1,", '"a":1,', "a=,", "9"])
def test_long_words_are_soon_done(unit: str) -> None:
    size = limits.MAX_WORD_BYTES // len(unit) - 8
    start = time.process_time()
    for text in ("a," + unit * size, '{"a":' + unit * size, '{"a":"' + unit * size):
        with contextlib.suppress(InputRefused):
            machine("-device", text)
    assert time.process_time() - start < 10


def test_too_many_devices() -> None:
    options = ["-device", "a"] * (limits.MAX_DEVICES + 1)
    assert refused(*options).code == "input-too-large"


# --- edits ----------------------------------------------------------------------------------------


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
        line("-M", "virt", "-hda", "x").edit([Edit(0, "x", "1")])


def test_set_after_the_last_word_of_a_script() -> None:
    source = read_source(
        b"qemu-system-arm -readconfig a.cfg \\\n >log # c\n", reader={"a.cfg": CONFIG}.__getitem__
    )
    after = source.edit([Edit(0, "x", "a b")])
    assert after.text() == "qemu-system-arm -readconfig a.cfg -set 'device.S.x=a b' \\\n >log # c\n"


# --- the three forms ------------------------------------------------------------------------------


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


def test_scripts_with_several_commands() -> None:
    text = b"set -e\nwhich qemu-system-arm && qemu-system-arm --version\nexec qemu-kvm -device a &\nwait\n"
    with pytest.raises(InputRefused, match="more than one command"):
        read_source(text)
    text = text.replace(b" && qemu-system-arm --version", b"")
    assert read_source(text).machine().program == "qemu-kvm"
    assert read_source(b"echo hello\n./emulator -M virt\necho bye\n").machine().program == "./emulator"
    assert read_source(b"echo hello\n./emulator -S\n").machine().program == "./emulator"


def test_every_error_is_ours() -> None:
    with pytest.raises(VsmmuError):
        read_source(b"'")
