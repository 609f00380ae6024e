# SPDX-License-Identifier: Apache-2.0
"""vfio device files (``/dev/vfio/devices/vfioN``): bind to an iommufd, attach, ask.

Source: include/uapi/linux/vfio.h of Linux 7.3. Binding to an iommufd came with 6.6, tokens with 6.18.
"""

# ruff: noqa: N801 - the kernel's structure names

from __future__ import annotations

import ctypes
from ctypes import c_int32, c_uint8, c_uint32, c_uint64
from typing import Final

from vsmmu.uapi.ioctl import VFIO_BASE, VFIO_TYPE, ioctl, request

__all__ = [
    "attach_iommufd_pt",
    "bind_iommufd",
    "detach_iommufd_pt",
    "device_get_info",
    "device_get_region_info",
    "vfio_device_attach_iommufd_pt",
    "vfio_device_bind_iommufd",
    "vfio_device_detach_iommufd_pt",
    "vfio_device_feature",
    "vfio_device_info",
    "vfio_irq_info",
    "vfio_irq_set",
    "vfio_region_info",
]

VFIO_DEVICE_GET_INFO: Final = request(VFIO_TYPE, VFIO_BASE + 7)
VFIO_DEVICE_GET_REGION_INFO: Final = request(VFIO_TYPE, VFIO_BASE + 8)
VFIO_DEVICE_GET_IRQ_INFO: Final = request(VFIO_TYPE, VFIO_BASE + 9)
VFIO_DEVICE_SET_IRQS: Final = request(VFIO_TYPE, VFIO_BASE + 10)
VFIO_DEVICE_RESET: Final = request(VFIO_TYPE, VFIO_BASE + 11)
VFIO_DEVICE_GET_PCI_HOT_RESET_INFO: Final = request(VFIO_TYPE, VFIO_BASE + 12)
VFIO_DEVICE_PCI_HOT_RESET: Final = request(VFIO_TYPE, VFIO_BASE + 13)
VFIO_DEVICE_FEATURE: Final = request(VFIO_TYPE, VFIO_BASE + 17)
VFIO_DEVICE_BIND_IOMMUFD: Final = request(VFIO_TYPE, VFIO_BASE + 18)
VFIO_DEVICE_ATTACH_IOMMUFD_PT: Final = request(VFIO_TYPE, VFIO_BASE + 19)
VFIO_DEVICE_DETACH_IOMMUFD_PT: Final = request(VFIO_TYPE, VFIO_BASE + 20)

VFIO_DEVICE_FLAGS_RESET: Final = 1 << 0
VFIO_DEVICE_FLAGS_PCI: Final = 1 << 1
VFIO_DEVICE_FLAGS_CAPS: Final = 1 << 7

VFIO_REGION_INFO_FLAG_READ: Final = 1 << 0
VFIO_REGION_INFO_FLAG_WRITE: Final = 1 << 1
VFIO_REGION_INFO_FLAG_MMAP: Final = 1 << 2
VFIO_REGION_INFO_FLAG_CAPS: Final = 1 << 3

VFIO_IRQ_INFO_EVENTFD: Final = 1 << 0
VFIO_IRQ_INFO_MASKABLE: Final = 1 << 1
VFIO_IRQ_INFO_AUTOMASKED: Final = 1 << 2
VFIO_IRQ_INFO_NORESIZE: Final = 1 << 3

VFIO_DEVICE_FEATURE_MASK: Final = 0xFFFF
VFIO_DEVICE_FEATURE_GET: Final = 1 << 16
VFIO_DEVICE_FEATURE_SET: Final = 1 << 17
VFIO_DEVICE_FEATURE_PROBE: Final = 1 << 18

VFIO_DEVICE_BIND_FLAG_TOKEN: Final = 1 << 0
VFIO_DEVICE_ATTACH_PASID: Final = 1 << 0
VFIO_DEVICE_DETACH_PASID: Final = 1 << 0

# The regions and interrupts of a vfio-pci device (enum without a name in the header).
VFIO_PCI_BAR0_REGION_INDEX: Final = 0
VFIO_PCI_ROM_REGION_INDEX: Final = 6
VFIO_PCI_CONFIG_REGION_INDEX: Final = 7
VFIO_PCI_VGA_REGION_INDEX: Final = 8
VFIO_PCI_NUM_REGIONS: Final = 9
VFIO_PCI_INTX_IRQ_INDEX: Final = 0
VFIO_PCI_MSI_IRQ_INDEX: Final = 1
VFIO_PCI_MSIX_IRQ_INDEX: Final = 2
VFIO_PCI_ERR_IRQ_INDEX: Final = 3
VFIO_PCI_REQ_IRQ_INDEX: Final = 4
VFIO_PCI_NUM_IRQS: Final = 5


class vfio_device_info(ctypes.Structure):
    """``struct vfio_device_info``: the argument of VFIO_DEVICE_GET_INFO."""

    _fields_ = (
        ("argsz", c_uint32),
        ("flags", c_uint32),
        ("num_regions", c_uint32),
        ("num_irqs", c_uint32),
        ("cap_offset", c_uint32),
        ("pad", c_uint32),
    )


class vfio_region_info(ctypes.Structure):
    """``struct vfio_region_info``: the argument of VFIO_DEVICE_GET_REGION_INFO."""

    _fields_ = (
        ("argsz", c_uint32),
        ("flags", c_uint32),
        ("index", c_uint32),
        ("cap_offset", c_uint32),
        ("size", c_uint64),
        ("offset", c_uint64),
    )


