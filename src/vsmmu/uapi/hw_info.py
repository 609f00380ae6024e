# SPDX-License-Identifier: Apache-2.0
"""IOMMU_GET_HW_INFO: what the hardware behind a bound device is.

Source: include/uapi/linux/iommufd.h of Linux 7.3. The call came with 6.6 (32 bytes, no capabilities), the
capabilities word with 6.7, the SMMUv3 answer with 6.13, the input type with 6.17.
"""

# ruff: noqa: N801 - the kernel's structure names

from __future__ import annotations

import ctypes
import errno
from ctypes import c_uint8, c_uint32, c_uint64
from typing import Final, NamedTuple

from vsmmu.uapi.ioctl import IOMMUFD_TYPE, ioctl, request

__all__ = [
    "HwInfo",
    "get_hw_info",
    "iommu_hw_info",
    "iommu_hw_info_amd",
    "iommu_hw_info_arm_smmuv3",
    "iommu_hw_info_tegra241_cmdqv",
    "iommu_hw_info_vtd",
]

IOMMUFD_CMD_GET_HW_INFO: Final = 0x8A
IOMMU_GET_HW_INFO: Final = request(IOMMUFD_TYPE, IOMMUFD_CMD_GET_HW_INFO)

# enum iommu_hw_info_type
IOMMU_HW_INFO_TYPE_NONE: Final = 0
IOMMU_HW_INFO_TYPE_DEFAULT: Final = 0
IOMMU_HW_INFO_TYPE_INTEL_VTD: Final = 1
IOMMU_HW_INFO_TYPE_ARM_SMMUV3: Final = 2
IOMMU_HW_INFO_TYPE_TEGRA241_CMDQV: Final = 3
IOMMU_HW_INFO_TYPE_AMD: Final = 4

# enum iommufd_hw_info_flags
IOMMU_HW_INFO_FLAG_INPUT_TYPE: Final = 1 << 0

# enum iommufd_hw_capabilities; the PASID bits mean nothing while out_max_pasid_log2 is 0.
IOMMU_HW_CAP_DIRTY_TRACKING: Final = 1 << 0
IOMMU_HW_CAP_PCI_PASID_EXEC: Final = 1 << 1
IOMMU_HW_CAP_PCI_PASID_PRIV: Final = 1 << 2
IOMMU_HW_CAP_PCI_ATS_NOT_SUPPORTED: Final = 1 << 3

# enum iommu_hw_info_arm_smmuv3_flags (7.3; before, flags was always 0)
IOMMU_HW_INFO_ARM_SMMUV3_ERRATA_REPEAT_TLBI_CFGI: Final = 1 << 0
# enum iommu_hw_info_vtd_flags
IOMMU_HW_INFO_VTD_ERRATA_772415_SPR17: Final = 1 << 0


class iommu_hw_info_vtd(ctypes.Structure):
    """``struct iommu_hw_info_vtd``: the answer of an Intel IOMMU."""

    _fields_ = (("flags", c_uint32), ("__reserved", c_uint32), ("cap_reg", c_uint64), ("ecap_reg", c_uint64))


class iommu_hw_info_arm_smmuv3(ctypes.Structure):
    """``struct iommu_hw_info_arm_smmuv3``: flags, IDR0..IDR5, IIDR and AIDR, as read from the SMMU."""

    _fields_ = (
        ("flags", c_uint32),
        ("__reserved", c_uint32),
        ("idr", c_uint32 * 6),
        ("iidr", c_uint32),
        ("aidr", c_uint32),
    )


class iommu_hw_info_tegra241_cmdqv(ctypes.Structure):
    """``struct iommu_hw_info_tegra241_cmdqv``: the command queues that a VM can be given."""

    _fields_ = (
        ("flags", c_uint32),
        ("version", c_uint8),
        ("log2vcmdqs", c_uint8),
        ("log2vsids", c_uint8),
        ("__reserved", c_uint8),
    )


class iommu_hw_info_amd(ctypes.Structure):
    """``struct iommu_hw_info_amd``: the extended feature registers of an AMD IOMMU."""

    _fields_ = (("efr", c_uint64), ("efr2", c_uint64))


class _data_type(ctypes.Union):
    _fields_ = (("in_data_type", c_uint32), ("out_data_type", c_uint32))


class iommu_hw_info(ctypes.Structure):
    """``struct iommu_hw_info``: the argument of IOMMU_GET_HW_INFO."""

    _anonymous_ = ("_type",)
    _fields_ = (
        ("size", c_uint32),
        ("flags", c_uint32),
        ("dev_id", c_uint32),
        ("data_len", c_uint32),
        ("data_uptr", c_uint64),
        ("_type", _data_type),
        ("out_max_pasid_log2", c_uint8),
        ("__reserved", c_uint8 * 3),
        ("out_capabilities", c_uint64),
    )


#: The size before 6.7 appended ``out_capabilities``.
_SIZE_6_6: Final = iommu_hw_info.out_capabilities.offset
#: Larger than any answer of 7.3, so that a newer kernel's longer one is seen.
_BUFFER: Final = 64
_ALL_ONES: Final = (1 << 64) - 1


class HwInfo(NamedTuple):
    """The kernel's answer.

    :param type: one of ``IOMMU_HW_INFO_TYPE_*``; 0 where the IOMMU's driver has nothing to say.
    :param data: what the driver wrote, cut to the length that it reported (and to our 64 bytes).
    :param length: the length that it reported.
    :param max_pasid_log2: PASID bits that the kernel enabled for this device; before 6.15 always 0.
    :param capabilities: ``IOMMU_HW_CAP_*``; None from a kernel that does not report any (6.6).
    """

    type: int
    data: bytes
    length: int
    max_pasid_log2: int
    capabilities: int | None


def get_hw_info(iommufd: int, dev_id: int, data_type: int = IOMMU_HW_INFO_TYPE_DEFAULT) -> HwInfo:
    """IOMMU_GET_HW_INFO for the device that was bound as ``dev_id``.

    ``data_type`` other than 0 asks for that answer instead of the IOMMU's own (INPUT_TYPE).

    :raise OSError: ENOENT: no such device id; EOPNOTSUPP: no such answer, or the kernel is older than the
        flag; ENOTTY: older than the call.
    """
    buffer = (c_uint8 * _BUFFER)()
    info = iommu_hw_info(
        size=ctypes.sizeof(iommu_hw_info),
        flags=IOMMU_HW_INFO_FLAG_INPUT_TYPE if data_type else 0,
        dev_id=dev_id,
        data_len=_BUFFER,
        data_uptr=ctypes.addressof(buffer),
        in_data_type=data_type,
        # The kernel only writes here. A kernel that does not know the word refuses a non-zero one.
        out_capabilities=_ALL_ONES,
    )
    try:
        ioctl(iommufd, IOMMU_GET_HW_INFO, info)
    except OSError as error:
        if error.errno != errno.E2BIG:
            raise
        info.size = _SIZE_6_6
        ioctl(iommufd, IOMMU_GET_HW_INFO, info)
    return HwInfo(
        type=info.out_data_type,
        data=bytes(buffer[: min(info.data_len, _BUFFER)]),
        length=info.data_len,
        max_pasid_log2=info.out_max_pasid_log2,
        capabilities=info.out_capabilities if info.size > _SIZE_6_6 else None,
    )
