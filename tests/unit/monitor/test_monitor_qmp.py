# SPDX-License-Identifier: Apache-2.0
"""The QMP client against peers that hang, die, lie or flood: a clear answer, in bounded time."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from fake_qemu import GREETING, PLAIN, FakeVm, listening

from vsmmu.cli.main import run
from vsmmu.errors import HostLacks, InputRefused, PermissionRefused, VsmmuError
from vsmmu.monitor import qmp as module
from vsmmu.monitor.qmp import CommandFailed, connect

if TYPE_CHECKING:
    from collections.abc import Callable

    Serve = Callable[[socket.socket], None]

READY = GREETING + b'{"return": {}}\n'

#: Seconds; a tenth of it on an idle machine.
BOUND = 20


def say(data: bytes) -> Serve:
    return lambda connection: connection.sendall(data)


def say_and_leave(data: bytes) -> Serve:
    def serve(connection: socket.socket) -> None:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_RDWR)

    return serve


def drip(connection: socket.socket) -> None:
    """One byte now and then, and never a line."""
    while True:
        connection.sendall(b" ")
        time.sleep(0.02)


def flood(connection: socket.socket) -> None:
    while True:
        connection.sendall(b"x" * 65536)


def events(connection: socket.socket) -> None:
    connection.sendall(READY)
    while True:
        connection.sendall(b'{"event": "STOP"}\n' * 100)


@pytest.mark.parametrize(
    ("serve", "code", "status"),
    [
        (say(b""), "monitor-silent", 5),
        (drip, "monitor-silent", 5),
        (say(READY), "monitor-silent", 5),
        (events, "monitor-silent", 5),
        (say_and_leave(b""), "monitor-closed", 5),
        (say_and_leave(GREETING), "monitor-closed", 5),
        (say_and_leave(READY), "monitor-closed", 5),
        (say(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "not-a-monitor", 3),
        (say(b"[]\n"), "not-a-monitor", 3),
        (say(b'{"hello": 1}\n'), "not-a-monitor", 3),
        (say(b"\xff\xfe\n"), "not-a-monitor", 3),
        (say(b"[" * 100_000 + b"\n"), "not-a-monitor", 3),
        (say(READY + b'{"id": 1}\n'), "not-a-monitor", 3),
        (flood, "not-a-monitor", 3),
        (say(READY + b'{"return": 7}\n'), "strange-answer", 3),
        (say(READY + b'{"return": {"qemu": {"major": 11}}}\n'), "strange-answer", 3),
    ],
)
def test_a_peer_that_is_no_qemu(
    serve: Serve, code: str, status: int, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(module, "MAX_REPLY", 1 << 20)
    begun = time.monotonic()
    with listening(tmp_path / "qmp", serve) as path:
        assert run(["inspect", path, "--host", "builtin:gb200", "--timeout", "0.5"]) == status
    assert time.monotonic() - begun < BOUND
    captured = capsys.readouterr()
    assert f"[{code}]" in captured.err
    assert captured.out == ""


def test_a_command_that_qemu_refuses_carries_its_words(tmp_path: Path) -> None:
    with listening(tmp_path / "qmp", FakeVm({}).serve) as path, connect(path) as monitor:
        with pytest.raises(CommandFailed) as caught:
            monitor.execute("nonsense")
        assert caught.value.error_class == "CommandNotFound"
        assert caught.value.why == "The command nonsense has not been found"
        # The connection goes on.
        assert monitor.execute("query-status")["status"] == "running"


def test_descriptors_are_closed_on_both_ways_out(tmp_path: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    with listening(tmp_path / "a", FakeVm({}).serve) as path, connect(path):
        pass
    with listening(tmp_path / "b", say(b"x\n")) as path, pytest.raises(InputRefused):
        connect(path)
    with pytest.raises(HostLacks):
        connect(str(tmp_path / "absent"))
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@pytest.mark.parametrize("path", ["absent", "x" * 200, "file"])
def test_nothing_listens(path: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(VsmmuError) as caught:
        connect(str(tmp_path / path), 0.5)
    assert caught.value.code == "no-monitor"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may connect to everything")
def test_no_right_to_connect(tmp_path: Path) -> None:
    with listening(tmp_path / "qmp", FakeVm({"s": PLAIN}).serve) as path:
        Path(path).chmod(0)
        with pytest.raises(PermissionRefused):
            connect(path)
        Path(path).chmod(0o600)
        connect(path).__exit__(None, None, None)
