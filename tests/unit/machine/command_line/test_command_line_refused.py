# SPDX-License-Identifier: Apache-2.0
"""Command lines that are refused: each with its code, its place, and in bounded time."""

from __future__ import annotations

import contextlib
import time

import pytest
from qemu_lines import QEMU, machine

from vsmmu.errors import InputRefused
from vsmmu.machine import limits
from vsmmu.machine.command_line.argv import read_source, read_words


def refused(*options: str, files: dict[str, bytes] | None = None) -> InputRefused:
    with pytest.raises(InputRefused) as caught:
        machine(*options, files=files)
    return caught.value


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