class vfio_irq_info(ctypes.Structure):
    """``struct vfio_irq_info``: the argument of VFIO_DEVICE_GET_IRQ_INFO."""

    _fields_ = (("argsz", c_uint32), ("flags", c_uint32), ("index", c_uint32), ("count", c_uint32))


class vfio_irq_set(ctypes.Structure):
    """``struct vfio_irq_set`` without its data: the head of VFIO_DEVICE_SET_IRQS."""

    _fields_ = (
        ("argsz", c_uint32),
        ("flags", c_uint32),
        ("index", c_uint32),
        ("start", c_uint32),
        ("count", c_uint32),
    )


class vfio_device_feature(ctypes.Structure):
    """``struct vfio_device_feature`` without its data: the head of VFIO_DEVICE_FEATURE."""

    _fields_ = (("argsz", c_uint32), ("flags", c_uint32))


class vfio_device_bind_iommufd(ctypes.Structure):
    """``struct vfio_device_bind_iommufd``: the argument of VFIO_DEVICE_BIND_IOMMUFD."""

    _fields_ = (
        ("argsz", c_uint32),
        ("flags", c_uint32),
        ("iommufd", c_int32),
        ("out_devid", c_uint32),
        ("token_uuid_ptr", c_uint64),
    )


class vfio_device_attach_iommufd_pt(ctypes.Structure):
    """``struct vfio_device_attach_iommufd_pt``: the argument of VFIO_DEVICE_ATTACH_IOMMUFD_PT."""

    _fields_ = (("argsz", c_uint32), ("flags", c_uint32), ("pt_id", c_uint32), ("pasid", c_uint32))


class vfio_device_detach_iommufd_pt(ctypes.Structure):
    """``struct vfio_device_detach_iommufd_pt``: the argument of VFIO_DEVICE_DETACH_IOMMUFD_PT."""

    _fields_ = (("argsz", c_uint32), ("flags", c_uint32), ("pasid", c_uint32))


def device_get_info(device: int) -> vfio_device_info:
    """VFIO_DEVICE_GET_INFO: flags, and how many regions and interrupts there are.

    :raise OSError: EINVAL before the device is bound.
    """
    info = vfio_device_info(argsz=ctypes.sizeof(vfio_device_info))
    ioctl(device, VFIO_DEVICE_GET_INFO, info)
    return info


def device_get_region_info(device: int, index: int) -> vfio_region_info:
    """VFIO_DEVICE_GET_REGION_INFO: size and offset of a region; a size of 0 where there is none.

    :raise OSError: EINVAL before the device is bound, and for an index that it does not have.
    """
    info = vfio_region_info(argsz=ctypes.sizeof(vfio_region_info), index=index)
    ioctl(device, VFIO_DEVICE_GET_REGION_INFO, info)
    return info


def bind_iommufd(device: int, iommufd: int, token: bytes | None = None) -> int:
    """VFIO_DEVICE_BIND_IOMMUFD: take the device for ``iommufd``; its id there.

    **This resets the function** and takes its group out of its DMA domain until ``device`` is closed, which
    resets it again (vfio_pci_core_enable() and vfio_pci_core_disable()).

    :param token: the 16 bytes of the UUID that a virtual function needs whose physical one is on vfio-pci.
    :raise OSError: EINVAL: bound already; EBUSY: the group is held; EPERM: a group mate belongs to another
        iommufd, or interrupts are not isolated; EACCES: wrong token; EAGAIN: the reset failed; ENODEV: no
        IOMMU; EBADFD or EBADF: ``iommufd`` is none.
    """
    argument = vfio_device_bind_iommufd(argsz=ctypes.sizeof(vfio_device_bind_iommufd), iommufd=iommufd)
    if token is None:
        # Kernels before 6.18 end the structure here.
        argument.argsz = vfio_device_bind_iommufd.token_uuid_ptr.offset
    else:
        buffer = (c_uint8 * 16).from_buffer_copy(token)
        argument.flags = VFIO_DEVICE_BIND_FLAG_TOKEN
        argument.token_uuid_ptr = ctypes.addressof(buffer)
    ioctl(device, VFIO_DEVICE_BIND_IOMMUFD, argument)
    return int(argument.out_devid)


def attach_iommufd_pt(device: int, pt_id: int) -> int:
    """VFIO_DEVICE_ATTACH_IOMMUFD_PT: translate the device by an IOAS or page table; the table's id.

    :raise OSError: EINVAL: the table does not fit the device; ENOENT: no such object.
    """
    argument = vfio_device_attach_iommufd_pt(argsz=ctypes.sizeof(vfio_device_attach_iommufd_pt), pt_id=pt_id)
    ioctl(device, VFIO_DEVICE_ATTACH_IOMMUFD_PT, argument)
    return int(argument.pt_id)


def detach_iommufd_pt(device: int) -> None:
    """VFIO_DEVICE_DETACH_IOMMUFD_PT: block the device's DMA again.

    :raise OSError: EINVAL before the device is bound.
    """
    argument = vfio_device_detach_iommufd_pt(argsz=ctypes.sizeof(vfio_device_detach_iommufd_pt))
    ioctl(device, VFIO_DEVICE_DETACH_IOMMUFD_PT, argument)
