# SPDX-License-Identifier: Apache-2.0
"""Ask the kernel about one function on a vfio driver: open, bind, GET_HW_INFO, close.

Asked are IOMMU_GET_HW_INFO, the same for Tegra241 CMDQV, and whether IOMMU_VIOMMU_ALLOC makes a virtual SMMU.

The only place of vsmmu that touches hardware. Bind and close each reset the function; both descriptors are
closed on every way out, and by the kernel if this process is killed.
"""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, NamedTuple

from vsmmu.probe.memory_regions import ask_regions
from vsmmu.probe.refusals import bind_refused, refused
from vsmmu.probe.sysfs import group_members, has_direct_region
from vsmmu.probe.vfio_files import group_node, holders, vfio_device
from vsmmu.uapi import hw_info
from vsmmu.uapi.iommufd import IOMMU_HWPT_ALLOC_NEST_PARENT, hwpt_alloc, ioas_alloc
from vsmmu.uapi.nesting import (
    IOMMU_VIOMMU_TYPE_ARM_SMMUV3,
    IOMMU_VIOMMU_TYPE_TEGRA241_CMDQV,
    viommu_alloc,
)
from vsmmu.uapi.vfio import bind_iommufd

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vsmmu.host.facts import MemoryRegion
    from vsmmu.probe.refusals import Call
    from vsmmu.probe.system_root import Tree
    from vsmmu.uapi.hw_info import HwInfo

__all__ = ["IOMMUFD", "Answer", "ask"]

IOMMUFD: Final = "/dev/iommu"


class Answer(NamedTuple):
    """What the kernel said of the IOMMU behind a function.

    :param cmdqv: the answer for Tegra241 CMDQV; None where the kernel has none, or for no SMMUv3.
    :param regions: the memory BARs that a VM gets of it; None where the kernel does not tell.
    :param nesting: the errno of IOMMU_VIOMMU_ALLOC (or of the nesting parent before it), 0 if the kernel made
        a virtual SMMU for the function; None where that was not tried.
    :param cmdqv_viommu: the same for a virtual SMMU with command queues of the hardware.
    """

    address: str
    info: HwInfo
    cmdqv: HwInfo | None = None
    nesting: int | None = None
    cmdqv_viommu: int | None = None
    regions: tuple[MemoryRegion, ...] | None = None


def ask(tree: Tree, address: str, node: str, group: int | None) -> Answer:
    """Take the function for some milliseconds and ask.

    :param node: its device file, such as ``/dev/vfio/devices/vfio0``.
    :param group: its IOMMU group, to name who holds it if somebody does.
    :raise VsmmuError: one of :data:`vsmmu.probe.refusals.REFUSALS`, or ``kernel-refused``.
    """
    with (
        _opened(tree.path(IOMMUFD), "open iommufd") as iommufd,
        _opened(tree.path(node), "open device") as device,
    ):
        try:
            dev_id = bind_iommufd(device, iommufd)
        except OSError as error:
            held = _held_by(tree, node, group, error)
            direct = None if group is None else has_direct_region(tree, group)
            raise bind_refused(error, address, held, direct) from None
        return _answer(address, iommufd, dev_id)._replace(regions=_regions(device, address))


def _regions(device: int, address: str) -> tuple[MemoryRegion, ...] | None:
    try:
        return ask_regions(device, f"probe {address} regions")
    except OSError:
        return None


def _answer(address: str, iommufd: int, dev_id: int) -> Answer:
    try:
        info = hw_info.get_hw_info(iommufd, dev_id)
        if info.type != hw_info.IOMMU_HW_INFO_TYPE_ARM_SMMUV3:
            return Answer(address, info)
        cmdqv = _ask_cmdqv(iommufd, dev_id)
        nesting = _try_nesting(iommufd, dev_id, IOMMU_VIOMMU_TYPE_ARM_SMMUV3)
        queues = None
        if cmdqv is not None and nesting == 0:
            queues = _try_nesting(iommufd, dev_id, IOMMU_VIOMMU_TYPE_TEGRA241_CMDQV)
        return Answer(address, info, cmdqv, nesting, queues)
    except OSError as error:
        raise refused("hw_info", error, address) from None


def _ask_cmdqv(iommufd: int, dev_id: int) -> HwInfo | None:
    try:
        return hw_info.get_hw_info(iommufd, dev_id, hw_info.IOMMU_HW_INFO_TYPE_TEGRA241_CMDQV)
    except OSError as error:
        if error.errno == errno.EOPNOTSUPP:
            return None
        raise


def _try_nesting(iommufd: int, dev_id: int, kind: int) -> int:
    """Make a virtual SMMU as QEMU would; the function is not attached to it, closing the iommufd frees it."""
    try:
        parent = hwpt_alloc(iommufd, dev_id, ioas_alloc(iommufd), IOMMU_HWPT_ALLOC_NEST_PARENT)
        viommu_alloc(iommufd, dev_id, parent, kind)
    except OSError as error:
        return error.errno or errno.EIO
    return 0


@contextmanager
def _opened(path: str, call: Call) -> Iterator[int]:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        raise refused(call, error, path) from None
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _held_by(tree: Tree, node: str, group: int | None, error: OSError) -> str:
    if error.errno not in (errno.EINVAL, errno.EBUSY, errno.EPERM):
        return ""
    nodes = [node]
    if group is not None:
        nodes.append(group_node(group))
        devices = [vfio_device(tree, member) for member in group_members(tree, group)]
        nodes += [device.node for device in devices if device]
    found = holders(tree, nodes)
    return f"held by {', '.join(map(str, found[:3]))}" if found else ""
