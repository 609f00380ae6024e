# SPDX-License-Identifier: Apache-2.0
"""The control socket: hot-plug and unplug of emulated functions while the program runs.

One JSON document a line in, one out (``{"ok": true, ...}`` or ``{"ok": false, "error": "..."}``):

* ``{"do": "list"}``
* ``{"do": "add", "host": {...}}``: the SMMUs and functions of a ``vsmmu.host/1`` document that are new.
* ``{"do": "remove", "function": "0009:01:00.0"}``: its nodes vanish; who has it open keeps it.
"""

from __future__ import annotations

import contextlib
import os
import socket
from typing import TYPE_CHECKING, Any, Final, Self

import msgspec

from vsmmu.emulate import libc
from vsmmu.emulate.mounts import Overlay
from vsmmu.emulate.nodes import function_nodes, tree
from vsmmu.errors import HostLacks, VsmmuError
from vsmmu.host.files import MAX_BYTES, decode_host

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from vsmmu.emulate.nodes import Node
    from vsmmu.emulate.supervisor import Supervisor

__all__ = ["Control"]

_CHUNK: Final = 1 << 16
#: More than anybody needs at once; each may hold a document of the largest size.
_MOST_CLIENTS: Final = 16


class _Client:
    """A connection, the orders that are not obeyed yet, and the answers that are not sent yet."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.orders = bytearray()
        self.answers = bytearray()
        self.is_waited_for = False


class Control:
    """Listens while the program runs; for its own user only.

    :param address: a path, or ``@NAME`` for an abstract socket, of which nothing is ever left behind.
    :param child: the process whose namespaces the program has.
    """

    def __init__(self, supervisor: Supervisor, address: str, child: int) -> None:
        self._supervisor = supervisor
        self._address = address
        self._child = child
        self._clients: dict[int, _Client] = {}
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)

    def __enter__(self) -> Self:
        try:
            self._socket.bind(f"\0{self._address[1:]}" if self._address[:1] == "@" else self._address)
        except OSError as error:
            self._socket.close()
            raise HostLacks(
                "emulate-control",
                "cannot make the control socket",
                where=self._address,
                why=error.strerror or str(error),
                next="remove the file if nobody uses it, or give another address",
            ) from None
        self._socket.listen(4)
        self._socket.setblocking(False)
        self._supervisor.watch(self._socket.fileno(), self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for client in self._clients.values():
            client.socket.close()
        self._socket.close()
        if self._address[:1] != "@":
            with contextlib.suppress(OSError):
                os.unlink(self._address)  # noqa: PTH108

    def _accept(self) -> None:
        try:
            connection, _ = self._socket.accept()
        except OSError:  # it has gone again
            return
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        stranger = int.from_bytes(credentials[4:8], "little") not in (0, os.getuid())
        if stranger or len(self._clients) >= _MOST_CLIENTS:
            connection.close()
            return
        connection.setblocking(False)
        number = connection.fileno()
        self._clients[number] = _Client(connection)
        self._supervisor.watch(number, lambda: self._read(number))

    def _read(self, number: int) -> None:
        client = self._clients[number]
        try:
            data = client.socket.recv(_CHUNK)
        except OSError:
            data = b""
        client.orders += data
        if not data or len(client.orders) > MAX_BYTES:
            self._drop(number)
        else:
            self._serve(number)

    def _serve(self, number: int) -> None:
        """Obey one order after the other, as long as the client takes the answers; nobody waits for it."""
        client = self._clients[number]
        while True:
            if client.answers and not self._send(number):
                return
            line, end, rest = bytes(client.orders).partition(b"\n")
            if not end:
                return
            client.orders[:] = rest
            client.answers += msgspec.json.encode(self._do(line)) + b"\n"

    def _send(self, number: int) -> bool:
        """Send what can be; whether that is all. Until it is, the client's next orders are not read."""
        client = self._clients[number]
        try:
            del client.answers[: client.socket.send(client.answers)]
        except BlockingIOError:
            pass
        except OSError:
            self._drop(number)
            return False
        if bool(client.answers) != client.is_waited_for:
            client.is_waited_for = bool(client.answers)
            self._supervisor.unwatch(number)
            ready = self._serve if client.is_waited_for else self._read
            self._supervisor.watch(number, lambda: ready(number), to_write=client.is_waited_for)
        return not client.answers

    def _drop(self, number: int) -> None:
        self._supervisor.unwatch(number)
        self._clients.pop(number).socket.close()

    def _do(self, line: bytes) -> dict[str, Any]:
        try:
            order = msgspec.json.decode(line)
            return {"ok": True, **self._act(order)}
        except VsmmuError as error:
            return {"ok": False, "error": str(error)}
        except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
            return {"ok": False, "error": f"not understood: {error}"}
        except OSError as error:
            return {"ok": False, "error": str(error)}

    def _act(self, order: Any) -> dict[str, Any]:
        hardware = self._supervisor.hardware
        if order["do"] == "list":
            return {"functions": {f.address: f.node for f in hardware.functions.values()}}
        if order["do"] == "add":
            host = decode_host(msgspec.json.encode(order["host"]), "the control socket")
            added = hardware.add(host)
            self._change(tree(hardware), {})
            return {"functions": {function.address: function.node for function in added}}
        if order["do"] == "remove":
            function = hardware.remove(order["function"])
            self._change({}, function_nodes(function))
            return {}
        raise KeyError(order["do"])

    def _change(self, add: Mapping[str, Node], remove: Mapping[str, Node]) -> None:
        """In the program's namespaces, which a process of ours enters for it."""
        failed, tell = os.pipe2(os.O_CLOEXEC)
        child = os.fork()
        if not child:
            _change_inside(self._child, add, remove, tell)
        os.close(tell)
        with open(failed, "rb") as message:  # noqa: PTH123 - a descriptor
            text = message.read()
        os.waitpid(child, 0)
        if text:
            raise HostLacks(
                "emulate-namespaces",
                "cannot change what the program sees",
                why=text.decode(),
                next="see whether the program may still mount: it may have dropped its rights",
            )


def _change_inside(process: int, add: Mapping[str, Node], remove: Mapping[str, Node], tell: int) -> None:
    try:
        _enter(process)
        overlay = Overlay()
        overlay.remove(remove)
        overlay.add(add)
    except OSError as error:
        os.write(tell, str(error).encode())
    finally:
        os._exit(0)


def _enter(process: int) -> None:
    spaces = {}
    for name, kind in (("user", libc.CLONE_NEWUSER), ("mnt", libc.CLONE_NEWNS)):
        path = f"/proc/{process}/ns/{name}"
        if os.path.exists(path) and os.readlink(path) != os.readlink(f"/proc/self/ns/{name}"):  # noqa: PTH110, PTH115
            spaces[kind] = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    for kind, descriptor in spaces.items():
        libc.setns(descriptor, kind)
