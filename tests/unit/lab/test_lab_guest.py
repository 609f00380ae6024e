# SPDX-License-Identifier: Apache-2.0
"""How long a boot may take: the guest's own time, not that of a machine that has no processor for it."""

from __future__ import annotations

import os
import socket
import threading
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from vsmmu.lab import guest
from vsmmu.lab.agent import Kind, encode
from vsmmu.lab.errors import LabTimeout
from vsmmu.lab.guest import Guest, starved
from vsmmu.lab.machine import LabConfig

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HELLO = encode(Kind.HELLO, 0, b'{"kernel": "7.3"}')
NO_ARTIFACTS: Any = SimpleNamespace()


@pytest.fixture
def port() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def booting(ours: socket.socket, tmp_path: Path, seconds: float) -> Guest:
    """A guest whose agent is the test."""
    started = Guest(LabConfig(), NO_ARTIFACTS, boot_timeout=seconds)
    started._socket = ours
    started._process = SimpleNamespace(pid=os.getpid())  # type: ignore[assignment]
    started._console_log = tmp_path / "console.log"
    return started


def test_waiting_for_a_processor_does_not_count(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, port: tuple[socket.socket, socket.socket]
) -> None:
    begun = time.monotonic()
    monkeypatch.setattr(guest, "starved", lambda _pid: time.monotonic() - begun)
    waiting = booting(port[0], tmp_path, 0.2)
    threading.Timer(0.5, port[1].send, [HELLO]).start()
    waiting._wait_for_agent()
    assert waiting.hello == {"kernel": "7.3"}


@pytest.mark.parametrize(("waited", "least", "most"), [(0.0, 0.1, 0.9), (1e9, 1.0, 5.0)])
def test_but_there_is_an_end(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    port: tuple[socket.socket, socket.socket],
    waited: float,
    least: float,
    most: float,
) -> None:
    monkeypatch.setattr(guest, "starved", lambda _pid: waited)
    begun = time.monotonic()
    with pytest.raises(LabTimeout, match="did not start"):
        booting(port[0], tmp_path, 0.1)._wait_for_agent()
    assert least <= time.monotonic() - begun < most


def test_the_kernel_counts_what_a_process_waits() -> None:
    assert 0 <= starved(os.getpid()) < time.monotonic()
    assert starved(1 << 30) == 0
