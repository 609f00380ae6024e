# SPDX-License-Identifier: Apache-2.0
"""The agent inside the lab guest that runs commands, and its frame protocol.

It runs as process 1 of the guest, from a copy of this one file, so it imports the standard library only, and
little of that: every import is part of every boot, emulated. The outer side (:mod:`vsmmu.lab.session`)
imports the frame format from here, so that there is one of it.

Every frame on the virtio-serial port is a header and a payload. The header is big-endian: one byte of kind,
four of request number (chosen by the outer side, returned in every answer), four of payload length.

========  =========  ==========================================================================
kind      direction  payload
========  =========  ==========================================================================
RUN       in         JSON ``{"argv", "env", "cwd", "timeout"}``; starts a process
STDIN     in         bytes for its standard input; an empty frame is the end of the input
KILL      in         nothing; SIGKILL to the process and all in its session
HELLO     out        JSON ``{"pid", "python", "boot_seconds"}``; once, when the agent is ready
STDOUT    out        bytes that the process wrote
STDERR    out        bytes that the process wrote
EXIT      out        JSON ``{"status", "timed_out", "seconds", "error"}``; the last frame of a request
========  =========  ==========================================================================

A request ends when its *process* ends: what the process wrote before is delivered, a background process that
still holds its standard output is not waited for.
"""

from __future__ import annotations

import contextlib
import enum
import fcntl
import json
import os
import selectors
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import IO, Any

__all__ = ["HEADER", "MAX_PAYLOAD", "PORT_NAME", "Decoder", "Frame", "Kind", "encode"]

#: The name under which QEMU shows the port (``virtserialport,name=``) and sysfs lists it.
PORT_NAME = "org.vsmmu.lab"
HEADER = struct.Struct(">BII")
#: No frame is larger; a longer length means that the stream is out of step.
MAX_PAYLOAD = 1 << 20

# The kernel hands one write to the port as one buffer of at most 32 KiB.
_CHUNK = 32 * 1024 - HEADER.size
# While more than this waits to leave, no more is read from the processes (and the same for their input).
_HIGH_WATER = 1 << 20
_SIGNAL_BASE = 128
_STATUS_NOT_FOUND = 127
_STATUS_CANNOT_RUN = 126


class Kind(enum.IntEnum):
    """What a frame is; see the table above."""

    RUN = 1
    STDIN = 2
    KILL = 3
    HELLO = 16
    STDOUT = 17
    STDERR = 18
    EXIT = 19


class Frame:
    """One message on the port."""

    __slots__ = ("kind", "payload", "request")

    def __init__(self, kind: Kind, request: int, payload: bytes = b"") -> None:
        self.kind = kind
        self.request = request
        self.payload = payload

    def json(self) -> dict[str, Any]:
        """The payload of a RUN, HELLO or EXIT frame."""
        document: dict[str, Any] = json.loads(self.payload)
        return document


def encode(kind: Kind, request: int, payload: bytes = b"") -> bytes:
    """A frame as it goes over the port."""
    return HEADER.pack(kind, request, len(payload)) + payload


class Decoder:
    """Cuts a byte stream into frames, whatever pieces it arrives in."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that are complete with *data*.

        :raise ValueError: if the stream is not one of frames.
        """
        self._buffer += data
        frames: list[Frame] = []
        start = 0
        while len(self._buffer) - start >= HEADER.size:
            kind, request, length = HEADER.unpack_from(self._buffer, start)
            if length > MAX_PAYLOAD:
                raise ValueError(f"frame of {length} bytes")
            end = start + HEADER.size + length
            if len(self._buffer) < end:
                break
            frames.append(Frame(Kind(kind), request, bytes(self._buffer[start + HEADER.size : end])))
            start = end
        del self._buffer[:start]
        return frames


