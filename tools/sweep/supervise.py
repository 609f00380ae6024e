# SPDX-License-Identifier: Apache-2.0
"""Run a function in a process whose calls on files are reported, and fail, or end it, at a chosen one.

The process is a fork of this one, so it begins with everything imported: what is counted are the program's
own calls. Calls on files of the interpreter and on modules are let through uncounted, as are those that a
stand-in (a fake kernel) makes while it is :meth:`Pause.held`.
"""

from __future__ import annotations

import contextlib
import io
import mmap
import os
import select
import signal
import socket
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, NoReturn

from sweep.calls import notify_calls, numbered
from vsmmu.emulate import seccomp
from vsmmu.emulate.errno_error import KernelError
from vsmmu.emulate.memory import ProcessMemory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sweep.calls import Call
    from vsmmu.emulate.seccomp import Notification

__all__ = ["KILL", "SECONDS", "Ended", "Moment", "Pause", "run"]

#: What a decision says to end the process with SIGKILL before the call.
KILL: Final = -1
#: A program that takes longer hangs.
SECONDS: Final = 60.0
_PATH_MAX: Final = 4096
_PAGE: Final = 4096
_ROOT: Final = Path(__file__).resolve().parents[2]
_INTERPRETER: Final = tuple(
    f"{os.path.realpath(part)}/"
    for part in (sys.prefix, f"{sys.base_prefix}/lib", sys.base_exec_prefix, _ROOT / "tools", _ROOT / "tests")
)
_PACKAGE: Final = str(Path(seccomp.__file__).parents[1]) + "/"
_DATA: Final = (".json", ".toml", ".html", ".css", ".js", ".j2", ".xml")


class Moment(NamedTuple):
    """One call, before it is made: the files it is about, and its arguments."""

    name: str
    paths: tuple[str, ...]
    arguments: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.name}({', '.join(self.paths)})"


class Ended(NamedTuple):
    """How a program ended.

    :param status: as :func:`os.waitstatus_to_exitcode` gives it; negative for a signal.
    :param moments: the calls that were counted.
    """

    status: int
    out: bytes
    err: str
    moments: tuple[Moment, ...]


