# SPDX-License-Identifier: Apache-2.0
"""``resolve --in-place``: the old file or the new one, whole, with its mode; ``--unpin`` as it is typed."""

from __future__ import annotations

import ctypes
import os
import signal
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from vsmmu.api import read_vm
from vsmmu.cli.in_place import write_back
from vsmmu.cli.main import run

if TYPE_CHECKING:
    from collections.abc import Callable

SCRIPT = """#!/bin/sh
exec qemu-system-aarch64 -M virt,accel=kvm -cpu host -bios fw -nodefaults -object iommufd,id=fd0 \\
  -device pxb-pcie,id=px1,bus_nr=8,bus=pcie.0 -device "arm-smmuv3,primary-bus=px1,ril=on,accel=on" \\
  -device pcie-root-port,id=port1,bus=px1,chassis=1 \\
  -device vfio-pci,id=gpu,host=0009:01:00.0,bus=port1,iommufd=fd0  # the GPU
"""
RESOLVED = SCRIPT.replace("ril=on,accel=on", "ril=off,accel=on,ats=on,ssidsize=20,oas=48")
GB200 = ("--host", "builtin:gb200")
_PTRACE_TRACEME, _PTRACE_SYSCALL = 0, 24


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "vm.sh"
    path.write_text(SCRIPT)
    path.chmod(0o751)
    return path


def of(path: Path) -> tuple[str, int, int]:
    found = path.stat()
    return path.read_text(), stat.S_IMODE(found.st_mode), found.st_uid


@pytest.mark.parametrize("spelling", [["--unpin"], ["--unpin", "ril"], ["--unpin=all"], ["--unpin", "all"]])
def test_the_file_is_written_with_its_mode_and_nothing_is_printed(
    script: Path, spelling: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    before = of(script)
    assert run(["resolve", *GB200, "--in-place", "--backup", *spelling, "vm.sh"]) == 0
    assert capsys.readouterr().out == ""
    assert of(script) == (RESOLVED, *before[1:])
    assert of(Path("vm.sh~")) == before
    # Once more: nothing to change, and the backup is still what the VM was.
    assert run(["resolve", *GB200, "--in-place", "--backup", "vm.sh"]) == 0
    assert of(Path("vm.sh~")) == before


def test_unpin_does_not_take_the_vm_for_a_property(script: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["resolve", *GB200, "--unpin", script.name]) == 0
    assert capsys.readouterr().out == RESOLVED
    assert run(["resolve", *GB200, script.name, "--unpin"]) == 0
    assert capsys.readouterr().out == RESOLVED
    assert (
        run(["resolve", *GB200, "--unpin", "--", *SCRIPT.partition("exec ")[2].partition("#")[0].split()])
        == 1
    )


def test_a_vm_that_cannot_be_resolved_is_left_as_it_is(
    script: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["resolve", *GB200, "--in-place", "vm.sh"]) == 1
    assert "[qemu-ril]" in capsys.readouterr().err
    assert [path.name for path in Path().iterdir()] == ["vm.sh"]
    assert script.read_text() == SCRIPT


def test_a_difference_can_be_shown_on_the_way(script: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["resolve", *GB200, "--in-place", "--unpin", "--diff", "vm.sh"]) == 0
    assert "+  -device pxb-pcie" in capsys.readouterr().out
    assert script.read_text() == RESOLVED


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--in-place", "-"], "no-file"),
        (["--in-place", "--", "qemu-system-aarch64"], "no-file"),
        (["--in-place", "absent"], "no-file"),
        (["--backup", "vm.sh"], "usage"),
        (["--in-place", "-o", "nul", "vm.sh"], "output-form"),
        (["--unpin=rli", "vm.sh"], "usage"),
    ],
)
@pytest.mark.usefixtures("script")
def test_what_cannot_be_written_in_place_is_refused(
    words: list[str], code: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["resolve", *GB200, *words]) == 2
    assert f"[{code}]" in capsys.readouterr().err


def test_killed_at_any_system_call_it_leaves_the_old_file_or_the_new_one(script: Path) -> None:
    before, after = read_vm(SCRIPT), read_vm(RESOLVED)
    mode = of(script)[1:]
    seen, calls = set(), 0
    while _killed_at(calls, lambda: write_back("vm.sh", before, after, backup=True)):
        assert of(script) in ((SCRIPT, *mode), (RESOLVED, *mode))
        seen.add((script.read_text(), Path("vm.sh~").exists()))
        if script.read_text() == RESOLVED:
            assert of(Path("vm.sh~")) == (SCRIPT, *mode)
            script.write_text(SCRIPT)
            Path("vm.sh~").unlink()
        calls += 1
    assert of(script) == (RESOLVED, *mode)
    assert seen == {(SCRIPT, False), (SCRIPT, True), (RESOLVED, True)}
    assert sorted(path.name for path in Path().iterdir()) == ["vm.sh", "vm.sh~"]


def _killed_at(stop: int, work: Callable[[], object]) -> bool:
    """Do it in a child that is killed at entry or exit ``stop`` of a system call; False if it ends before."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long] * 4
    child = os.fork()
    if not child:
        libc.ptrace(_PTRACE_TRACEME, 0, 0, 0)
        os.kill(os.getpid(), signal.SIGSTOP)
        work()
        os._exit(0)
    for _ in range(stop + 1):
        _, status = os.waitpid(child, 0)
        if not os.WIFSTOPPED(status):
            assert status == 0
            return False
        assert libc.ptrace(_PTRACE_SYSCALL, child, 0, 0) == 0
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return True
