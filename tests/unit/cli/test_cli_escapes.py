# SPDX-License-Identifier: Apache-2.0
"""Nothing that a terminal acts on comes out of a VM, facts or a message, unless the VM itself is printed."""

from __future__ import annotations

import io
import json
import shlex
import sys
from typing import TYPE_CHECKING, Any, Final

import pytest

from domains import golden
from vsmmu.cli.main import run
from vsmmu.host.builtin import builtin_host
from vsmmu.host.files import encode_host

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: CSI of both widths, bidirectional override and isolate, BEL, DEL.
MARKS: Final = "\x1b[31m\x9b\u202e\u2066\x07\x7f"
WORDS: Final = (
    "qemu-system-aarch64 -M virt,accel=kvm -bios efi.fd -name vm -device pxb-pcie,id=a,bus_nr=8,bus=pcie.0 "
    "-device arm-smmuv3,primary-bus=a,id=s,accel=on,ssidSize=20 -device pcie-root-port,id=r,bus=a,chassis=1 "
    "-object iommufd,id=i -device vfio-pci,host=0009:01:00.0,bus=r,iommufd=i"
).split()
#: What prints a judgement of VM, of FACTS, or a sentence. The others print what they were given.
ABOUT_A_VM: Final = (
    "check --host builtin:gb200 VM", "explain --host builtin:gb200 VM", "fix --host builtin:gb200 -o json VM",
    "bundle --host builtin:gb200 VM", "doctor --for VM", "compare --for VM builtin:gb200",
    "report --for VM builtin:gb200", "check --host builtin:gb200 -o json VM", "explain VM",
)  # fmt: skip
ABOUT_FACTS: Final = (
    "show --host FACTS", "show --host FACTS -o json", "report FACTS builtin:gb200", "label --host FACTS",
    "compare FACTS builtin:gb200", "baseline FACTS builtin:gb200", "report -o csv FACTS",
    "plan --host FACTS --list", "check --host FACTS PLAIN", "report -o html FACTS",
    "show --host FACTS -o svg", "plan --host FACTS -o svg 0009:01:00.0", "kubevirt capabilities --host FACTS",
)  # fmt: skip


def harmless(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(words) in (0, 1, 2, 3, 4, 5), words
    said = capsys.readouterr()
    for text in (said.out, said.err):
        acting = {mark for mark in text if not (mark.isprintable() or mark in "\n\t")}
        assert acting == set(), (words, text)
    assert "bug" not in said.err


def spoilt(words: list[str]) -> Iterator[list[str]]:
    """The command with the marks at the end of each word, in the middle of it, and as a word."""
    for at, word in enumerate(words):
        yield [*words[:at], word + MARKS, *words[at + 1 :]]
        name, equals, value = word.partition("=")
        yield [*words[:at], name + MARKS + equals + value, *words[at + 1 :]]
    yield [*words, "-device", f"virtio-net-pci,{MARKS}=1"]
    yield [*words, "-netdev", f"user,id={MARKS}"]


@pytest.mark.parametrize("line", ABOUT_A_VM)
def test_of_a_command_line(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for words in spoilt(WORDS):
        (tmp_path / "VM").write_text(shlex.join(words) + "\n", encoding="utf-8")
        harmless(line.split(), capsys)


@pytest.mark.parametrize("line", ABOUT_A_VM)
def test_of_a_domain(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    whole = golden("kubevirt").decode()
    marks = "".join(f"&#{ord(mark)};" for mark in MARKS if ord(mark) > 0x1F)
    for old in ('ssidSize="', 'pciBus="', 'model="smmuv3', "<name>", 'machine="', 'domain="', 'index="1'):
        (tmp_path / "VM").write_text(whole.replace(old, old + marks), encoding="utf-8")
        harmless(line.split(), capsys)


def texts(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where a document has texts; of lists the first entry only."""
    if isinstance(value, str):
        yield path
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from texts(inner, (*path, key))
    elif isinstance(value, list) and value:
        yield from texts(value[0], (*path, 0))


def test_of_facts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "PLAIN").write_text(shlex.join(WORDS))
    places = list(texts(json.loads(encode_host(builtin_host("gb200")))))
    assert len(places) > 20
    for *path, last in places:
        document = json.loads(encode_host(builtin_host("gb200")))
        inner = document
        for key in path:
            inner = inner[key]
        inner[last] += MARKS
        (tmp_path / "FACTS").write_text(json.dumps(document), encoding="utf-8")
        for line in ABOUT_FACTS:
            harmless(line.split(), capsys)


@pytest.mark.parametrize(
    "sentence",
    [f"Property 'arm-smmuv3.{MARKS}' not found", f"qemu-system-aarch64: -device {MARKS}: x",
     f"{MARKS} {MARKS}", f"accel=on with 'auto' properties {MARKS}"],
)  # fmt: skip
def test_of_a_message(
    sentence: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    harmless(["explain", sentence], capsys)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(sentence.encode())))
    harmless(["explain", "-"], capsys)
