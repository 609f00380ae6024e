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
from vsmmu.emulate.files import vfio_number
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


class Control:
    """Listens while the program runs; for its own user only.

    :param address: a path, or ``@NAME`` for an abstract socket, of which nothing is ever left behind.
    :param child: the process whose namespaces the program has.
    """

    def __init__(self, supervisor: Supervisor, address: str, child: int) -> None:
        self._supervisor = supervisor
        self._address = address
        self._child = child
        self._clients: dict[int, tuple[socket.socket, bytearray]] = {}
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
        self._supervisor.watch(self._socket.fileno(), self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for client, _ in self._clients.values():
            client.close()
        self._socket.close()
        if self._address[:1] != "@":
            with contextlib.suppress(OSError):
                os.unlink(self._address)  # noqa: PTH108

    def _accept(self) -> None:
        client, _ = self._socket.accept()
        credentials = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        if int.from_bytes(credentials[4:8], "little") not in (0, os.getuid()):
            client.close()
            return
        self._clients[client.fileno()] = (client, bytearray())
        self._supervisor.watch(client.fileno(), lambda: self._read(client.fileno()))

    def _read(self, number: int) -> None:
        client, pending = self._clients[number]
        try:
            data = client.recv(_CHUNK)
        except OSError:
            data = b""
        pending += data
        if not data or len(pending) > MAX_BYTES:
            self._supervisor.unwatch(number)
            del self._clients[number]
            client.close()
            return
        while b"\n" in pending:
            line, _, rest = bytes(pending).partition(b"\n")
            pending[:] = rest
            with contextlib.suppress(OSError):
                client.sendall(msgspec.json.encode(self._do(line)) + b"\n")

    def _do(self, line: bytes) -> dict[str, Any]:
        try:
            order = msgspec.json.decode(line)
            return {"ok": True, **self._act(order)}
        except VsmmuError as error:
            return {"ok": False, "error": str(error)}
        except (msgspec.DecodeError, KeyError, TypeError, AttributeError) as error:
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
            self._change(tree(hardware, vfio_number()), {})
            return {"functions": {function.address: function.node for function in added}}
        if order["do"] == "remove":
            function = hardware.remove(order["function"])
            self._change({}, function_nodes(function, vfio_number()))
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
