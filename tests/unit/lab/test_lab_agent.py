# SPDX-License-Identifier: Apache-2.0
"""The agent, served over a socket instead of a virtio-serial port: no guest needed."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from vsmmu.lab.agent import HEADER, MAX_PAYLOAD, Decoder, Frame, Kind, encode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SERVE = "import sys; from vsmmu.lab.agent import Agent; Agent(int(sys.argv[1])).serve()"


def test_frames_survive_any_cut() -> None:
    stream = encode(Kind.RUN, 1, b"{}") + encode(Kind.STDIN, 1, b"x" * 300) + encode(Kind.STDIN, 2**32 - 1)
    for size in (1, 2, 8, 9, 10, 11, len(stream)):
        decoder = Decoder()
        frames = [f for at in range(0, len(stream), size) for f in decoder.feed(stream[at : at + size])]
        assert [(f.kind, f.request, len(f.payload)) for f in frames] == [
            (Kind.RUN, 1, 2),
            (Kind.STDIN, 1, 300),
            (Kind.STDIN, 2**32 - 1, 0),
        ]


@pytest.mark.parametrize("head", [HEADER.pack(1, 1, MAX_PAYLOAD + 1), HEADER.pack(99, 1, 0)])
def test_a_stream_out_of_step_is_noticed(head: bytes) -> None:
    with pytest.raises(ValueError, match=r"frame of|not a valid Kind"):
        Decoder().feed(head)


class Peer:
    """The outer side, as plain as can be."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.decoder = Decoder()
        self.queue: list[Frame] = []

    def receive(self) -> Frame:
        while not self.queue:
            data = self.connection.recv(1 << 16)
            assert data, "the agent has gone"
            self.queue += self.decoder.feed(data)
        return self.queue.pop(0)

    def start(self, request: int, *argv: str, stdin: bytes | None = b"", **wish: object) -> None:
        order = {"argv": argv, "env": {}, "cwd": "/", "timeout": None} | wish
        self.connection.sendall(encode(Kind.RUN, request, json.dumps(order).encode()))
        if stdin is not None:
            if stdin:
                self.connection.sendall(encode(Kind.STDIN, request, stdin))
            self.connection.sendall(encode(Kind.STDIN, request))

    def finish(self, request: int) -> tuple[dict[str, object], bytes, bytes]:
        pieces = {Kind.STDOUT: b"", Kind.STDERR: b""}
        while True:
            frame = self.receive()
            assert frame.request == request
            if frame.kind is Kind.EXIT:
                return frame.json(), pieces[Kind.STDOUT], pieces[Kind.STDERR]
            pieces[frame.kind] += frame.payload

    def run(self, *argv: str, **wish: object) -> tuple[dict[str, object], bytes, bytes]:
        self.start(1, *argv, **wish)  # type: ignore[arg-type]
        return self.finish(1)


@pytest.fixture
def peer() -> Iterator[Peer]:
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    ours.settimeout(20)
    fd = theirs.fileno()
    with ours, subprocess.Popen([sys.executable, "-c", SERVE, str(fd)], pass_fds=[fd]) as process:
        theirs.close()
        made = Peer(ours)
        hello = made.receive()
        assert hello.kind is Kind.HELLO
        assert hello.json()["pid"] == process.pid
        yield made
        ours.close()
        # It serves until the outer side closes, and no longer.
        assert process.wait(10) == 0


def test_status_and_both_outputs_come_back(peer: Peer) -> None:
    answer, out, err = peer.run("sh", "-c", "echo out; echo err >&2; exit 7")
    assert (answer["status"], answer["timed_out"], answer["error"]) == (7, False, "")
    assert (out, err) == (b"out\n", b"err\n")


def test_a_signal_counts_from_128(peer: Peer) -> None:
    assert peer.run("sh", "-c", "kill -9 $$")[0]["status"] == 128 + 9


