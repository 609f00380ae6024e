# SPDX-License-Identifier: Apache-2.0
"""``vsmmu explain`` of codes, sentences and logs; a VM stays a VM."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from vsmmu.cli.main import run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

GB200 = ("--host", "builtin:gb200")
PRINTED = (
    "2026-11-25T19:00:00.1Z qemu-system-aarch64: -device vfio-pci,bus=rp1: vfio 0009:01:00.0: "
    "Failed to set vIOMMU: Host SMMUv3 doesn't support Range Invalidation\n"
)
VM = (
    "qemu-system-aarch64 -M virt,accel=kvm -cpu host -bios fw -nodefaults -object iommufd,id=fd0 "
    "-device pxb-pcie,id=px1,bus_nr=8,bus=pcie.0 -device arm-smmuv3,primary-bus=px1,id=smmu1,accel=on "
    "-device pcie-root-port,id=port1,bus=px1,chassis=1 "
    "-device vfio-pci,id=gpu,host=0009:01:00.0,bus=port1,iommufd=fd0\n"
)
LOG = f"2026-11-25 19:00:00.000+0000: starting up libvirt version: 12.8.0\n{VM}{PRINTED}"


@pytest.fixture(name="on_stdin")
def _on_stdin(tmp_path: Path) -> Iterator[Callable[[str], None]]:
    """Puts a text on file descriptor 0, which is what is read."""
    kept = os.dup(0)

    def put(text: str) -> None:
        (tmp_path / "stdin").write_text(text)
        with (tmp_path / "stdin").open("rb") as stream:
            os.dup2(stream.fileno(), 0)

    yield put
    os.dup2(kept, 0)
    os.close(kept)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    "asked", ["qemu-ril", "[qemu-ril]", "Host SMMUv3 doesn't support Range Invalidation"]
)
def test_a_code_and_its_sentence_are_explained(asked: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["explain", asked]) == 0
    printed = capsys.readouterr().out
    for text in ("qemu-ril", "IDR3.RIL[10]", "QEMU 11.0", "ril=off", "costs"):
        assert text in printed


@pytest.mark.parametrize("name", ["-", "", "qemu.log"])
def test_a_log_is_explained(
    name: str, tmp_path: Path, on_stdin: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "qemu.log").write_text(PRINTED)
    on_stdin(PRINTED)
    assert run(["explain", "-o", "json", *filter(None, [name])]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == "vsmmu.explanation/1"
    assert [(entry["code"], entry["line"]) for entry in document["explanations"]] == [("qemu-ril", 1)]


def test_a_message_that_looks_like_a_command_is_none(
    on_stdin: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    said = "qemu-system-aarch64: -device arm-smmuv3,id=s,ril=off: ril can only be disabled if accel=on\n"
    on_stdin(said + "qemu-system-aarch64: Bus 'x' not found\n")
    assert run(["explain"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("line 1: ")
    assert "qemu-ril-accel" in printed
    assert "qemu-no-bus" in printed


@pytest.mark.parametrize("text", [VM, LOG])
def test_a_vm_is_explained_as_ever(
    text: str, tmp_path: Path, on_stdin: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "vm").write_text(text)
    (tmp_path / "qemu-ril").write_text(text)  # an existing path comes before a code
    printed = []
    for arguments in (["vm"], ["qemu-ril"], ["-"], [], ["--", *VM.split()]):
        on_stdin(text)
        assert run(["explain", *GB200, *arguments]) == 0
        printed.append(capsys.readouterr().out)
    assert set(printed) == {printed[0]}
    assert "ril=off        pinned" in printed[0]


@pytest.mark.parametrize(
    ("asked", "status", "code", "named"),
    [
        ("qemu-rill", 1, "no-such-code", "did you mean qemu-ril"),
        ("acell", 1, "no-such-code", "accel is a property of the vSMMU"),
        ("the host has no range invalidation", 1, "sentence-unknown", "vsmmu explain qemu-ril"),
        ("what is this", 1, "sentence-unknown", "as QEMU, libvirt or the kernel printed it"),
        ("a/b.sh", 5, "file-missing", "check the name"),
    ],
)
def test_what_is_unknown_gets_the_nearest(
    asked: str, status: int, code: str, named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["explain", *GB200, asked]) == status
    printed = capsys.readouterr().err
    assert f"[{code}]" in printed
    assert named in printed


def test_a_text_without_a_sentence_is_refused_as_ever(
    on_stdin: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    on_stdin("hello\n")
    assert run(["explain", *GB200]) == 3
    assert "[not-a-vm]" in capsys.readouterr().err


def test_a_message_of_qemu_that_nobody_knows_is_none_of_a_vm(
    on_stdin: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    on_stdin("ERROR nova: qemu-system-aarch64: -device vfio-pci,id=a: vfio: the device sulks\n")
    assert run(["explain", *GB200]) == 1
    printed = capsys.readouterr().err
    assert "the device sulks" in printed
    assert "[sentence-unknown]" in printed


def test_a_fifo_is_read_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    read, write = os.pipe()
    os.write(write, PRINTED.encode())
    os.close(write)
    try:
        assert run(["explain", f"/dev/fd/{read}"]) == 0
    finally:
        os.close(read)
    assert "qemu-ril" in capsys.readouterr().out
