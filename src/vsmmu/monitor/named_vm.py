# SPDX-License-Identifier: Apache-2.0
"""A VM named by the process id of QEMU, by its QMP socket, or as a libvirt domain: its configuration."""

from __future__ import annotations

import os
import socket
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Final

from vsmmu.errors import HostLacks, PermissionRefused
from vsmmu.machine.recognise import read_vm
from vsmmu.monitor.readconfig import read_config_file
from vsmmu.monitor.socket_discovery import DomainMonitor, process_words

if TYPE_CHECKING:
    from vsmmu.machine.vm import Vm

__all__ = ["read_named_vm", "socket_process"]

_SECONDS: Final = 10.0
_URI: Final = "qemu:///system"


def read_named_vm(target: str) -> Vm:
    """The VM that a process id, a socket or a domain's name stands for.

    :param target: digits; the path of a socket; or the name of a libvirt domain, of which the inactive
        configuration is read, from ``LIBVIRT_DEFAULT_URI`` or the system's libvirt.
    :raise HostLacks: there is no such process, socket or domain.
    :raise PermissionRefused: the kernel refuses to show it.
    :raise InputRefused: ``not-a-vm``: the process is not QEMU.
    """
    if target.isdecimal() and not Path(target).exists():
        return _process(int(target), f"process {target}")
    if Path(target).is_socket():
        return _process(socket_process(target), target)
    uri = os.environ.get("LIBVIRT_DEFAULT_URI") or _URI
    try:
        data = DomainMonitor(target, uri, _SECONDS).inactive_xml()
    except HostLacks as error:
        raise HostLacks(
            "file-missing",
            f"there is no file {target!r:.80}, nor does libvirt know a domain of that name",
            why=f"{error.what}: {error.why}" if error.why else error.what,
            next="give a file, a process id, a QMP socket or a libvirt domain (virsh list --all)",
        ) from None
    return read_vm(data, f"domain {target}")


def _process(pid: int, where: str) -> Vm:
    """The command line of a process; the files that it names are found as it finds them."""

    def read(name: str) -> bytes:
        return read_config_file(name if name.startswith("/") else f"/proc/{pid}/cwd/{name}")

    # NUL-separated as the kernel shows it: a text, so that the refusal names the process.
    data = "\0".join((*process_words(pid), "")).encode("utf-8", "surrogateescape")
    return read_vm(data, where, read)


def socket_process(path: str) -> int:
    """The process that listens on a socket.

    :raise HostLacks: ``no-monitor``: nobody listens.
    :raise PermissionRefused: ``monitor-permission``.
    """
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(_SECONDS)
        try:
            client.connect(path)
            peer = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        except PermissionError as error:
            raise PermissionRefused(
                "monitor-permission",
                "may not connect to the socket",
                where=path,
                why=error.strerror or "",
                next="run as the user of QEMU, or as root",
            ) from None
        except OSError as error:
            raise HostLacks(
                "no-monitor",
                "cannot connect to the socket",
                where=path,
                why=error.strerror or str(error),
                next="see whether QEMU runs: its -qmp unix:PATH,server=on,wait=off makes the socket",
            ) from None
    pid: int = struct.unpack("3i", peer)[0]
    return pid