class _Job:
    """A running request."""

    __slots__ = ("deadline", "pipes", "process", "request", "started", "stdin", "stdin_ended", "timed_out")

    def __init__(
        self, request: int, process: subprocess.Popen[bytes], started: float, timeout: float | None
    ) -> None:
        self.request = request
        self.process = process
        self.started = started
        self.deadline = None if timeout is None else started + timeout
        self.timed_out = False
        self.stdin = bytearray()
        self.stdin_ended = False
        self.pipes: dict[int, Kind] = {}
        for stream, kind in ((process.stdout, Kind.STDOUT), (process.stderr, Kind.STDERR)):
            if stream is not None:
                self.pipes[stream.fileno()] = kind


def _start(argv: list[str], env: dict[str, str], cwd: str) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        argv,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | env,
        cwd=cwd,
        start_new_session=True,
        bufsize=0,
    )
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            os.set_blocking(stream.fileno(), False)
    return process


def _processes_of_session(session: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, ValueError, IndexError):
                # pid (comm) state ppid pgrp session ...; comm may hold spaces and parentheses.
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                if int(fields[3]) == session:
                    found.append(int(entry.name))
    return found


class Agent:
    """The event loop: one port, any number of processes."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._decoder = Decoder()
        self._out = bytearray()
        self._jobs: dict[int, _Job] = {}
        self._selector = selectors.DefaultSelector()
        self._wake, wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        self._selector.register(self._wake, selectors.EVENT_READ)

    def serve(self) -> None:
        """Answer frames until the outer side closes the port."""
        uptime = float(Path("/proc/uptime").read_text().split()[0])
        hello = {"pid": os.getpid(), "python": sys.version.split()[0], "boot_seconds": uptime}
        self._send(Kind.HELLO, 0, json.dumps(hello).encode())
        while True:
            self._watch()
            for key, events in self._selector.select(self._patience()):
                if key.fd == self._port:
                    if events & selectors.EVENT_WRITE:
                        self._flush()
                    if events & selectors.EVENT_READ and not self._receive():
                        return
                elif key.fd == self._wake:
                    os.read(self._wake, 4096)
                else:
                    self._service(key.data, key.fd)
            self._reap()
            self._expire()

    def _patience(self) -> float | None:
        deadlines = [job.deadline for job in self._jobs.values() if job.deadline is not None]
        return max(0.0, min(deadlines) - time.monotonic()) if deadlines else None

    def _watch(self) -> None:
        """Listen to what can make progress now, and to nothing that would have to be queued without limit."""
        wanted: dict[int, tuple[int, _Job | None]] = {}
        port_events = selectors.EVENT_WRITE if self._out else 0
        if all(len(job.stdin) < _HIGH_WATER for job in self._jobs.values()):
            port_events |= selectors.EVENT_READ
        if port_events:
            wanted[self._port] = (port_events, None)
        for job in self._jobs.values():
            if len(self._out) < _HIGH_WATER:
                wanted.update((fd, (selectors.EVENT_READ, job)) for fd in job.pipes)
            if job.process.stdin is not None and (job.stdin or job.stdin_ended):
                wanted[job.process.stdin.fileno()] = (selectors.EVENT_WRITE, job)
        wanted[self._wake] = (selectors.EVENT_READ, None)
        for key in list(self._selector.get_map().values()):
            if wanted.get(key.fd) == (key.events, key.data):
                del wanted[key.fd]
            else:
                self._selector.unregister(key.fd)
        for fd, (events, owner) in wanted.items():
            self._selector.register(fd, events, owner)

    # The port.

    def _send(self, kind: Kind, request: int, payload: bytes = b"") -> None:
        self._out += encode(kind, request, payload)

    def _flush(self) -> None:
        with contextlib.suppress(BlockingIOError):
            del self._out[: os.write(self._port, self._out[: _CHUNK + HEADER.size])]

    def _receive(self) -> bool:
        try:
            data = os.read(self._port, 65536)
        except BlockingIOError:
            return True
        for frame in self._decoder.feed(data):
            job = self._jobs.get(frame.request)
            if frame.kind is Kind.RUN:
                self._run(frame)
            elif job is not None and frame.kind is Kind.STDIN:
                job.stdin += frame.payload
                job.stdin_ended |= not frame.payload
            elif job is not None and frame.kind is Kind.KILL:
                self._kill(job)
        return bool(data)

    # The processes.

    def _run(self, frame: Frame) -> None:
        started = time.monotonic()
        order = frame.json()
        try:
            process = _start(order["argv"], order["env"], order["cwd"])
        except (OSError, ValueError) as error:
            status = _STATUS_NOT_FOUND if isinstance(error, FileNotFoundError) else _STATUS_CANNOT_RUN
            self._exit(frame.request, status, started, error=str(error))
            return
        self._jobs[frame.request] = _Job(frame.request, process, started, order["timeout"])

    def _exit(
        self, request: int, status: int, started: float, *, timed_out: bool = False, error: str = ""
    ) -> None:
        seconds = round(time.monotonic() - started, 6)
        answer = {"status": status, "timed_out": timed_out, "seconds": seconds, "error": error}
        self._send(Kind.EXIT, request, json.dumps(answer).encode())

    def _service(self, job: _Job, fd: int) -> None:
        if fd in job.pipes:
            self._read_pipe(job, fd)
        elif job.process.stdin is not None:
            self._feed(job, job.process.stdin)

    def _feed(self, job: _Job, stdin: IO[bytes]) -> None:
        try:
            if job.stdin:
                del job.stdin[: os.write(stdin.fileno(), job.stdin[:_CHUNK])]
        except BlockingIOError:
            return
        except BrokenPipeError:
            job.stdin.clear()
            job.stdin_ended = True
        if job.stdin_ended and not job.stdin:
            self._selector.unregister(stdin)
            stdin.close()
            job.process.stdin = None

    def _read_pipe(self, job: _Job, fd: int, size: int = _CHUNK) -> int:
        """Pass on what one read gives; the number of bytes, 0 if there is nothing more to be had now."""
        try:
            data = os.read(fd, size)
        except BlockingIOError:
            return 0
        if data:
            self._send(job.pipes[fd], job.request, data)
        else:
            del job.pipes[fd]
        return len(data)

    def _kill(self, job: _Job) -> None:
        for pid in _processes_of_session(job.process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        job.deadline = None

    def _expire(self) -> None:
        now = time.monotonic()
        for job in self._jobs.values():
            if job.deadline is not None and now >= job.deadline:
                job.timed_out = True
                self._kill(job)

    def _reap(self) -> None:
        """Collect the dead: ours end their request, orphans (we are process 1) only have to go."""
        by_pid = {job.process.pid: job for job in self._jobs.values()}
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            job = by_pid.get(pid)
            if job is not None:
                code = os.waitstatus_to_exitcode(status)
                job.process.returncode = code
                self._finish(job, code if code >= 0 else _SIGNAL_BASE - code)

    def _finish(self, job: _Job, status: int) -> None:
        for fd in list(job.pipes):
            # What the process wrote is in the pipe by now; what others write after it is not its output.
            left = struct.unpack("i", fcntl.ioctl(fd, termios.FIONREAD, b"\0" * 4))[0]
            while left > 0 and (size := self._read_pipe(job, fd, min(left, _CHUNK))):
                left -= size
        for stream in (job.process.stdin, job.process.stdout, job.process.stderr):
            if stream is not None:
                with contextlib.suppress(KeyError):
                    self._selector.unregister(stream)
                stream.close()
        del self._jobs[job.request]
        self._exit(job.request, status, job.started, timed_out=job.timed_out)


def _open_port() -> int:
    """The port by its name: there is no udev in the guest to make a link for it."""
    for entry in sorted(Path("/sys/class/virtio-ports").iterdir()):
        name = entry / "name"
        if name.exists() and name.read_text().strip() == PORT_NAME:
            return os.open(f"/dev/{entry.name}", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    raise FileNotFoundError(f"no virtio-serial port is named {PORT_NAME}")


def main() -> None:
    """Serve, then switch the guest off: process 1 must not end."""
    try:
        Agent(_open_port()).serve()
    finally:
        with contextlib.suppress(OSError):
            os.sync()
        sys.stdout.flush()
        sys.stderr.flush()
        subprocess.run(["busybox", "poweroff", "-f"], check=False)


if __name__ == "__main__":
    main()
