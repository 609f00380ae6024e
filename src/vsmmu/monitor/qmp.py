# SPDX-License-Identifier: Apache-2.0
"""A client for QMP, QEMU's monitor: one command after the other, in bounded time and space.

Whoever is at the other end is not trusted to be QEMU, nor to live: every conversation has one deadline, every
reply a largest size, and whatever is not QMP is refused with what was said instead. Events are skipped.

Not qemu.qmp, and not for its time: no monitor is on the path of a VM's start (a known binary is not asked
again). A libvirt domain's replies come from virsh, without a connection, so the two message forms are read
here in any case; qemu.qmp 0.0.6 would replace the transport alone. In its place come asyncio and one more
dependency on every node, no deadline but for single calls, and a queue of events without a bound (a peer that
floods them takes 140 MiB in three seconds [measured]). Specification: docs/interop/qmp-spec.rst of qemu/qemu.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import time
from typing import TYPE_CHECKING, Any, Final, Protocol, Self

import msgspec

from vsmmu.errors import HostLacks, InputRefused, PermissionRefused, VsmmuError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

__all__ = ["CommandFailed", "Commands", "Monitor", "connect", "request", "result"]

#: Seconds for a whole conversation where the caller names none.
DEFAULT_SECONDS: Final = 10.0
#: The children of 4,096 devices take some hundred KiB; nothing that is asked comes near this. As lists in
#: lists, the worst that a peer can make of it, Python's objects take thirty times as much.
MAX_REPLY: Final = 2 << 20
_CHUNK: Final = 1 << 16
_SHOWN: Final = 80
#: What :func:`result` gives for an event.
EVENT: Final = object()


class CommandFailed(HostLacks):
    """QEMU understood a command and refused it.

    :ivar error_class: QMP's class, such as ``DeviceNotFound``; :attr:`why` is QEMU's sentence.
    """

    def __init__(self, command: str, error_class: str, text: str, where: str) -> None:
        super().__init__(
            "monitor-refused",
            f"QEMU refuses {command}",
            where=where,
            why=text,
            next="try again; if it is refused again, report it with QEMU's version",
        )
        self.error_class = error_class


class Commands(Protocol):
    """Whatever takes QMP commands."""

    def execute(self, command: str, **arguments: Any) -> Any:
        """Run one command; its ``return``.

        :raise CommandFailed: QEMU's own refusal.
        :raise VsmmuError: the connection fails.
        """
        ...


def request(command: str, arguments: Mapping[str, Any]) -> bytes:
    """A command as QMP has it; an underscore in an argument's name becomes the dash that QMP writes."""
    message: dict[str, Any] = {"execute": command}
    if arguments:
        message["arguments"] = {key.replace("_", "-"): value for key, value in arguments.items()}
    return msgspec.json.encode(message)


def result(line: bytes, command: str, where: str) -> Any:
    """The ``return`` of a reply; :data:`EVENT` if the line is an event.

    :param where: the monitor's name in messages.
    :raise CommandFailed: the reply is QEMU's refusal.
    :raise InputRefused: ``not-a-monitor``, if the line is no message of QMP.
    """
    reply = _message(line, where)
    if "return" in reply:
        return reply["return"]
    failed = reply.get("error")
    if isinstance(failed, dict):
        kind, text = (part if isinstance(part := failed.get(key), str) else "" for key in ("class", "desc"))
        raise CommandFailed(command, kind, text, where)
    if "event" in reply:
        return EVENT
    raise _nonsense(f"answer to {command} is {line[:_SHOWN]!r}", where)


def _message(line: bytes, where: str) -> dict[str, Any]:
    try:
        message = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise _nonsense(f"line {line[:_SHOWN]!r} is not JSON", where) from None
    if not isinstance(message, dict):
        raise _nonsense(f"line {line[:_SHOWN]!r} is no object", where)
    return message


def _nonsense(why: str, where: str) -> InputRefused:
    return InputRefused("not-a-monitor", "this is not QMP", where=where, why=f"its {why}",
                        next="name the socket of -qmp, or of a -mon with mode=control")  # fmt: skip


