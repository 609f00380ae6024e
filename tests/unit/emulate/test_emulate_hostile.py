# SPDX-License-Identifier: Apache-2.0
"""Programs, control clients and strangers that do all they can; a program beside them goes on."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import struct
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from emulate_helpers import PROGRAM, as_nobody, emulate, fact, host

from vsmmu.host.files import save_host

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CODE = "import sys; from vsmmu.cli.main import run; sys.exit(run(sys.argv[1:]))"
#: An exclusive lock of the whole file that belongs to the open file.
F_OFD_SETLKW = 38
WHOLE = struct.pack("=hh4xqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("emulate") / "host.json"
    save_host(host(), path)
    return path


def run(facts: Path, *words: str, options: tuple[str, ...] = ()) -> object:
    done = emulate(["-q", "--host", str(facts), *options, "--", sys.executable, PROGRAM, *words])
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_buffer_that_is_much_too_long(facts: Path) -> None:
    assert run(facts, "large_buffer", str(1 << 20)) == [0, 0, "1b14440d"]
    began = time.monotonic()
    assert run(facts, "large_buffer", "3500000000") == ["ENOMEM", 1 << 20, "78787878"]
    assert time.monotonic() - began < 20


def test_hostile_programs_beside_it(facts: Path) -> None:
    assert run(facts, "beside_hostile_ones") == 300


def test_hoarders_are_refused_and_hold_nobody(facts: Path) -> None:
    """What one call looks at, and what a program holds of ours, has an end; and then calls are answered."""
    began = time.monotonic()
    assert run(facts, "hoard") == ["E2BIG", "ENFILE", "ENOMEM"]
    assert time.monotonic() - began < 60


def test_a_full_disk_ends_the_trace_and_not_the_program(facts: Path) -> None:
    done = emulate(
        ["-q", "--host", str(facts), "--trace", "/dev/full", "--", sys.executable, PROGRAM, "simple"]
    )
    assert done.returncode == 0
    assert json.loads(done.stdout)
    assert done.stderr.count("[emulate-trace-lost]") == 1


@pytest.mark.parametrize("privileged", [True, False])
def test_a_stranger_who_locks_the_hosts_files(facts: Path, tmp_path: Path, privileged: bool) -> None:
    """Any user can lock them whole; the program of root, and that of another user, go on."""
    if privileged and os.geteuid():
        pytest.skip("only root can be root")
    queues = tmp_path / "queues.json"
    save_host(host(cmdqv=fact(1)), queues)
    descriptors = [os.open(path, os.O_RDWR) for path in ("/dev/zero", "/dev/null", "/dev/ptmx")]
    try:
        for descriptor in descriptors:
            fcntl.fcntl(descriptor, F_OFD_SETLKW, WHOLE)
        for shown in (facts, queues):
            for words in ("family", "held_by_a_child"):
                if privileged:
                    assert run(shown, words)
                else:
                    done = as_nobody([words], shown)
                    assert json.loads(done.stdout), done.stderr
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def test_a_failure_of_the_emulator_is_an_error_of_one_call(facts: Path) -> None:
    broken = (
        "import vsmmu.emulate.hw_info_call as calls, vsmmu.emulate.iommufd\n"
        "def fail(*_): raise RuntimeError('a\\x1bb')\n"
        "calls._data = fail\n"
    )
    words = ["emulate", "-q", "--host", str(facts), "--", sys.executable, PROGRAM, "hw_info_then_info"]
    done = subprocess.run(
        [sys.executable, "-c", broken + CODE, *words], capture_output=True, text=True, check=False
    )
    assert json.loads(done.stdout) == ["EIO", "ok"]
    assert done.stderr.count("[emulate-own-failure]") == 1
    assert "\x1b" not in done.stderr


@pytest.fixture
def waiting(facts: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A program that waits for a function, and the address of its control socket."""
    address = f"\0vsmmu-hostile-{os.getpid()}-{time.monotonic_ns()}"
    arguments = ["emulate", "-q", "--host", str(facts), "--control", f"@{address[1:]}", "--"]
    process = subprocess.Popen(
        [sys.executable, "-c", CODE, *arguments, sys.executable, PROGRAM, "wait_for_line"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    with process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process, address
        process.kill()


def connected(address: str) -> socket.socket:
    client = socket.socket(socket.AF_UNIX)
    client.connect(address)
    client.settimeout(20)
    return client


def is_served(address: str) -> bool:
    """Whether a client gets an answer; while too many are there, it is sent away."""
    for _ in range(100):
        with connected(address) as client, contextlib.suppress(OSError):
            client.sendall(b'{"do": "list"}\n')
            line = client.makefile().readline()
            if line:
                return bool(json.loads(line)["ok"])
        time.sleep(0.1)
    return False


def test_control_clients_that_do_all_they_can(waiting: tuple[subprocess.Popen[str], str]) -> None:
    process, address = waiting
    clients = [connected(address) for _ in range(30)]
    hoarder = clients[0]
    hoarder.setblocking(False)
    for _ in range(20_000):  # it never reads: its orders wait at its own end, in the end
        try:
            hoarder.send(b'{"do": "list"}\n')
        except BlockingIOError:
            break
    else:
        pytest.fail("a client that does not read is read without end")
    for client, line in zip(clients[1:4], (b"\xff\xfe\n", b"[" * 100_000 + b"\n", b'{"do": 1}'), strict=True):
        client.sendall(line)
    answers = [json.loads(client.makefile().readline()) for client in clients[1:3]]
    assert [answer["ok"] for answer in answers] == [False, False]
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("\n")
    process.stdin.flush()
    assert json.loads(process.stdout.readline())[0] == "ok"
    for client in clients:
        client.close()
    assert is_served(address)
    process.stdin.write("\n")
    process.stdin.flush()
    assert process.wait(20) == 0


def test_a_slow_reader_gets_every_answer(waiting: tuple[subprocess.Popen[str], str]) -> None:
    _, address = waiting
    client = connected(address)
    client.sendall(b'{"do": "list"}\n' * 3000)
    lines = client.makefile()
    assert all(json.loads(lines.readline())["ok"] for _ in range(3000))
    client.close()
