# SPDX-License-Identifier: Apache-2.0
"""iommufd objects for a guest's own stage 1: vIOMMU, vDEVICE, invalidation, event and hardware queues.

Source: include/uapi/linux/iommufd.h of Linux 7.3; vIOMMU and vDEVICE came with 6.13, event queues with 6.15,
hardware queues and Tegra241 CMDQV with 6.17.
"""

# ruff: noqa: N801 - the kernel's structure names

from __future__ import annotations

import ctypes
from ctypes import c_uint32, c_uint64
from typing import Final

from vsmmu.uapi.ioctl import IOMMUFD_TYPE, ioctl, request

__all__ = [
    "iommu_fault_alloc",
    "iommu_hw_queue_alloc",
    "iommu_hwpt_invalidate",
    "iommu_vdevice_alloc",
    "iommu_veventq_alloc",
    "iommu_viommu_alloc",
    "iommu_viommu_arm_smmuv3_invalidate",
    "iommu_viommu_tegra241_cmdqv",
    "vdevice_alloc",
    "veventq_alloc",
    "viommu_alloc",
]

IOMMU_HWPT_INVALIDATE: Final = request(IOMMUFD_TYPE, 0x8D)
IOMMU_FAULT_QUEUE_ALLOC: Final = request(IOMMUFD_TYPE, 0x8E)
IOMMU_VIOMMU_ALLOC: Final = request(IOMMUFD_TYPE, 0x90)
IOMMU_VDEVICE_ALLOC: Final = request(IOMMUFD_TYPE, 0x91)
IOMMU_VEVENTQ_ALLOC: Final = request(IOMMUFD_TYPE, 0x93)
IOMMU_HW_QUEUE_ALLOC: Final = request(IOMMUFD_TYPE, 0x94)

# enum iommu_viommu_type
IOMMU_VIOMMU_TYPE_DEFAULT: Final = 0
IOMMU_VIOMMU_TYPE_ARM_SMMUV3: Final = 1
IOMMU_VIOMMU_TYPE_TEGRA241_CMDQV: Final = 2

# enum iommu_hwpt_invalidate_data_type
IOMMU_HWPT_INVALIDATE_DATA_VTD_S1: Final = 0
IOMMU_VIOMMU_INVALIDATE_DATA_ARM_SMMUV3: Final = 1

# enum iommu_veventq_type, enum iommu_veventq_flag
IOMMU_VEVENTQ_TYPE_DEFAULT: Final = 0
IOMMU_VEVENTQ_TYPE_ARM_SMMUV3: Final = 1
IOMMU_VEVENTQ_TYPE_TEGRA241_CMDQV: Final = 2
IOMMU_VEVENTQ_FLAG_LOST_EVENTS: Final = 1 << 0

# enum iommu_hw_queue_type
IOMMU_HW_QUEUE_TYPE_DEFAULT: Final = 0
IOMMU_HW_QUEUE_TYPE_TEGRA241_CMDQV: Final = 1


class iommu_viommu_tegra241_cmdqv(ctypes.Structure):
    """``struct iommu_viommu_tegra241_cmdqv``: where to map the virtual interface of a new vIOMMU."""

    _fields_ = (("out_vintf_mmap_offset", c_uint64), ("out_vintf_mmap_length", c_uint64))


class iommu_viommu_alloc(ctypes.Structure):
    """``struct iommu_viommu_alloc``: the argument of IOMMU_VIOMMU_ALLOC."""

    _fields_ = (
        ("size", c_uint32),
        ("flags", c_uint32),
        ("type", c_uint32),
        ("dev_id", c_uint32),
        ("hwpt_id", c_uint32),
        ("out_viommu_id", c_uint32),
        ("data_len", c_uint32),
        ("__reserved", c_uint32),
        ("data_uptr", c_uint64),
    )


class iommu_vdevice_alloc(ctypes.Structure):
    """``struct iommu_vdevice_alloc``: the argument of IOMMU_VDEVICE_ALLOC; ``virt_id`` is the vSID."""

    _fields_ = (
        ("size", c_uint32),
        ("viommu_id", c_uint32),
        ("dev_id", c_uint32),
        ("out_vdevice_id", c_uint32),
        ("virt_id", c_uint64),
    )


