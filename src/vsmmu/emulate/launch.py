# SPDX-License-Identifier: Apache-2.0
"""Start a program on the emulated host and serve its calls until it ends.

The program runs in a child that has prepared itself: its own mount namespace, the filter, then exec. The
listener of the filter comes over a socket before that. If this process dies, the kernel closes the listener,
and the program's calls fail with ENOSYS: nothing waits, and with the program its namespace goes.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import socket
import sys
from typing import TYPE_CHECKING, Final, NamedTuple, NoReturn

from vsmmu.emulate import seccomp
from vsmmu.emulate.control import Control
from vsmmu.emulate.faults import Faults
from vsmmu.emulate.mounts import Overlay, enter_namespace
from vsmmu.emulate.nodes import tree
from vsmmu.emulate.supervisor import Supervisor
from vsmmu.errors import HostLacks, VsmmuError, named_file

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from vsmmu.emulate.faults import Fault
    from vsmmu.emulate.hardware import Hardware
    from vsmmu.emulate.nodes import Node
    from vsmmu.emulate.trace import Trace

__all__ = ["EmulationOptions", "run"]

_NOT_FOUND, _CANNOT_RUN = 127, 126
_SIGNAL_BASE: Final = 128
#: Passed on to the program when they are sent to us alone; a terminal sends SIGINT to both.
_PASSED_ON: Final = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
_LIMIT: Final = 4096
#: For a ``vsmmu probe`` among the programs: what it finds must not pass for facts about the real host. Below
#: a directory that exists in the program's namespace only, so that it ends with the program.
_RUN_DIRECTORY: Final = "/dev/vfio/.vsmmu"


class EmulationOptions(NamedTuple):
    """What a run has beside host and program.

    :param control: address of the control socket, or empty.
    """

    faults: tuple[Fault, ...] = ()
    trace: Trace | None = None
    control: str = ""


def run(hardware: Hardware, argv: Sequence[str], options: EmulationOptions = EmulationOptions()) -> int:  # noqa: B008
    """Run ``argv`` until it and all its descendants have ended; its exit status, as a shell has it.

    :raise HostLacks: ``emulate-seccomp``, ``emulate-namespaces``, ``emulate-architecture``.
    """
    machine = seccomp.architecture()
    nodes = tree(hardware)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if not child:
        ours.close()
        _become(theirs, argv, lambda: _prepare(machine, lambda: _lay_over(nodes)))
    theirs.close()
    with ours:
        listener = _receive_listener(ours, child)
        supervisor = Supervisor(listener, machine, hardware, Faults(options.faults), options.trace)
        try:
            ours.send(b"go")
            return _serve(supervisor, child, ours, options.control)
        finally:
            supervisor.close()


def _lay_over(nodes: Mapping[str, Node]) -> None:
    """Show the emulated host to this process, which has a namespace of its own."""
    Overlay().add(nodes)
    if os.environ.setdefault("VSMMU_RUN_DIR", _RUN_DIRECTORY) == _RUN_DIRECTORY:
        os.makedirs(_RUN_DIRECTORY, mode=0o700, exist_ok=True)  # noqa: PTH103 - in a child before exec


def _prepare(machine: seccomp.Architecture, lay_over: Callable[[], None]) -> int:
    enter_namespace()
    try:
        lay_over()
    except OSError as error:
        raise HostLacks(
            "emulate-namespaces",
            "cannot show the program another /dev and /sys",
            where=named_file(error),
            why=error.strerror or "",
            next="run as root; in a container, allow mounts (CAP_SYS_ADMIN)",
        ) from None
    try:
        return seccomp.install(machine, seccomp.filter_program(machine))
    except OSError as error:
        why = "the program has such a supervisor already" if error.errno == errno.EBUSY else error.strerror
        raise HostLacks(
            "emulate-seccomp",
            "cannot get notified of the program's system calls",
            why=why or "",
            next="use Linux 5.9 or later with CONFIG_SECCOMP_FILTER, not inside another emulate or sandbox",
        ) from None


def _become(link: socket.socket, argv: Sequence[str], prepare: Callable[[], int]) -> NoReturn:
    """In the child: prepare, hand the listener over, exec. Errors go over ``link`` as CODE, WHAT, ..."""
    try:
        try:
            listener = prepare()
        except VsmmuError as error:
            link.send(
                "\0".join(("refused", error.code, error.what, error.where, error.why, error.next)).encode()
            )
            os._exit(_CANNOT_RUN)
        socket.send_fds(link, [b"listener"], [listener])
        os.close(listener)
        if link.recv(_LIMIT) != b"go":
            os._exit(_CANNOT_RUN)
        for number in (signal.SIGPIPE, signal.SIGINT, *_PASSED_ON):
            signal.signal(number, signal.SIG_DFL)
        try:
            os.execvp(argv[0], list(argv))  # noqa: S606 - that is the purpose
        except OSError as error:
            link.send(f"exec\0{error.errno}".encode())
            os._exit(_NOT_FOUND if error.errno == errno.ENOENT else _CANNOT_RUN)
    finally:
        os._exit(_CANNOT_RUN)


def _receive_listener(link: socket.socket, child: int) -> int:
    message, descriptors, _, _ = socket.recv_fds(link, _LIMIT, 1)
    if descriptors:
        os.set_inheritable(descriptors[0], False)
        return descriptors[0]
    os.waitpid(child, 0)
    kind, _, rest = message.decode().partition("\0")
    if kind == "refused":
        code, what, where, why, next_ = rest.split("\0")
        raise HostLacks(code, what, where=where, why=why, next=next_)
    raise HostLacks(
        "emulate-start",
        "the program could not be prepared",
        why="its process ended early",
        next="run the program without emulate; the kernel log may say who ended it",
    )


def _serve(supervisor: Supervisor, child: int, link: socket.socket, control: str) -> int:
    status: list[int] = []
    process = os.pidfd_open(child)

    def ended() -> None:
        supervisor.unwatch(process)
        status.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))

    def pass_on(number: int, _: object) -> None:
        if status:
            # The program has ended, others that it started go on: end, and let their calls fail.
            raise KeyboardInterrupt
        signal.pidfd_send_signal(process, number)

    supervisor.watch(process, ended)
    before = {number: signal.signal(number, pass_on) for number in _PASSED_ON}
    before[signal.SIGINT] = signal.signal(signal.SIGINT, lambda *_: pass_on_interrupt(status))
    try:
        with contextlib.ExitStack() as stack:
            if control:
                stack.enter_context(Control(supervisor, control, child))
            supervisor.run()
        if not status:
            ended()
        _report_exec(link)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(process)
    return status[0] if status[0] >= 0 else _SIGNAL_BASE - status[0]


def _report_exec(link: socket.socket) -> None:
    """Say why exec failed, if it did: with its success the other end was closed."""
    failed = link.recv(_LIMIT)
    if failed:
        why = os.strerror(int(failed.partition(b"\0")[2]))
        from vsmmu.diagnostic import Diagnostic

        found = Diagnostic("emulate-program", "cannot run the program", why=why, next="check its path")
        sys.stderr.write(f"vsmmu: {found}\n")


def pass_on_interrupt(status: Sequence[int]) -> None:
    """SIGINT: the terminal has sent it to the program, too; only afterwards is it for us."""
    if status:
        raise KeyboardInterrupt
