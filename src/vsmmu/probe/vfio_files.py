# SPDX-License-Identifier: Apache-2.0
"""A function's vfio device file, its IOMMU group, and the processes that hold them."""

from __future__ import annotations

import os
from typing import Final, NamedTuple

from vsmmu.probe.sysfs import PCI_DEVICES, printable
from vsmmu.probe.system_root import Tree

__all__ = ["Holder", "VfioDevice", "group_node", "holders", "vfio_device"]

_CDEVS: Final = "/dev/vfio/devices"
_NOIOMMU: Final = "noiommu-"


class VfioDevice(NamedTuple):
    """A function that a vfio driver has (vfio-pci or a variant such as nvgrace-gpu-vfio-pci).

    :param name: ``vfio0``; not stable, it changes with every bind.
    :param number: ``major:minor`` of the device file; empty in a kernel without CONFIG_VFIO_DEVICE_CDEV.
    """

    name: str
    number: str

    @property
    def node(self) -> str:
        """The device file."""
        return f"{_CDEVS}/{self.name}"

    @property
    def is_translated(self) -> bool:
        """Whether an IOMMU stands behind it (no-IOMMU mode of 7.3 names its devices differently)."""
        return not self.name.startswith(_NOIOMMU)


class Holder(NamedTuple):
    """A process with a file open."""

    pid: int
    name: str

    def __str__(self) -> str:
        return f"process {self.pid} ({self.name})"


def vfio_device(tree: Tree, address: str) -> VfioDevice | None:
    """The vfio device of a function; None if no vfio driver has it."""
    directory = f"{PCI_DEVICES}/{address}/vfio-dev"
    for name in tree.names(directory):
        if name.removeprefix(_NOIOMMU).startswith("vfio"):
            return VfioDevice(name, tree.text(f"{directory}/{name}/dev") or "")
    return None


def group_node(group: int) -> str:
    """The file of an IOMMU group in vfio's older interface."""
    return f"/dev/vfio/{group}"


def holders(tree: Tree, nodes: list[str]) -> tuple[Holder, ...]:
    """The processes that have one of ``nodes`` open, other than this one; root sees all of them.

    :raise OSError: if ``tree`` is strict, and a process that may be looked at could not be.
    """
    wanted = {tree.path(node) for node in nodes}
    me = str(os.getpid())
    processes = [name for name in tree.names("/proc") if name.isdecimal() and name != me]
    return tuple(
        Holder(int(name), printable(Tree(tree.root).text(f"/proc/{name}/comm")) or "?")
        for name in processes
        if wanted & _open_files(tree, name)
    )


def _open_files(tree: Tree, process: str) -> set[str]:
    directory = f"/proc/{process}/fd"
    try:
        return {target for name in tree.names(directory) if (target := tree.target(f"{directory}/{name}"))}
    except (ProcessLookupError, PermissionError):  # it has ended; or it is not for us to see, now or later
        return set()