@pytest.mark.parametrize(
    ("argv", "cwd", "status"),
    [(["/no/such"], "/", 127), (["/"], "/", 126), (["a\0b"], "/", 126), (["true"], "/no/such", 127)],
)
def test_what_cannot_start_says_why(peer: Peer, argv: list[str], cwd: str, status: int) -> None:
    answer, out, err = peer.run(*argv, cwd=cwd)
    assert answer["status"] == status
    assert answer["error"]
    assert (out, err) == (b"", b"")


def test_input_environment_and_directory_arrive(peer: Peer) -> None:
    data = os.urandom(300_000)
    answer, out, _ = peer.run(
        "sh", "-c", 'cat; printf %s "$PWD:$NAME"', stdin=data, cwd="/usr", env={"NAME": "ä"}
    )
    assert answer["status"] == 0
    assert out == data + "/usr:ä".encode()


def test_a_command_that_reads_nothing_may_end(peer: Peer) -> None:
    assert peer.run("true", stdin=b"x" * 1_000_000)[0]["status"] == 0
    assert peer.run("echo", "on")[1] == b"on\n"


def test_much_output_comes_whole_though_nobody_reads_for_a_while(peer: Peer) -> None:
    peer.start(1, "sh", "-c", "head -c 9000000 /dev/zero; head -c 9000000 /dev/zero >&2")
    time.sleep(0.3)
    answer, out, err = peer.finish(1)
    assert (answer["status"], len(out), len(err)) == (0, 9_000_000, 9_000_000)


def test_input_and_output_flow_at_once(peer: Peer) -> None:
    data = os.urandom(900_000)
    assert peer.run("cat", stdin=data)[1] == data


def test_a_timeout_kills_the_whole_session(peer: Peer) -> None:
    answer, out, _ = peer.run("sh", "-c", "echo started; sleep 600 & sleep 600", timeout=0.5)
    assert answer["timed_out"] is True
    assert answer["status"] == 128 + 9
    assert out == b"started\n"
    assert peer.run("pgrep", "-fx", "sleep 600")[0]["status"] == 1


def test_kill_ends_a_command(peer: Peer) -> None:
    peer.start(5, "sleep", "600", stdin=None)
    peer.connection.sendall(encode(Kind.KILL, 5))
    assert peer.finish(5)[0]["status"] == 128 + 9


def test_a_command_ends_with_its_process_not_with_its_pipes(peer: Peer) -> None:
    answer, out, _ = peer.run("sh", "-c", "sleep 600 & echo $!")
    assert answer["status"] == 0
    assert float(str(answer["seconds"])) < 10
    assert peer.run("kill", out.decode().strip())[0]["status"] == 0


def test_a_background_writer_does_not_hold_up_the_end(peer: Peer) -> None:
    answer, out, _ = peer.run("sh", "-c", "yes & echo $! >&2; sleep 0.1")
    assert answer["status"] == 0
    assert out.startswith(b"y\ny\n")


def test_two_commands_at_a_time(peer: Peer) -> None:
    peer.start(1, "cat", stdin=None)
    peer.start(2, "echo", "two")
    assert peer.finish(2)[1] == b"two\n"
    peer.connection.sendall(encode(Kind.STDIN, 1, b"one") + encode(Kind.STDIN, 1))
    assert peer.finish(1)[1] == b"one"


def test_frames_for_what_has_ended_are_ignored(peer: Peer) -> None:
    peer.connection.sendall(encode(Kind.STDIN, 77, b"x") + encode(Kind.KILL, 78))
    assert peer.run("echo", "on")[1] == b"on\n"


def test_standard_library_only(request: pytest.FixtureRequest) -> None:
    check: Callable[[str], bool] = lambda name: name.split(".")[0] in sys.stdlib_module_names  # noqa: E731
    code = (
        "import sys, runpy; before = set(sys.modules); "
        f"runpy.run_path({str(request.config.rootpath / 'src/vsmmu/lab/agent.py')!r}); "
        "print(*sorted(set(sys.modules) - before))"
    )
    loaded = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    assert [name for name in loaded.stdout.split() if not check(name)] == []