class Pause:
    """A flag shared with the process: calls while it is held are a stand-in's and not the program's."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, mmap.PAGESIZE)

    def __bool__(self) -> bool:
        return self._memory[0] > 0

    @contextlib.contextmanager
    def held(self, to: bool = True) -> Iterator[None]:
        """Hold it, or let it go, for a block."""
        before = self._memory[0]
        self._memory[0] = to
        try:
            yield
        finally:
            self._memory[0] = before


#: For programs without stand-ins.
NEVER: Final = Pause()


def run(
    program: Callable[[], int],
    folder: Path,
    decide: Callable[[int, Moment], int] = lambda _nth, _moment: 0,
    pause: Pause = NEVER,
) -> Ended:
    """Fork, run ``program`` there to its end, and say how it ended.

    :param folder: its working directory; ``out`` and ``err`` beside it take what it writes.
    :param decide: called with the number of each counted call, from 1, and the call; gives the errno with
        which it fails, 0 to let it through, or :data:`KILL`.
    """
    machine = seccomp.architecture()
    ours, theirs = socket.socketpair()
    out, err = folder.with_name(folder.name + ".out"), folder.with_name(folder.name + ".err")
    child = os.fork()
    if not child:
        _child(program, folder, out, err, theirs)
    theirs.close()
    with ours:
        _, descriptors, _, _ = socket.recv_fds(ours, 16, 1)
        if not descriptors:
            os.waitpid(child, 0)
            raise RuntimeError(f"no supervision here: {err.read_text(errors='replace')}")
        supervisor = _Supervisor(descriptors[0], child, numbered(machine), decide, pause)
        ours.send(b"go")
        try:
            supervisor.serve()
        finally:
            os.close(descriptors[0])
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return Ended(status, out.read_bytes(), err.read_text(errors="replace"), tuple(supervisor.moments))


def _child(program: Callable[[], int], folder: Path, out: Path, err: Path, link: socket.socket) -> NoReturn:
    status = 99
    try:
        for number, path in ((1, out), (2, err)):
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            os.dup2(descriptor, number)
            os.close(descriptor)
        os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
        os.chdir(folder)
        sys.stdin = io.TextIOWrapper(os.fdopen(0, "rb"))
        sys.stdout = io.TextIOWrapper(os.fdopen(1, "wb"))
        sys.stderr = io.TextIOWrapper(os.fdopen(2, "wb", 0), errors="backslashreplace", write_through=True)
        machine = seccomp.architecture()
        listener = seccomp.install(machine, notify_calls(machine))
        socket.send_fds(link, [b"listener"], [listener])
        os.close(listener)
        link.recv(2)
        link.close()
        status = program()
        sys.stdout.flush()
    except SystemExit as stop:
        status = stop.code if isinstance(stop.code, int) else 98
    except BaseException:
        traceback.print_exc()
        status = 97
    finally:
        os._exit(status & 0xFF)


class _Supervisor:
    """Answers the notifications of one process."""

    def __init__(
        self,
        listener: int,
        child: int,
        calls: dict[int, Call],
        decide: Callable[[int, Moment], int],
        pause: Pause,
    ) -> None:
        self._listener, self._child, self._calls, self._decide = listener, child, calls, decide
        self._pause = pause
        self.moments: list[Moment] = []

    def serve(self) -> None:
        """Until the last process that has the filter is gone."""
        poll = select.poll()
        poll.register(self._listener, select.POLLIN)
        while True:
            ready = poll.poll(SECONDS * 1000)
            if not ready:
                os.kill(self._child, signal.SIGABRT)
                return
            for _, events in ready:
                if events & select.POLLIN:
                    self._answer()
                elif events & (select.POLLHUP | select.POLLERR):
                    return

    def _answer(self) -> None:
        notification = seccomp.receive(self._listener)
        if notification is None:
            return
        moment = None if self._pause or notification.pid != self._child else self._moment(notification)
        if moment is None:
            seccomp.let_through(self._listener, notification.id)
            return
        self.moments.append(moment)
        decision = self._decide(len(self.moments), moment)
        if decision == KILL:
            os.kill(self._child, signal.SIGKILL)
        elif decision:
            seccomp.answer(self._listener, notification.id, -1, decision)
        else:
            seccomp.let_through(self._listener, notification.id)

    def _moment(self, notification: Notification) -> Moment | None:
        """The call, if it is one of the program's own."""
        call = self._calls[notification.number]
        with ProcessMemory(notification.pid, lambda: True) as memory:
            paths = tuple(_text(memory, notification.arguments[at]) for at in call.paths)
        if not any(paths) and call.descriptor >= 0:
            paths = (self._opened(f"fd/{notification.arguments[call.descriptor] & 0xFFFFFFFF}"),)
        paths = tuple(path if path.startswith("/") else self._below(path) for path in paths)
        if all(_is_interpreters(path) for path in paths):
            return None
        return Moment(call.name, paths, notification.arguments)

    def _opened(self, name: str) -> str:
        try:
            return str(Path(f"/proc/{self._child}/{name}").readlink())
        except OSError:
            return ""

    def _below(self, path: str) -> str:
        return path if ":[" in path else os.path.join(self._opened("cwd"), path)  # noqa: PTH118


def _text(memory: ProcessMemory, address: int) -> str:
    """The path at an address; up to the end of its page, if it is not longer."""
    data = b""
    while b"\0" not in data and len(data) < _PATH_MAX:
        at = address + len(data)
        try:
            data += memory.read(at, _PAGE - at % _PAGE)
        except KernelError:
            break
    return os.fsdecode(data.partition(b"\0")[0])


def _is_interpreters(path: str) -> bool:
    """Whether a file is the interpreter's or a module; data of the package is not."""
    if path.startswith(_PACKAGE):
        return not path.endswith(_DATA)
    return path.startswith(_INTERPRETER) or path.endswith((".py", ".pyc"))
