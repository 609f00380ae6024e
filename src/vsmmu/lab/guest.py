# SPDX-License-Identifier: Apache-2.0
"""One boot of the emulated host: the QEMU process, the agent's port, and their end."""

from __future__ import annotations

import contextlib
import selectors
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import vsmmu
from vsmmu.lab import file_transfer as bring
from vsmmu.lab.agent import Decoder, Frame, Kind, encode
from vsmmu.lab.commands import tail
from vsmmu.lab.errors import LabFailed, LabTimeout
from vsmmu.lab.machine import Console, LabConfig, Start, arguments

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from vsmmu.lab.build import Artifacts

__all__ = ["Guest"]

_RECEIVE = 1 << 18
_SEND = 1 << 16
_EXIT_PATIENCE = 5.0
#: How many times its time a boot may take on a machine that has no processor for it.
_STARVED = 10


class Guest:
    """A booted lab host, as a context manager. Leaving it ends QEMU and removes its files.

    :param initrd: ACPI tables that replace the firmware's.
    :param boot_timeout: seconds until the agent must have answered; those in which QEMU waits for one of the
        machine's processors do not count.
    """

    def __init__(
        self,
        config: LabConfig,
        artifacts: Artifacts,
        *,
        initrd: bytes | None = None,
        boot_timeout: float = 120.0,
    ) -> None:
        self._config = config
        self.artifacts = artifacts
        self._initrd = initrd
        self._boot_timeout = boot_timeout
        self._stack = contextlib.ExitStack()
        self._decoder = Decoder()
        #: What the agent said of itself and of the boot.
        self.hello: dict[str, Any] = {}

    def __enter__(self) -> Guest:
        with contextlib.ExitStack() as stack:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vsmmu-lab-")))
            self._console_log, self._qemu_log = directory / "console.log", directory / "qemu.log"
            ours, theirs = socket.socketpair()
            stack.enter_context(ours)
            with theirs:
                start = self._prepare(directory, Console(self._console_log), theirs.fileno())
                argv = arguments(self._config, start)
                with self._qemu_log.open("wb") as log:
                    self._process = subprocess.Popen(
                        argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=[theirs.fileno()]
                    )
            stack.callback(self._end)
            ours.setblocking(False)
            self._socket = ours
            self._stack = stack.pop_all()
        try:
            self._wait_for_agent()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End it now. There is nothing in it that would have to be saved."""
        self._stack.close()

    def _prepare(self, directory: Path, console: Console, port: int | None) -> Start:
        return prepare(directory, self.artifacts, console, port, self._initrd)

    def _end(self) -> None:
        self._process.kill()
        self._process.wait()

    def _wait_for_agent(self) -> None:
        started = time.monotonic()
        deadline = started + self._boot_timeout
        while not self.hello:
            try:
                frames = self.exchange(b"", deadline)[1]
            except TimeoutError:
                waited = min(starved(self._process.pid), self._boot_timeout * (_STARVED - 1))
                deadline = started + self._boot_timeout + waited
                if deadline > time.monotonic():
                    continue
                raise LabTimeout(
                    f"the emulated host did not start within {self._boot_timeout:.0f} s",
                    why=self.console_tail(),
                ) from None
            for frame in frames:
                if frame.kind is Kind.HELLO:
                    self.hello = frame.json()

    def console(self) -> str:
        """What the guest's firmware and kernel have written to the serial console."""
        return self._console_log.read_text(errors="replace") if self._console_log.exists() else ""

    def console_tail(self) -> str:
        """The end of it, for a message; empty if there is nothing."""
        text = tail(self._console_log)
        return f"the console ends with\n{text}" if text else ""

    def exchange(self, out: bytes | memoryview, deadline: float) -> tuple[int, list[Frame]]:
        """Send what can be sent of *out* and receive what has come, waiting until there is either.

        :return: how many bytes went out, and the frames.
        :raise TimeoutError: at the deadline (of :func:`time.monotonic`).
        :raise LabFailed: if QEMU is gone.
        """
        with selectors.DefaultSelector() as selector:
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE if out else 0)
            selector.register(self._socket, events)
            ready = selector.select(max(0.0, deadline - time.monotonic()))
        if not ready:
            raise TimeoutError
        mask = ready[0][1]
        try:
            sent = self._socket.send(out[:_SEND]) if mask & selectors.EVENT_WRITE else 0
            data = self._socket.recv(_RECEIVE) if mask & selectors.EVENT_READ else None
        except (BrokenPipeError, ConnectionResetError):
            sent, data = 0, b""
        if data == b"":
            raise self._gone()
        return sent, self._decoder.feed(data) if data else []

    def _gone(self) -> LabFailed:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_EXIT_PATIENCE)
        status = self._process.poll()
        said = "\n".join(text for text in (tail(self._qemu_log), tail(self._console_log)) if text)
        return LabFailed(
            "lab-ended",
            f"the emulated host has ended (QEMU's exit status: {status})",
            why=said or "nothing on the console",
            next="see the whole console: vsmmu lab run --console",
        )


def starved(pid: int) -> float:
    """Seconds in which a process waited for a processor: its thread that had to wait the longest."""
    waited = 0
    for task in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        with contextlib.suppress(OSError, ValueError):  # the thread has gone; a kernel that does not count
            waited = max(waited, int(task.read_text().split()[1]))
    return waited / 1e9


def prepare(
    directory: Path, artifacts: Artifacts, console: Console, port: int | None, initrd: bytes | None
) -> Start:
    """Write into *directory* what one start needs beside the artifacts."""
    tar = directory / "bring.tar"
    tar.write_bytes(bring.lab_tar(Path(vsmmu.__file__).parent))
    tables = None
    if initrd is not None:
        tables = directory / "tables.cpio"
        tables.write_bytes(initrd)
    return Start(artifacts, tar, console, port, tables, int(time.time()))


def command(
    guest: Guest,
    request: int,
    order: bytes,
    stdin: bytes,
    deadline: float,
    receive: Callable[[Kind, bytes], None],
) -> dict[str, Any]:
    """Let the agent run one command; what it writes goes to *receive*. The answer is that of the EXIT frame.

    :raise TimeoutError: at the deadline.
    """
    out = memoryview(
        encode(Kind.RUN, request, order)
        + b"".join(encode(Kind.STDIN, request, stdin[at : at + _SEND]) for at in range(0, len(stdin), _SEND))
        + encode(Kind.STDIN, request)
    )
    while True:
        sent, frames = guest.exchange(out, deadline)
        out = out[sent:]
        for frame in frames:
            if frame.request != request:
                continue
            if frame.kind is Kind.EXIT:
                return frame.json()
            receive(frame.kind, frame.payload)
