# SPDX-License-Identifier: Apache-2.0
"""Ends of a QMP socket: a small VM in QOM's own terms, and peers that are no QEMU."""

from __future__ import annotations

import json
import socket
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from vsmmu.monitor.qmp import CommandFailed
from vsmmu.qemu.compat import BASE
from vsmmu.smmuv3.fields import REGISTERS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from vsmmu.smmuv3.registers import IdRegisters

GREETING = b'{"QMP": {"version": {"qemu": {"micro": 3, "minor": 1, "major": 11}}, "capabilities": []}}\r\n'
PLATFORM_BUS = 0x0C000000
SIZE = 0x20000


@contextmanager
def listening(path: Path, serve: Callable[[socket.socket], None]) -> Iterator[str]:
    """A socket whose first client is served by ``serve`` in a thread."""
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(path))
    server.listen(1)
    done = threading.Event()

    def work() -> None:
        connection, _ = server.accept()
        with connection:
            with suppress(OSError):
                serve(connection)
            done.wait(10)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield str(path)
    finally:
        done.set()
        server.close()
        thread.join(10)


class FakeVm:
    """A VM that answers like QEMU 11.1.3; it is both the model of a VM and a set of commands.

    :param vsmmus: registers by id; each sits on a bus ``pcie.ID`` with two ports, ``ID-a`` and ``ID-b``.
    :param endpoints: host address by port.
    """

    def __init__(self, vsmmus: dict[str, IdRegisters], endpoints: dict[str, str] | None = None) -> None:
        self.status = "running"
        self.version: dict[str, Any] = {"qemu": {"major": 11, "minor": 1, "micro": 3}, "package": ""}
        self.asked: list[str] = []
        self.objects = [("iommufd0", "iommufd")]
        self.tree: dict[str, dict[str, Any]] = {}
        self.kinds: dict[str, str] = {}
        self.memory: dict[int, int] = {}
        for position, (name, registers) in enumerate(vsmmus.items()):
            self._vsmmu(name, registers, position * SIZE)
            for suffix in "ab":
                self.device(
                    f"{name}-{suffix}", "pcie-root-port", f"/machine/unattached/pxb-{name}/pcie.{name}"
                )
        for port, address in (endpoints or {}).items():
            bus = f"/machine/peripheral/{port}/{port}"
            more = {"host": address, "iommufd": "/objects/iommufd0", "sysfsdev": ""}
            self.device(f"vfio-{port}", "vfio-pci", bus, **more)

    def device(self, name: str, driver: str, bus: str, **properties: Any) -> None:
        path = f"/machine/peripheral/{name}"
        self.kinds[path] = driver
        self.tree[path] = {"parent_bus": bus, **properties}

    def _vsmmu(self, name: str, registers: IdRegisters, offset: int) -> None:
        path = f"/machine/peripheral/{name}"
        auto = dict.fromkeys(("ats", "ril", "ssidsize", "oas", "cmdqv"), "auto")
        bus = f"/machine/unattached/pxb-{name}/pcie.{name}"
        self.kinds[path] = "arm-smmuv3"
        self.tree[path] = {"primary-bus": bus, "accel": True, **auto}
        region = "/machine/unattached/platform-bus[0]"
        self.tree[f"{path}/arm-smmuv3[0]"] = {"addr": offset, "container": region}
        self.tree[region] = {"addr": PLATFORM_BUS, "container": "/machine/unattached/system[0]"}
        self.tree["/machine/unattached/system[0]"] = {"addr": 0, "container": ""}
        for register, at in REGISTERS.items():
            self.memory[PLATFORM_BUS + offset + at] = registers.word(register)

    def execute(self, command: str, **arguments: Any) -> Any:
        self.asked.append(command)
        method = getattr(self, command.replace("-", "_"), None)
        if method is None:
            raise CommandFailed(
                command, "CommandNotFound", f"The command {command} has not been found", "fake"
            )
        return method(**arguments)

    def qmp_capabilities(self) -> Any:
        return {}

    def query_version(self) -> Any:
        return self.version

    def query_status(self) -> Any:
        return {"status": self.status, "running": self.status == "running"}

    def qom_list(self, path: str) -> Any:
        listed = [{"name": "type", "type": "string"}]
        if path == "/objects":
            return listed + [{"name": name, "type": f"child<{kind}>"} for name, kind in self.objects]
        return listed + [
            {"name": entry.rpartition("/")[2], "type": f"child<{kind}>"}
            for entry, kind in reversed(self.kinds.items())
            if entry.rpartition("/")[0] == path
        ]

    def qom_get(self, path: str, property: str) -> Any:
        try:
            return self.tree[path][property]
        except KeyError:
            text = f"Property '{path}.{property}' not found"
            raise CommandFailed("qom-get", "GenericError", text, "fake") from None

    def human_monitor_command(self, command_line: str) -> str:
        address = int(command_line.split()[-1], 16)
        return f"{address:08x}: {self.memory.get(address, 0):#010x}\r\n"

    def serve(self, connection: socket.socket) -> None:
        """Answer a client until it goes away, with an event before each answer."""
        connection.sendall(GREETING)
        for line in connection.makefile("rb"):
            request = json.loads(line)
            arguments = {key.replace("-", "_"): value for key, value in request.get("arguments", {}).items()}
            try:
                reply: dict[str, Any] = {"return": self.execute(request["execute"], **arguments)}
            except CommandFailed as error:
                reply = {"error": {"class": error.error_class, "desc": error.why}}
            event = {"event": "RTC_CHANGE", "data": {}, "timestamp": {"seconds": 0, "microseconds": 0}}
            connection.sendall(b"".join(json.dumps(part).encode() + b"\r\n" for part in (event, reply)))


PLAIN = BASE
