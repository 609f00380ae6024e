# SPDX-License-Identifier: Apache-2.0
"""iommufd objects that every user has: address spaces, page tables, options.

Source: include/uapi/linux/iommufd.h of Linux 7.3. Objects are numbered for each open file; every structure
starts with its own size, so that old kernels take new structures whose additions are zero.
"""

# ruff: noqa: N801 - the kernel's structure names

from __future__ import annotations

import ctypes
from ctypes import c_int32, c_uint16, c_uint32, c_uint64
from typing import Final

from vsmmu.uapi.ioctl import IOMMUFD_TYPE, ioctl, request

__all__ = [
    "destroy",
    "hwpt_alloc",
    "ioas_alloc",
    "iommu_destroy",
    "iommu_hwpt_alloc",
    "iommu_hwpt_arm_smmuv3",
    "iommu_hwpt_get_dirty_bitmap",
    "iommu_hwpt_set_dirty_tracking",
    "iommu_ioas_alloc",
    "iommu_ioas_change_process",
    "iommu_ioas_copy",
    "iommu_ioas_iova_ranges",
    "iommu_ioas_map",
    "iommu_ioas_map_file",
    "iommu_ioas_unmap",
    "iommu_iova_range",
    "iommu_option",
]

IOMMUFD_CMD_BASE: Final = 0x80
IOMMU_DESTROY: Final = request(IOMMUFD_TYPE, 0x80)
IOMMU_IOAS_ALLOC: Final = request(IOMMUFD_TYPE, 0x81)
IOMMU_IOAS_ALLOW_IOVAS: Final = request(IOMMUFD_TYPE, 0x82)
IOMMU_IOAS_COPY: Final = request(IOMMUFD_TYPE, 0x83)
IOMMU_IOAS_IOVA_RANGES: Final = request(IOMMUFD_TYPE, 0x84)
IOMMU_IOAS_MAP: Final = request(IOMMUFD_TYPE, 0x85)
IOMMU_IOAS_UNMAP: Final = request(IOMMUFD_TYPE, 0x86)
IOMMU_OPTION: Final = request(IOMMUFD_TYPE, 0x87)
IOMMU_VFIO_IOAS: Final = request(IOMMUFD_TYPE, 0x88)
IOMMU_HWPT_ALLOC: Final = request(IOMMUFD_TYPE, 0x89)
IOMMU_HWPT_SET_DIRTY_TRACKING: Final = request(IOMMUFD_TYPE, 0x8B)
IOMMU_HWPT_GET_DIRTY_BITMAP: Final = request(IOMMUFD_TYPE, 0x8C)
IOMMU_IOAS_MAP_FILE: Final = request(IOMMUFD_TYPE, 0x8F)
IOMMU_IOAS_CHANGE_PROCESS: Final = request(IOMMUFD_TYPE, 0x92)

# enum iommufd_ioas_map_flags
IOMMU_IOAS_MAP_FIXED_IOVA: Final = 1 << 0
IOMMU_IOAS_MAP_WRITEABLE: Final = 1 << 1
IOMMU_IOAS_MAP_READABLE: Final = 1 << 2

# enum iommufd_hwpt_alloc_flags
IOMMU_HWPT_ALLOC_NEST_PARENT: Final = 1 << 0
IOMMU_HWPT_ALLOC_DIRTY_TRACKING: Final = 1 << 1
IOMMU_HWPT_FAULT_ID_VALID: Final = 1 << 2
IOMMU_HWPT_ALLOC_PASID: Final = 1 << 3

# enum iommu_hwpt_data_type
IOMMU_HWPT_DATA_NONE: Final = 0
IOMMU_HWPT_DATA_VTD_S1: Final = 1
IOMMU_HWPT_DATA_ARM_SMMUV3: Final = 2
IOMMU_HWPT_DATA_AMD_GUEST: Final = 3


class iommu_destroy(ctypes.Structure):
    """``struct iommu_destroy``: the argument of IOMMU_DESTROY."""

    _fields_ = (("size", c_uint32), ("id", c_uint32))


class iommu_ioas_alloc(ctypes.Structure):
    """``struct iommu_ioas_alloc``: the argument of IOMMU_IOAS_ALLOC."""

    _fields_ = (("size", c_uint32), ("flags", c_uint32), ("out_ioas_id", c_uint32))


class iommu_iova_range(ctypes.Structure):
    """``struct iommu_iova_range``: an inclusive range of I/O addresses."""

    _fields_ = (("start", c_uint64), ("last", c_uint64))


class iommu_ioas_iova_ranges(ctypes.Structure):
    """``struct iommu_ioas_iova_ranges``: the argument of IOMMU_IOAS_IOVA_RANGES."""

    _fields_ = (
        ("size", c_uint32),
        ("ioas_id", c_uint32),
        ("num_iovas", c_uint32),
        ("__reserved", c_uint32),
        ("allowed_iovas", c_uint64),
        ("out_iova_alignment", c_uint64),
    )


class iommu_ioas_map(ctypes.Structure):
    """``struct iommu_ioas_map``: the argument of IOMMU_IOAS_MAP."""

    _fields_ = (
        ("size", c_uint32),
        ("flags", c_uint32),
        ("ioas_id", c_uint32),
        ("__reserved", c_uint32),
        ("user_va", c_uint64),
        ("length", c_uint64),
        ("iova", c_uint64),
    )


