# SPDX-License-Identifier: Apache-2.0
"""Device files that stand for iommufd and vfio devices, with inodes that nobody outside can open and lock.

Root makes ``/dev/zero`` (iommufd can be mapped) and ``/dev/null`` anew. A user may make no device files, and
on file systems that he mounts none is opened, save in devpts: its ``ptmx`` is a character device that opens a
terminal of its own each time, and each mount has another one. It cannot be mapped: where an SMMU has command
queues to map, iommufd is a file. Where devpts is refused, the machine's own device files are bind-mounted.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path
from typing import Final

from vsmmu.emulate import libc

__all__ = ["IOMMU", "IOMMU_MAPPED", "VFIO", "StandIns", "has_notices", "is_stand_in"]

#: What a device file stands for; the second is an iommufd whose command queues can be mapped.
IOMMU: Final = b"iommu"
IOMMU_MAPPED: Final = b"iommu, mapped"
VFIO: Final = b"vfio"
_MACHINES_OWN: Final = {IOMMU: "/dev/zero", IOMMU_MAPPED: "/dev/zero", VFIO: "/dev/null"}
#: All of the interface of command queues (VINTF) that can be mapped.
_MAPPED: Final = 0x10000
#: For as long as nodes are made; in a directory that is ours by then.
_TERMINALS: Final = "/dev/.vsmmu-terminals"
#: Documentation/admin-guide/devices.txt: /dev/ptmx.
_PTMX: Final = os.makedev(5, 2)


class StandIns:
    """Makes device files below /dev, in a namespace of ours; a context manager."""

    def __init__(self) -> None:
        self._terminals: str | None = None

    def __enter__(self) -> StandIns:
        return self

    def __exit__(self, *_: object) -> None:
        if self._terminals is None:
            return
        with contextlib.suppress(OSError):  # there is none where it was refused
            libc.umount2(_TERMINALS, libc.MNT_DETACH)
        os.rmdir(_TERMINALS)  # noqa: PTH106 - as its neighbours

    def make(self, path: str, kind: bytes) -> None:
        """Make the file.

        :param kind: :data:`IOMMU`, :data:`IOMMU_MAPPED` or :data:`VFIO`.
        :raise OSError: as the kernel says.
        """
        machines_own = _MACHINES_OWN[kind]
        try:
            os.mknod(path, stat.S_IFCHR, os.stat(machines_own).st_rdev)  # noqa: PTH116
        except PermissionError:
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))
            if kind != IOMMU_MAPPED:
                libc.mount(self._terminal() or machines_own, path, "", libc.MS_BIND)
                return
            os.truncate(path, _MAPPED)
        os.chmod(path, 0o666)  # noqa: PTH101, S103 - as the original

    def _terminal(self) -> str:
        """A private ``ptmx``; empty if there can be none."""
        if self._terminals is None:
            self._terminals = ""
            os.mkdir(_TERMINALS)  # noqa: PTH102
            with contextlib.suppress(OSError):
                libc.mount("vsmmu-emulate", _TERMINALS, "devpts", libc.MS_NOEXEC, "newinstance,ptmxmode=0666")
                self._terminals = f"{_TERMINALS}/ptmx"
        return self._terminals


def has_notices(file: os.stat_result) -> bool:
    """Whether inotify tells of its closings: the kernel never does of a ``ptmx`` (ptmx_open())."""
    return file.st_rdev != _PTMX


def is_stand_in(file: os.stat_result, node: str, pid: int) -> bool:
    """Whether an open file may be one that :class:`StandIns` has made.

    :param node: the name under which it was opened: ``iommu``, or that of a vfio device.
    :param pid: the process that has it open.
    """
    if stat.S_ISCHR(file.st_mode):
        machines_own = _MACHINES_OWN[IOMMU if node == "iommu" else VFIO]
        return file.st_rdev in (_PTMX, Path(machines_own).stat().st_rdev)
    if node != "iommu":
        return False
    try:
        shown = os.stat(f"/proc/{pid}/root/dev/iommu")  # noqa: PTH116 - on the path of a call
    except OSError:
        return False
    return (shown.st_dev, shown.st_ino) == (file.st_dev, file.st_ino)