class iommu_viommu_arm_smmuv3_invalidate(ctypes.Structure):
    """``struct iommu_viommu_arm_smmuv3_invalidate``: one guest command (little-endian words)."""

    _fields_ = (("cmd", c_uint64 * 2),)


class iommu_hwpt_invalidate(ctypes.Structure):
    """``struct iommu_hwpt_invalidate``: the argument of IOMMU_HWPT_INVALIDATE."""

    _fields_ = (
        ("size", c_uint32),
        ("hwpt_id", c_uint32),
        ("data_uptr", c_uint64),
        ("data_type", c_uint32),
        ("entry_len", c_uint32),
        ("entry_num", c_uint32),
        ("__reserved", c_uint32),
    )


class iommu_fault_alloc(ctypes.Structure):
    """``struct iommu_fault_alloc``: the argument of IOMMU_FAULT_QUEUE_ALLOC."""

    _fields_ = (
        ("size", c_uint32),
        ("flags", c_uint32),
        ("out_fault_id", c_uint32),
        ("out_fault_fd", c_uint32),
    )


class iommu_veventq_alloc(ctypes.Structure):
    """``struct iommu_veventq_alloc``: the argument of IOMMU_VEVENTQ_ALLOC."""

    _fields_ = (
        ("size", c_uint32),
        ("flags", c_uint32),
        ("viommu_id", c_uint32),
        ("type", c_uint32),
        ("veventq_depth", c_uint32),
        ("out_veventq_id", c_uint32),
        ("out_veventq_fd", c_uint32),
        ("__reserved", c_uint32),
    )


class iommu_hw_queue_alloc(ctypes.Structure):
    """``struct iommu_hw_queue_alloc``: the argument of IOMMU_HW_QUEUE_ALLOC."""

    _fields_ = (
        ("size", c_uint32),
        ("flags", c_uint32),
        ("viommu_id", c_uint32),
        ("type", c_uint32),
        ("index", c_uint32),
        ("out_hw_queue_id", c_uint32),
        ("nesting_parent_iova", c_uint64),
        ("length", c_uint64),
    )


def viommu_alloc(iommufd: int, dev_id: int, hwpt_id: int, kind: int = IOMMU_VIOMMU_TYPE_ARM_SMMUV3) -> int:
    """IOMMU_VIOMMU_ALLOC: a virtual IOMMU on top of the nesting parent ``hwpt_id``; its id.

    :raise OSError: EOPNOTSUPP: the SMMU cannot nest, or neither the root complex has CANWBS nor the SMMU
        IDR3.FWB.
    """
    argument = iommu_viommu_alloc(
        size=ctypes.sizeof(iommu_viommu_alloc), type=kind, dev_id=dev_id, hwpt_id=hwpt_id
    )
    interface = iommu_viommu_tegra241_cmdqv()
    if kind == IOMMU_VIOMMU_TYPE_TEGRA241_CMDQV:
        argument.data_len, argument.data_uptr = ctypes.sizeof(interface), ctypes.addressof(interface)
    ioctl(iommufd, IOMMU_VIOMMU_ALLOC, argument)
    return int(argument.out_viommu_id)


def vdevice_alloc(iommufd: int, viommu_id: int, dev_id: int, virt_id: int) -> int:
    """IOMMU_VDEVICE_ALLOC: give a bound device the guest's stream id ``virt_id``; the new object's id.

    :raise OSError: EEXIST: the device or the stream id has one already.
    """
    argument = iommu_vdevice_alloc(
        size=ctypes.sizeof(iommu_vdevice_alloc), viommu_id=viommu_id, dev_id=dev_id, virt_id=virt_id
    )
    ioctl(iommufd, IOMMU_VDEVICE_ALLOC, argument)
    return int(argument.out_vdevice_id)


def veventq_alloc(iommufd: int, viommu_id: int, kind: int, depth: int) -> tuple[int, int]:
    """IOMMU_VEVENTQ_ALLOC: a queue of a guest's events; its id and the descriptor to read from.

    :raise OSError: EOPNOTSUPP: no such kind of event; EEXIST: the vIOMMU has a queue of this kind.
    """
    argument = iommu_veventq_alloc(
        size=ctypes.sizeof(iommu_veventq_alloc), viommu_id=viommu_id, type=kind, veventq_depth=depth
    )
    ioctl(iommufd, IOMMU_VEVENTQ_ALLOC, argument)
    return int(argument.out_veventq_id), int(argument.out_veventq_fd)
