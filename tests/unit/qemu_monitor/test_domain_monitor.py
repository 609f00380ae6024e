# SPDX-License-Identifier: Apache-2.0
"""inspect of a libvirt domain: through virsh, which here is a script of ours."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from vsmmu.cli.main import run

if TYPE_CHECKING:
    from collections.abc import Callable

    Virsh = Callable[[str], None]

VM = f"""
import json, sys
sys.path[:0] = [{str(Path(__file__).parent)!r}, {str(Path(__file__).parents[3] / "src")!r}]
from fake_qemu import PLAIN, FakeVm
from vsmmu.qemu.monitor import CommandFailed
assert sys.argv[1:5] == ["-c", "qemu:///system", "qemu-monitor-command", "guest1"], sys.argv
request = json.loads(sys.argv[5])
arguments = {{key.replace("-", "_"): value for key, value in request["arguments"].items()}}
try:
    print(json.dumps({{"return": FakeVm({{"s": PLAIN}}).execute(request["execute"], **arguments)}}))
except CommandFailed as error:
    print(json.dumps({{"error": {{"class": error.error_class, "desc": error.why}}}}))
"""


@pytest.fixture
def virsh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Virsh:
    def install(script: str) -> None:
        path = tmp_path / "virsh"
        path.write_text(script)
        path.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    return install


def test_a_domain_is_read_back(virsh: Virsh, capsys: pytest.CaptureFixture[str]) -> None:
    virsh(f"#!{sys.executable}\n{VM}")
    assert run(["inspect", "guest1", "--host", "builtin:gb200", "--timeout", "60"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("domain guest1: QEMU 11.1.3, running")
    assert "IDR0 0x0d44101a" in said


@pytest.mark.parametrize(
    ("script", "code", "status"),
    [
        ("echo 'error: failed to get domain' >&2; exit 1", "no-domain", 5),
        ("echo nonsense", "not-a-monitor", 3),
        ("echo '[]'", "strange-answer", 3),
        ("echo '{}'", "strange-answer", 3),
        ("exec sleep 30", "monitor-silent", 5),
    ],
)
def test_a_domain_that_does_not_answer(
    virsh: Virsh, script: str, code: str, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    virsh(f"#!/bin/sh\n{script}\n")
    begun = time.monotonic()
    assert run(["inspect", "guest1", "--host", "builtin:gb200", "--timeout", "0.5"]) == status
    assert time.monotonic() - begun < 5
    assert f"[{code}]" in capsys.readouterr().err


def test_without_virsh(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert run(["inspect", "guest1", "--host", "builtin:gb200"]) == 5
    assert "[no-virsh]" in capsys.readouterr().err