class Monitor:
    """A QMP connection over two file descriptors, which stay the caller's.

    :param where: the monitor's name in messages.
    :param seconds: for everything, from now on.
    :raise HostLacks: ``monitor-silent``, ``monitor-closed``.
    :raise InputRefused: ``not-a-monitor``, if the greeting is not QMP's.
    """

    def __init__(self, reader: int, writer: int, where: str, seconds: float = DEFAULT_SECONDS) -> None:
        self._reader, self._writer, self._where = reader, writer, where
        self.extend(seconds)
        self._buffer = bytearray()
        self._owned: socket.socket | None = None
        os.set_blocking(reader, False)
        os.set_blocking(writer, False)
        greeting = self._receive()
        if "QMP" not in _message(greeting, where):
            raise _nonsense(f"greeting is {greeting[:_SHOWN]!r}", where)
        self.execute("qmp_capabilities")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._owned is not None:
            self._owned.close()

    def adopt(self, connection: socket.socket) -> None:
        """Take the socket over: leaving the monitor's ``with`` block closes it."""
        self._owned = connection

    def extend(self, seconds: float) -> None:
        """Let the conversation end so many seconds from now."""
        self._seconds = seconds
        self._deadline = time.monotonic() + seconds

    def execute(self, command: str, **arguments: Any) -> Any:
        """Run one command; see :class:`Commands`."""
        self._send(request(command, arguments) + b"\n")
        while (answer := result(self._receive(), command, self._where)) is EVENT:
            pass
        return answer

    def _send(self, data: bytes) -> None:
        while data:
            self._wait(self._writer, select.POLLOUT)
            try:
                data = data[os.write(self._writer, data) :]
            except BlockingIOError:
                continue
            except OSError as error:
                raise self._closed(error.strerror or "") from None

    def _receive(self) -> bytes:
        while (end := self._buffer.find(b"\n")) < 0:
            if len(self._buffer) > MAX_REPLY:
                raise _nonsense(f"reply is longer than {MAX_REPLY >> 20} MiB", self._where)
            self._wait(self._reader, select.POLLIN)
            try:
                data = os.read(self._reader, _CHUNK)
            except BlockingIOError:
                continue
            except OSError as error:
                raise self._closed(error.strerror or "") from None
            if not data:
                raise self._closed("the other end closed it")
            self._buffer += data
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return line

    def _wait(self, descriptor: int, event: int) -> None:
        poll = select.poll()
        poll.register(descriptor, event)
        left = self._deadline - time.monotonic()
        if left <= 0 or not poll.poll(left * 1000):
            raise HostLacks(
                "monitor-silent",
                f"no answer within {self._seconds:g} s",
                where=self._where,
                why="QEMU serves one client at a time: another holds this monitor, or QEMU hangs",
                next="give it a monitor of its own (-qmp unix:PATH,server=on,wait=off), or name the domain",
            )

    def _closed(self, why: str) -> HostLacks:
        return HostLacks("monitor-closed", "the monitor went away", where=self._where, why=why,
                         next="see whether the VM still runs")  # fmt: skip


def connect(path: str, seconds: float = DEFAULT_SECONDS) -> Monitor:
    """Connect to a QMP socket.

    :raise HostLacks: ``no-monitor``, if nothing listens there; and as :class:`Monitor`.
    :raise PermissionRefused: ``monitor-permission``.
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(seconds)
        connection.connect(path)
        monitor = Monitor(connection.fileno(), connection.fileno(), path, seconds)
    except (OSError, ValueError) as error:
        connection.close()
        raise _refused(path, error) from None
    except VsmmuError:
        connection.close()
        raise
    monitor.adopt(connection)
    return monitor


def _refused(path: str, error: OSError | ValueError) -> VsmmuError:
    why = (error.strerror if isinstance(error, OSError) else "") or str(error)
    if isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EPERM):
        return PermissionRefused(
            "monitor-permission",
            "cannot connect",
            where=path,
            why=why,
            next="run as the user who runs the VM",
        )
    return HostLacks(
        "no-monitor",
        "nothing listens there",
        where=f"{path:.200}",
        why=why,
        next="name the socket of -qmp unix:PATH, the process id of QEMU, or a libvirt domain",
    )