class iommu_ioas_map_file(ctypes.Structure):
    """``struct iommu_ioas_map_file``: the argument of IOMMU_IOAS_MAP_FILE."""

    _fields_ = (
        ("size", c_uint32),
        ("flags", c_uint32),
        ("ioas_id", c_uint32),
        ("fd", c_int32),
        ("start", c_uint64),
        ("length", c_uint64),
        ("iova", c_uint64),
    )


class iommu_ioas_copy(ctypes.Structure):
    """``struct iommu_ioas_copy``: the argument of IOMMU_IOAS_COPY."""

    _fields_ = (
        ("size", c_uint32),
        ("flags", c_uint32),
        ("dst_ioas_id", c_uint32),
        ("src_ioas_id", c_uint32),
        ("length", c_uint64),
        ("dst_iova", c_uint64),
        ("src_iova", c_uint64),
    )


class iommu_ioas_unmap(ctypes.Structure):
    """``struct iommu_ioas_unmap``: the argument of IOMMU_IOAS_UNMAP."""

    _fields_ = (("size", c_uint32), ("ioas_id", c_uint32), ("iova", c_uint64), ("length", c_uint64))


class iommu_option(ctypes.Structure):
    """``struct iommu_option``: the argument of IOMMU_OPTION."""

    _fields_ = (
        ("size", c_uint32),
        ("option_id", c_uint32),
        ("op", c_uint16),
        ("__reserved", c_uint16),
        ("object_id", c_uint32),
        ("val64", c_uint64),
    )


class iommu_ioas_change_process(ctypes.Structure):
    """``struct iommu_ioas_change_process``: the argument of IOMMU_IOAS_CHANGE_PROCESS."""

    _fields_ = (("size", c_uint32), ("__reserved", c_uint32))


class iommu_hwpt_arm_smmuv3(ctypes.Structure):
    """``struct iommu_hwpt_arm_smmuv3``: the words of a guest's stream table entry (little-endian)."""

    _fields_ = (("ste", c_uint64 * 2),)


class iommu_hwpt_alloc(ctypes.Structure):
    """``struct iommu_hwpt_alloc``: the argument of IOMMU_HWPT_ALLOC."""

    _fields_ = (
        ("size", c_uint32),
        ("flags", c_uint32),
        ("dev_id", c_uint32),
        ("pt_id", c_uint32),
        ("out_hwpt_id", c_uint32),
        ("__reserved", c_uint32),
        ("data_type", c_uint32),
        ("data_len", c_uint32),
        ("data_uptr", c_uint64),
        ("fault_id", c_uint32),
        ("__reserved2", c_uint32),
    )


class iommu_hwpt_set_dirty_tracking(ctypes.Structure):
    """``struct iommu_hwpt_set_dirty_tracking``: the argument of IOMMU_HWPT_SET_DIRTY_TRACKING."""

    _fields_ = (("size", c_uint32), ("flags", c_uint32), ("hwpt_id", c_uint32), ("__reserved", c_uint32))


class iommu_hwpt_get_dirty_bitmap(ctypes.Structure):
    """``struct iommu_hwpt_get_dirty_bitmap``: the argument of IOMMU_HWPT_GET_DIRTY_BITMAP."""

    _fields_ = (
        ("size", c_uint32),
        ("hwpt_id", c_uint32),
        ("flags", c_uint32),
        ("__reserved", c_uint32),
        ("iova", c_uint64),
        ("length", c_uint64),
        ("page_size", c_uint64),
        ("data", c_uint64),
    )


def destroy(iommufd: int, object_id: int) -> None:
    """IOMMU_DESTROY: free an object.

    :raise OSError: EBUSY: in use, as every bound device is; ENOENT: no such object.
    """
    ioctl(iommufd, IOMMU_DESTROY, iommu_destroy(size=ctypes.sizeof(iommu_destroy), id=object_id))


def ioas_alloc(iommufd: int) -> int:
    """IOMMU_IOAS_ALLOC: a new, empty I/O address space; its id.

    :raise OSError: as the kernel says.
    """
    argument = iommu_ioas_alloc(size=ctypes.sizeof(iommu_ioas_alloc))
    ioctl(iommufd, IOMMU_IOAS_ALLOC, argument)
    return int(argument.out_ioas_id)


def hwpt_alloc(
    iommufd: int, dev_id: int, pt_id: int, flags: int = 0, ste: tuple[int, int] | None = None
) -> int:
    """IOMMU_HWPT_ALLOC: a page table for a device in an address space (or below a vIOMMU); its id.

    :param ste: two little-endian words of a stream table entry, for a table nested below a vIOMMU.
    :raise OSError: EOPNOTSUPP: the hardware cannot do what ``flags`` ask; EIO: ``ste`` has a bit that is
        not the guest's.
    """
    argument = iommu_hwpt_alloc(size=ctypes.sizeof(iommu_hwpt_alloc), flags=flags, dev_id=dev_id, pt_id=pt_id)
    entry = iommu_hwpt_arm_smmuv3(ste or (0, 0))
    if ste is not None:
        argument.data_type = IOMMU_HWPT_DATA_ARM_SMMUV3
        argument.data_len = ctypes.sizeof(entry)
        argument.data_uptr = ctypes.addressof(entry)
    ioctl(iommufd, IOMMU_HWPT_ALLOC, argument)
    return int(argument.out_hwpt_id)
