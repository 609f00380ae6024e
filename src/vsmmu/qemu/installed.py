# SPDX-License-Identifier: Apache-2.0
"""What an installed QEMU binary is: its version, machine types, and what its devices know; kept once asked.

The answers are kept by the binary's identity (path, device, inode, size, times), so that the start of a VM
costs one small file. They come from the binary and not from its version number alone: distributions bring features
to older versions. Asking is :mod:`vsmmu.qemu.asking`'s, which is imported when a binary is new.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

import msgspec

from vsmmu.errors import HostLacks, Negative
from vsmmu.qemu.versions import Qemu, parse_version

if TYPE_CHECKING:
    from vsmmu.machine.model import Machine

__all__ = ["Installed", "find", "fit_machine", "installed"]

_FORMAT: Final = 2
_LIMIT: Final = 1 << 16


class Installed(msgspec.Struct, frozen=True):
    """A QEMU binary.

    :param version: such as ``11.1.3``.
    :param machines: its Arm ``virt`` machine types.
    :param virt: what ``virt`` stands for; empty if it has none.
    :param smmu: the properties of ``arm-smmuv3``, each with its default (empty if it has none).
    :param vfio_ats: whether vfio-pci has ``ats``.
    :param identity: of the file that was asked; empty if nobody keeps the answer.
    """

    version: str
    machines: tuple[str, ...]
    virt: str
    smmu: dict[str, str]
    vfio_ats: bool
    identity: str = ""
    format: int = _FORMAT

    @property
    def qemu(self) -> Qemu:
        """The model's row for it, with the features that the binary itself names.

        :raise UsageError: ``qemu-version``: older than what is modelled.
        """
        row = parse_version(self.version)
        has_auto = self.smmu.get("ats") == "auto"
        return row._replace(
            has_accel="accel" in self.smmu,
            has_auto=has_auto,
            has_cmdqv="cmdqv" in self.smmu,
            has_vfio_ats=self.vfio_ats,
            checks_ats=row.checks_ats or has_auto,
        )


def find(program: str) -> str:
    """The path of a program as a shell would find it.

    :raise HostLacks: ``qemu-binary``.
    """
    places = [""] if "/" in program else os.environ.get("PATH", os.defpath).split(os.pathsep)
    for place in places:
        path = os.path.join(place, program)  # noqa: PTH118 - no pathlib on the path of a VM's start
        if os.access(path, os.X_OK) and os.path.isfile(path):  # noqa: PTH113
            return path
    raise HostLacks("qemu-binary", f"there is no program {program!r:.200}",
                    next="install QEMU, or write its path")  # fmt: skip


def installed(program: str) -> Installed:
    """What ``program`` is: from the cache, or asked and then kept; a cache that cannot be used is not.

    :raise HostLacks: ``qemu-binary``, if it cannot be run or does not answer.
    """
    path = os.path.realpath(find(program))
    state = os.stat(path)  # noqa: PTH116
    times = f"{state.st_size} {state.st_mtime_ns} {state.st_ctime_ns}"
    identity = f"{path} {state.st_dev} {state.st_ino} {times}"
    cache = f"{_cache_directory()}/{state.st_dev:x}-{state.st_ino:x}.json"
    try:
        with open(cache, "rb") as file:  # noqa: PTH123
            known = msgspec.json.decode(file.read(_LIMIT), type=Installed)
        if (known.identity, known.format) == (identity, _FORMAT):
            return known
    except (OSError, msgspec.DecodeError):
        pass
    from vsmmu.qemu.asking import ask, keep

    answer = msgspec.structs.replace(ask(path), identity=identity)
    keep(cache, msgspec.json.encode(answer))
    return answer


def _cache_directory() -> str:
    """The XDG base directory specification's place for what can be had again."""
    base = os.environ.get("XDG_CACHE_HOME") or f"{os.environ.get('HOME', '')}/.cache"
    return f"{base}/vsmmu/qemu"


def fit_machine(machine: Machine, known: Installed) -> Machine:
    """The VM with ``virt`` replaced by what this binary means by it.

    :raise Negative: ``qemu-machine-type``, if it has no such machine type.
    """
    name = machine.machine_type
    if name == "virt" and known.virt:
        return machine._replace(machine_type=known.virt)
    if name.startswith("virt") and name not in known.machines:
        some = ", ".join(known.machines[-4:])
        raise Negative(
            "qemu-machine-type",
            f"QEMU {known.version} has no machine type {name!r:.60}",
            why=f"it has {some}" if some else "it is not built for Arm",
            next="use one of these, or virt for the newest",
        )
    return machine
