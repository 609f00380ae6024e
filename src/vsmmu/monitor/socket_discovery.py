# SPDX-License-Identifier: Apache-2.0
"""QMP socket discovery: by socket path, process id of QEMU, or libvirt domain."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from vsmmu.errors import HostLacks, PermissionRefused, VsmmuError
from vsmmu.machine.command_line.argv import read_words
from vsmmu.monitor.introspection import Running, read_back
from vsmmu.monitor.program_output import output_of
from vsmmu.monitor.qmp import MAX_REPLY, connect, request, result

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from vsmmu.machine.command_line.argv import CommandLine
    from vsmmu.machine.model import JsonValue

__all__ = ["DomainMonitor", "Found", "monitor_paths", "read_running"]

_MAX_CMDLINE: Final = 4 << 20
_LONGEST_REASON: Final = 500


class Found(NamedTuple):
    """A VM that answered, and the command line of its process if there is one to be read."""

    running: Running
    source: str
    words: tuple[str, ...]


def read_running(target: str, seconds: float, uri: str = "qemu:///system") -> Found:
    """Read a running VM back.

    :param target: the path of a QMP socket, a process id, the name of a libvirt domain, or the file of a
        command line or domain that runs: its socket or name is used.
    :param seconds: for the whole conversation.
    :param uri: libvirt's connection URI.
    :raise HostLacks: there is no such VM, it does not answer, or it has no monitor for us.
    :raise PermissionRefused: the kernel refuses to show or connect.
    :raise InputRefused: what answers is not QEMU.
    """
    if target == "-" or Path(target).is_file():
        return _read_of_file(target, seconds, uri)
    if target.isdecimal() and not Path(target).exists():
        return _read_of_process(int(target), seconds, uri)
    if "/" in target or Path(target).is_socket():
        with connect(target, seconds) as monitor:
            return Found(read_back(monitor), target, ())
    return _read_of_domain(target, seconds, uri)


def _read_of_domain(name: str, seconds: float, uri: str, uuid: str = "") -> Found:
    """A libvirt domain, and the one with that UUID if it is given."""
    domain = DomainMonitor(name, uri, seconds)
    if uuid and (seen := domain.execute("query-uuid")["UUID"]) != uuid:
        raise HostLacks("no-domain", f"the domain {name:.80} that runs is another VM", where=uri,
                        why=f"its UUID is {seen!s:.80}, not {uuid:.80}",
                        next="name the libvirt that started it: --uri")  # fmt: skip
    return Found(_with_functions(read_back(domain), domain.functions()), f"domain {name}", ())


def _read_of_process(pid: int, seconds: float, uri: str) -> Found:
    """The QEMU of a process, by its own socket, or by libvirt if that has started it."""
    words = process_words(pid)
    line = read_words(words)
    if paths := tuple(monitor_paths(line)):
        with connect(_below(paths[0], pid), seconds) as monitor:
            return Found(read_back(monitor), f"process {pid}", words)
    written = {option.name: option for option in line.options() if option.name in ("name", "uuid")}
    if len(written) < len(("name", "uuid")):
        raise _no_socket(f"process {pid}")
    # libvirt writes both, and hands the socket over as a descriptor.
    domain = str(written["name"].settings("guest").get("guest", ""))
    try:
        found = _read_of_domain(domain, seconds, uri, written["uuid"].text)
    except HostLacks as error:
        if error.code not in ("no-virsh", "no-domain"):
            raise
        raise _no_socket(f"process {pid}", f"; as domain {domain:.80}: {error.what}") from None
    return found._replace(source=f"process {pid}, domain {domain}", words=words)


def _read_of_file(path: str, seconds: float, uri: str) -> Found:
    """The running VM that a file configures."""
    from vsmmu.host.files import read_bounded
    from vsmmu.machine.recognise import MAX_VM_BYTES, read_vm

    vm = read_vm(read_bounded(path, MAX_VM_BYTES, "vm"), path)
    if vm.domain is not None:
        return _read_of_domain(vm.domain.root.value("name"), seconds, uri)._replace(
            source=f"domain of {path}"
        )
    assert vm.command_line is not None  # noqa: S101 - a VM is one of the two
    paths = tuple(monitor_paths(vm.command_line))
    if not paths:
        raise _no_socket(path)
    return read_running(paths[0], seconds, uri)


def _with_functions(running: Running, functions: Mapping[str, str]) -> Running:
    """The same with the functions that QEMU itself does not know, by device."""
    named = (
        entry if entry.function else entry._replace(function=functions.get(entry.name, ""))
        for entry in running.endpoints
    )
    return running._replace(endpoints=tuple(named))


def process_words(pid: int) -> tuple[str, ...]:
    """The command line of a process, ``/proc/PID/cmdline``.

    :raise HostLacks: ``no-such-process``.
    :raise PermissionRefused: ``process-hidden``.
    """
    path = Path(f"/proc/{pid}/cmdline")
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_CMDLINE)
    except PermissionError as error:
        raise PermissionRefused(
            "process-hidden",
            "cannot read its command line",
            where=str(path),
            why=error.strerror or "",
            next="run as its user, or as root",
        ) from None
    except OSError:
        data = b""
    if not data:
        raise HostLacks("no-such-process", f"there is no process {pid} with a command line",
                        next="name a QMP socket, or the process id of QEMU")  # fmt: skip
    return tuple(data.decode("utf-8", "replace").rstrip("\0").split("\0"))


def monitor_paths(line: CommandLine) -> Iterator[str]:
    """The paths of QMP sockets that a command line makes.

    ``-qmp unix:PATH``; a socket ``-chardev`` that a ``-qmp chardev:ID`` or ``-mon`` with ``mode=control``
    names, or, as libvirt 12.8 writes it for QEMU 11.1, an ``-object monitor-qmp``.
    """
    chardevs: dict[JsonValue, JsonValue] = {}
    control: list[JsonValue] = []
    for option in line.options():
        if option.name in ("qmp", "qmp-pretty"):
            kind, _, rest = option.text.partition(":")
            if kind == "unix":
                yield str(option._replace(text=rest).settings("path").get("path", ""))
            elif kind == "chardev":
                control.append(rest)
        elif option.name == "chardev":
            settings = option.settings("backend")
            if settings.get("backend") == "socket":
                chardevs[settings.get("id", "")] = settings.get("path", "")
        elif option.name == "mon":
            settings = option.settings("chardev")
            if settings.get("mode") == "control":
                control.append(settings.get("chardev", ""))
        elif option.name == "object":
            settings = option.settings("qom-type")
            if settings.get("qom-type") == "monitor-qmp":
                control.append(settings.get("chardev", ""))
    yield from (str(path) for name in control if (path := chardevs.get(name, "")))


def _below(path: str, pid: int) -> str:
    """A relative path is QEMU's, not ours."""
    if path.startswith("/"):
        return path
    try:
        return str(Path(f"/proc/{pid}/cwd").readlink() / path)
    except OSError:
        return path


