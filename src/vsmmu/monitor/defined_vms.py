# SPDX-License-Identifier: Apache-2.0
"""Every VM that is defined on this machine: libvirt's domains, and the VMs in files of directories."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from vsmmu.errors import HostLacks, VsmmuError, error_of
from vsmmu.machine.recognise import MAX_VM_BYTES, read_vm
from vsmmu.monitor.readconfig import read_config_file
from vsmmu.monitor.socket_discovery import DomainMonitor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vsmmu.machine.vm import Vm

__all__ = ["DefinedVm", "defined_domains", "domain_names", "vms_in"]

#: What says that a file is no VM; other refusals are of a VM that cannot be read.
_NO_VM: Final = frozenset({"not-a-vm", "no-command", "xml-not-a-domain", "not-utf8"})
_MOST_FILES: Final = 10_000


class DefinedVm(NamedTuple):
    """A VM, or why it cannot be read.

    :param name: libvirt's, or the path of its file.
    """

    name: str
    vm: Vm | VsmmuError


def domain_names(uri: str, seconds: float, *, running: bool) -> list[str]:
    """The names of libvirt's domains: those that run, or all that are defined.

    :raise HostLacks: ``no-virsh``, ``no-domain``: libvirt does not answer.
    """
    said = DomainMonitor("", uri, seconds).listed(running=running)
    return sorted(filter(None, said.decode("utf-8", "replace").splitlines()))


def defined_domains(uri: str, seconds: float) -> Iterator[DefinedVm]:
    """Every domain as its next start takes it.

    :raise HostLacks: as :func:`domain_names`.
    """
    for name in domain_names(uri, seconds, running=False):
        try:
            yield DefinedVm(name, read_vm(DomainMonitor(name, uri, seconds).inactive_xml(), f"domain {name}"))
        except VsmmuError as error:
            yield DefinedVm(name, error)


def vms_in(path: str) -> Iterator[DefinedVm]:
    """The VMs in a file, or in all files below a directory; what is none is left out, unless it was named.

    :raise HostLacks: ``file-missing``.
    """
    root = Path(path)
    if not root.exists():
        raise HostLacks(
            "file-missing", "there is no such file or directory", where=path, next="check the name"
        )
    if not root.is_dir():
        found = _read(root, named=True)
        if found is not None:
            yield found
        return
    count = 0
    for directory, below, names in os.walk(root):
        below.sort()
        for name in sorted(names):
            file = Path(directory, name)
            if (count := count + 1) > _MOST_FILES:
                raise HostLacks(
                    "too-many-files",
                    f"there are more than {_MOST_FILES} files below it",
                    where=path,
                    next="name the directories that hold VMs",
                )
            if file.is_file() and (found := _read(file, named=False)) is not None:
                yield found


def _read(file: Path, *, named: bool) -> DefinedVm | None:
    from vsmmu.host.files import read_bounded

    def read(name: str) -> bytes:
        return read_config_file(name if name.startswith("/") else str(file.parent / name))

    try:
        if not named and file.stat().st_size > MAX_VM_BYTES:
            return None
        vm = read_vm(read_bounded(str(file), MAX_VM_BYTES, "vm"), str(file), read)
        vm.machine()
    except (VsmmuError, OSError) as error:
        problem = error_of(error)
        return None if problem.code in _NO_VM and not named else DefinedVm(str(file), problem)
    return DefinedVm(str(file), vm)
