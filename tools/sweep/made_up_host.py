# SPDX-License-Identifier: Apache-2.0
"""A probe of a made-up host: sysfs as files, with a kernel that reacts to writes and answers to iommufd."""

from __future__ import annotations

import errno
import fcntl
import shutil
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from unittest.mock import patch

from vsmmu.cli.main import run
from vsmmu.host.files import builtin_files
from vsmmu.probe import system_root
from vsmmu.probe.steps import SysfsWriter
from vsmmu.uapi.hw_info import IOMMU_GET_HW_INFO
from vsmmu.uapi.vfio import vfio_device_bind_iommufd

if TYPE_CHECKING:
    import ctypes
    from collections.abc import Callable

    from sweep.supervise import Pause

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))
from fake_host import FakeHost, FakeWriter

__all__ = ["FUNCTION", "drivers", "make_host", "probing"]

#: A function that its own driver has.
FUNCTION: Final = "0000:00:05.0"
_FUNCTIONS: Final = (FUNCTION, "0000:00:06.0", "0000:00:07.0")
_TYPE_SMMUV3: Final = 2
_LENGTH: Final = 40


@cache
def _template() -> Path:
    """One SMMU; a NIC on its own driver, two functions on vfio-pci; facts of an earlier day."""
    root = Path(tempfile.mkdtemp(prefix="vsmmu-sweep-host-"))
    host = FakeHost(root)
    host.smmu(node=1)
    host.function("0000:00:05.0", group=1, driver="e1000e")
    host.function("0000:00:06.0", group=2, driver="vfio-pci", ids="1B36:0010", kind="10802")
    host.function("0000:00:07.0", group=3, driver="vfio-pci", ids="10DE:2941", kind="30200")
    shutil.copyfile(builtin_files()["gb200"], root / "run/vsmmu/host.json")
    return root


def make_host(root: Path) -> None:
    """A copy of the made-up host."""
    shutil.copytree(_template(), root, symlinks=True)


def drivers(root: Path | None) -> dict[str, tuple[str | None, bytes]]:
    """Driver and driver_override of each function; of the untouched host if ``root`` is None."""
    tree = system_root.Tree(str(root or _template()))
    base = "/sys/bus/pci/devices"
    return {
        name: (tree.link(f"{base}/{name}/driver"), tree.data(f"{base}/{name}/driver_override") or b"")
        for name in _FUNCTIONS
    }


def probing(pause: Pause, words: list[str]) -> int:
    """Run a verb on the host in this directory; only in a process that does nothing else afterwards."""
    with pause.held():
        root = str(Path.cwd() / "host")
        real = system_root.Tree
        for name, stand_in in {
            "vsmmu.probe.system_root.Tree": lambda given=root: real(given),
            "vsmmu.probe.execute.SysfsWriter": lambda _tree: _Writer(root, pause),
            "vsmmu.probe.steps.SysfsWriter.write": _counted(pause, SysfsWriter.write),
            "vsmmu.uapi.ioctl.fcntl.ioctl": _Kernel(fcntl.ioctl),
        }.items():
            patch(name, stand_in).start()
    return run(words)


class _Writer(FakeWriter):
    """What the kernel does after a write is not a call of the program's."""

    def __init__(self, root: str, pause: Pause) -> None:
        host = FakeHost.__new__(FakeHost)
        host.root, host.tree = Path(root), system_root.Tree()
        super().__init__(host)
        self._pause = pause

    def write(self, path: str, data: bytes) -> None:
        with self._pause.held():
            super().write(path, data)


def _counted(pause: Pause, really: Any) -> Any:
    """The write itself is the program's."""

    def write(self: SysfsWriter, path: str, data: bytes) -> None:
        with pause.held(False):
            really(self, path, data)

    return write


class _Kernel:
    """ioctl(2) of iommufd and vfio on files that are neither: the call is made, so that it can fail."""

    def __init__(self, really: Callable[..., object]) -> None:
        self._really = really

    def __call__(self, descriptor: int, number: int, argument: ctypes.Structure) -> int:
        try:
            self._really(descriptor, number, argument)
        except OSError as error:
            if error.errno != errno.ENOTTY:
                raise
        if isinstance(argument, vfio_device_bind_iommufd):
            argument.out_devid = 1
        elif number == IOMMU_GET_HW_INFO:
            if argument.flags:
                raise OSError(errno.EOPNOTSUPP, "no CMDQV")
            argument.out_data_type, argument.data_len = _TYPE_SMMUV3, _LENGTH
        return 0