def _no_socket(vm: str, besides: str = "") -> VsmmuError:
    return HostLacks(
        "no-monitor",
        f"{vm} has no QMP socket that can be found by its command line",
        why=f"there is no -qmp unix:PATH{besides}",
        next="start it with -qmp unix:PATH,server=on,wait=off",
    )


class DomainMonitor:
    """The monitor of a libvirt domain, by way of ``virsh qemu-monitor-command``; libvirt holds the socket.

    :param seconds: for all commands together.
    """

    def __init__(self, domain: str, uri: str, seconds: float) -> None:
        self._domain, self._uri = domain, uri
        self._seconds = seconds
        self._deadline = time.monotonic() + seconds

    def execute(self, command: str, **arguments: Any) -> Any:
        """Run one command; see :class:`vsmmu.monitor.qmp.Commands`."""
        done = self._virsh("qemu-monitor-command", self._domain, request(command, arguments).decode())
        return result(done, command, f"domain {self._domain:.80}")

    def functions(self) -> dict[str, str]:
        """Host functions by device, from the domain's XML: libvirt hands them over as descriptors."""
        from vsmmu.machine.domain.document import read_domain_xml  # of no use for any other target

        data = self._virsh("dumpxml", self._domain)
        devices = read_domain_xml(data, f"domain {self._domain}").reading.hostdevs
        # The alias of a device that runs is its id in QEMU; it keeps its number when others go.
        named = {entry.element.value("alias", "name") or entry.id: entry.source for entry in devices}
        return {name: source for name, source in named.items() if source}

    def inactive_xml(self) -> bytes:
        """The domain as it is configured: what its next start takes."""
        return self._virsh("dumpxml", "--inactive", self._domain)

    def listed(self, *, running: bool) -> bytes:
        """The names of all domains, a line each: those that run, or all that are defined."""
        return self._virsh("list", "--name", *(() if running else ("--all",)))

    def _virsh(self, *words: str) -> bytes:
        where = f"domain {self._domain:.80}" if self._domain else self._uri
        try:
            said = output_of(
                ["virsh", "-c", self._uri, *words],
                max(self._deadline - time.monotonic(), 0.01),
                MAX_REPLY,
                {**os.environ, "LC_ALL": "C"},
            )
        except subprocess.TimeoutExpired:
            raise HostLacks(
                "monitor-silent",
                f"no answer within {self._seconds:g} s",
                where=where,
                next="give it more time: --timeout; see whether libvirtd hangs",
            ) from None
        except (OSError, ValueError) as error:
            raise HostLacks(
                "no-virsh",
                "cannot run virsh",
                where=where,
                why=(error.strerror if isinstance(error, OSError) else "") or str(error),
                next="install libvirt-clients, or name a socket or process id",
            ) from None
        if said.status:
            lines = said.stderr.decode("utf-8", "replace").strip().splitlines()
            why = (lines or [""])[0].removeprefix("error: ")[:_LONGEST_REASON]
            raise HostLacks("no-domain", "libvirt does not give its monitor", where=where, why=why,
                            next="virsh list shows the domains that run")  # fmt: skip
        return said.stdout
