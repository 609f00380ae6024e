# SPDX-License-Identifier: Apache-2.0
"""Where something is missing on this machine, the message says what, and the status is 5."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from emulate_helpers import emulate, host

from vsmmu.emulate import launch, libc, mounts, seccomp
from vsmmu.errors import HostLacks

if TYPE_CHECKING:
    from pathlib import Path


def failing(number: int, path: str = "") -> object:
    def call(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number), path or None)

    return call


def prepare(lay_over: object = lambda: None) -> HostLacks:
    with pytest.raises(HostLacks) as refused:
        launch._prepare(seccomp.ARCHITECTURES["x86_64"], lay_over)  # type: ignore[arg-type]
    assert refused.value.exit_status == 5
    return refused.value


def test_no_namespaces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libc, "unshare", failing(errno.EPERM))
    error = prepare()
    assert error.code == "emulate-namespaces"
    assert "max_user_namespaces" in error.next


def test_a_mount_that_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "enter_namespace", lambda: None)
    error = prepare(failing(errno.EACCES, "/sys/bus/pci"))
    assert (error.code, error.where, error.why) == ("emulate-namespaces", "/sys/bus/pci", "Permission denied")


@pytest.mark.parametrize(
    ("number", "why"),
    [(errno.EINVAL, "Invalid argument"), (errno.EBUSY, "the program has such a supervisor already")],
)
def test_no_seccomp(monkeypatch: pytest.MonkeyPatch, number: int, why: str) -> None:
    monkeypatch.setattr(launch, "enter_namespace", lambda: None)
    monkeypatch.setattr(seccomp, "install", failing(number))
    error = prepare()
    assert (error.code, error.why) == ("emulate-seccomp", why)


def test_a_user_namespace_keeps_the_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without privilege: a user namespace around the mount namespace."""
    asked: list[int] = []

    def unshare(flags: int) -> None:
        asked.append(flags)
        if flags == libc.CLONE_NEWNS:
            raise PermissionError(errno.EPERM, "no")

    written: dict[str, str] = {}
    monkeypatch.setattr(libc, "unshare", unshare)
    monkeypatch.setattr(
        mounts.Path, "write_text", lambda path, text, encoding: written.update({str(path): text})
    )
    mounts._unshare()
    assert asked == [libc.CLONE_NEWNS, libc.CLONE_NEWUSER | libc.CLONE_NEWNS]
    assert written["/proc/self/uid_map"] == f"{os.getuid()} {os.getuid()} 1"
    assert written["/proc/self/setgroups"] == "deny"


@pytest.mark.parametrize(
    ("arguments", "status", "code"),
    [
        (["--host", "live"], 2, "emulate-live"),
        (["--host", "builtin:nothing"], 2, "no-such-builtin"),
        (["--host", "/nonexistent"], 5, "file-missing"),
        (["--host", "builtin:gb200", "--fault", "X:EIO"], 2, "fault"),
        (["--host", "builtin:gb200", "--bind", "0000:99:00.0"], 2, "no-such-function"),
        (["--host", "builtin:gb200", "--trace", "/nonexistent/trace"], 5, "file-write"),
        (["--host", "builtin:gb200", "--control", "/nonexistent/socket"], 5, "emulate-control"),
    ],
)
def test_what_cannot_be_done_is_said_on_one_line(arguments: list[str], status: int, code: str) -> None:
    done = emulate(["-q", *arguments, "--", "true"])
    assert done.returncode == status
    assert f"[{code}]" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture
def sleeping(tmp_path: Path) -> subprocess.Popen[str]:
    """A program that says when it runs, and which signal ended it."""
    from vsmmu.host.files import save_host

    save_host(host(), tmp_path / "host.json")
    code = "import sys; from vsmmu.cli.main import run; sys.exit(run(sys.argv[1:]))"
    script = "trap 'echo term; exit 9' TERM; echo ready; while :; do sleep 0.05; done"
    command = [sys.executable, "-c", code, "emulate", "-q", "--host", str(tmp_path / "host.json")]
    process = subprocess.Popen([*command, "--", "sh", "-c", script], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    if process.stdout.readline() != "ready\n":
        pytest.skip("the emulator does not run here")
    return process


def test_a_signal_is_passed_on(sleeping: subprocess.Popen[str]) -> None:
    time.sleep(0.1)
    sleeping.send_signal(signal.SIGTERM)
    output, _ = sleeping.communicate(timeout=20)
    assert output == "term\n"
    assert sleeping.returncode == 9
