# SPDX-License-Identifier: Apache-2.0
"""Emulated ioctls of vfio device files: bind, attach, device and region information.

Source: drivers/vfio/{device_cdev,vfio_main}.c and drivers/vfio/pci/vfio_pci_core.c, Linux 7.3.
"""

from __future__ import annotations

import ctypes
import errno
from typing import TYPE_CHECKING, Final, TypeVar

from vsmmu.emulate import iommufd
from vsmmu.emulate.calls import copy_struct
from vsmmu.emulate.config_space import SIZE
from vsmmu.emulate.errno_error import KernelError
from vsmmu.emulate.objects import DeviceObject
from vsmmu.emulate.seccomp import OFFSET_MAGIC
from vsmmu.uapi import vfio as uapi

if TYPE_CHECKING:
    from collections.abc import Callable

    from vsmmu.emulate.calls import Caller, CallRecord
    from vsmmu.emulate.hardware import Function
    from vsmmu.emulate.memory import Memory
    from vsmmu.emulate.objects import Context

__all__ = ["NAMES", "DeviceFile", "region_of"]

StructureT = TypeVar("StructureT", bound=ctypes.Structure)

_REGION_SHIFT: Final = 40
#: How much of a memory BAR keeps what is written; the rest reads as zeros.
_KEPT: Final = 0x1000
#: VFIO_DEVICE_FEATURE_*: what every vfio-pci device has is none; migration is for variant drivers.
_FEATURE_FLAGS: Final = (
    uapi.VFIO_DEVICE_FEATURE_MASK
    | uapi.VFIO_DEVICE_FEATURE_GET
    | uapi.VFIO_DEVICE_FEATURE_SET
    | uapi.VFIO_DEVICE_FEATURE_PROBE
)
#: Interrupts of each kind: one MSI, one for errors, one for requests to let go; no pin and no MSI-X.
_INTERRUPTS: Final = (0, 1, 0, 1, 1)
# include/uapi/linux/vfio.h, VFIO_IRQ_SET_*
_DATA_NONE, _DATA_BOOL, _DATA_EVENTFD, _DATA_TYPES = 1, 2, 4, 7
_ACTIONS: Final = 0x38

NAMES: Final = {
    getattr(uapi, name): name
    for name in dir(uapi)
    if name.startswith("VFIO_DEVICE_") and getattr(uapi, name) >> 8 == 0x3B and "FLAG" not in name
}


def region_of(offset: int) -> tuple[int, int] | None:
    """Region and place in it for an offset of ours; None for any other offset."""
    if offset >> 48 != OFFSET_MAGIC >> 48:
        return None
    return offset >> _REGION_SHIFT & 0xFF, offset & (1 << _REGION_SHIFT) - 1


class DeviceFile:
    """One open vfio device file.

    :param token: the open file.
    :param function: what it is; it stays usable when the function is taken away, as a file does.
    """

    def __init__(self, token: int, function: Function, files: list[DeviceFile]) -> None:
        self.token = token
        self.function = function
        self._files = files
        self.context: Context | None = None
        self.device: DeviceObject | None = None
        self._kept: dict[int, bytearray] = {}
        files.append(self)

    def close(self) -> None:
        """The last descriptor is closed: unbind, reset."""
        self._files.remove(self)
        if self.context is not None and self.device is not None:
            self.context.unbind(self.device)
            self.function.config.reset()
        self.context = self.device = None

    def call(
        self,
        number: int,
        address: int,
        caller: Caller,
        record: CallRecord,
        context_of: Callable[[int], Context],
    ) -> int:
        """Make one call.

        :param context_of: the iommufd behind one of the caller's descriptors; raises EBADF or EBADFD.
        :raise KernelError: what the kernel would answer.
        """
        record.name = NAMES.get(number, f"{number:#x}")
        record.device = self.function.address
        if number == uapi.VFIO_DEVICE_BIND_IOMMUFD:
            return self._bind(address, caller.memory, record, context_of)
        if self.device is None or self.context is None:
            raise KernelError(errno.EINVAL)
        handler = _HANDLERS.get(number)
        if handler is None:
            raise KernelError(errno.ENOTTY)
        return handler(self, address, caller.memory, record)

    def _bind(
        self, address: int, memory: Memory, record: CallRecord, context_of: Callable[[int], Context]
    ) -> int:
        size = int.from_bytes(memory.read(address, 4), "little")
        if size < uapi.vfio_device_bind_iommufd.token_uuid_ptr.offset:
            raise KernelError(errno.EINVAL)
        known = ctypes.sizeof(uapi.vfio_device_bind_iommufd)
        bind = uapi.vfio_device_bind_iommufd.from_buffer_copy(copy_struct(memory, address, size, known))
        record.takes(bind)
        if bind.iommufd < 0 or bind.flags & ~uapi.VFIO_DEVICE_BIND_FLAG_TOKEN:
            raise KernelError(errno.EINVAL)
        if self.device is not None:
            raise KernelError(errno.EINVAL)
        if bind.flags & uapi.VFIO_DEVICE_BIND_FLAG_TOKEN:
            # No function here is a virtual one of a physical one that a vfio driver has.
            memory.read(bind.token_uuid_ptr, 16)
            raise KernelError(errno.EINVAL)
        context = context_of(bind.iommufd)
        self._claim(context)
        self.device = context.add(DeviceObject(self.function))
        self.context = context
        self.function.config.reset()
        memory.write(
            address + uapi.vfio_device_bind_iommufd.out_devid.offset, self.device.id.to_bytes(4, "little")
        )
        record.result = {"out_devid": self.device.id}
        return 0

    def _claim(self, context: Context) -> None:
        """The device can be open once; its group belongs to one iommufd."""
        for other in self._files:
            if other.device is None or other is self:
                continue
            if other.function is self.function:
                raise KernelError(errno.EINVAL)
            if other.function.group == self.function.group and other.context is not context:
                raise KernelError(errno.EPERM)
        if self.function.direct_mapped:
            raise KernelError(errno.EINVAL)  # __iommu_take_dma_ownership() of a device with require_direct

    def _attach(self, address: int, memory: Memory, record: CallRecord) -> int:
        attach = _short(memory, address, uapi.vfio_device_attach_iommufd_pt, "pt_id")
        pasid = 0
        if attach.flags & ~uapi.VFIO_DEVICE_ATTACH_PASID:
            raise KernelError(errno.EINVAL)
        if attach.flags & uapi.VFIO_DEVICE_ATTACH_PASID:
            pasid = self._pasid(address, attach.argsz, memory, uapi.vfio_device_attach_iommufd_pt)
        record.argument = {"flags": attach.flags, "pt_id": attach.pt_id, "pasid": pasid}
        assert self.context is not None and self.device is not None  # noqa: S101, PT018 - bound
        number = iommufd.attach(self.context, self.device, pasid, attach.pt_id)
        memory.write(address + uapi.vfio_device_attach_iommufd_pt.pt_id.offset, number.to_bytes(4, "little"))
        record.result = {"pt_id": number}
        return 0

    def _detach(self, address: int, memory: Memory, record: CallRecord) -> int:
        detach = _short(memory, address, uapi.vfio_device_detach_iommufd_pt, "flags")
        pasid = 0
        if detach.flags & ~uapi.VFIO_DEVICE_DETACH_PASID:
            raise KernelError(errno.EINVAL)
        if detach.flags & uapi.VFIO_DEVICE_DETACH_PASID:
            pasid = self._pasid(address, detach.argsz, memory, uapi.vfio_device_detach_iommufd_pt)
        record.argument = {"flags": detach.flags, "pasid": pasid}
        assert self.context is not None and self.device is not None  # noqa: S101, PT018 - bound
        self.context.detach(self.device, pasid)
        return 0

    def _pasid(self, address: int, size: int, memory: Memory, structure: type[ctypes.Structure]) -> int:
        if size < ctypes.sizeof(structure):
            raise KernelError(errno.EINVAL)
        field = getattr(structure, "pasid")  # noqa: B009 - a member that only these structures have
        pasid = int.from_bytes(memory.read(address + field.offset, 4), "little")
        if not 0 < pasid < 1 << self.function.pasid_log2:
            raise KernelError(errno.EINVAL)
        return pasid

    def _get_info(self, address: int, memory: Memory, record: CallRecord) -> int:
        info = _short(memory, address, uapi.vfio_device_info, "num_irqs")
        info.flags = uapi.VFIO_DEVICE_FLAGS_PCI | uapi.VFIO_DEVICE_FLAGS_RESET
        info.num_regions = uapi.VFIO_PCI_NUM_REGIONS
        info.num_irqs = uapi.VFIO_PCI_NUM_IRQS
        info.cap_offset = info.pad = 0
        return _respond(memory, address, info, info.argsz, record)

    def _get_region_info(self, address: int, memory: Memory, record: CallRecord) -> int:
        info = _short(memory, address, uapi.vfio_region_info, "offset")
        if info.index >= uapi.VFIO_PCI_VGA_REGION_INDEX:
            raise KernelError(errno.EINVAL)
        info.size = self._sizes().get(info.index, 0)
        # No VFIO_REGION_INFO_FLAG_MMAP: accesses have to come here.
        access = uapi.VFIO_REGION_INFO_FLAG_READ | uapi.VFIO_REGION_INFO_FLAG_WRITE
        info.flags = access if info.size else 0
        info.offset = OFFSET_MAGIC | info.index << _REGION_SHIFT
        info.cap_offset = 0
        return _respond(memory, address, info, ctypes.sizeof(info), record)

    def _get_irq_info(self, address: int, memory: Memory, record: CallRecord) -> int:
        info = _short(memory, address, uapi.vfio_irq_info, "count")
        if info.index >= uapi.VFIO_PCI_NUM_IRQS:
            raise KernelError(errno.EINVAL)
        info.count = _INTERRUPTS[info.index]
        info.flags = uapi.VFIO_IRQ_INFO_EVENTFD
        if info.index == uapi.VFIO_PCI_INTX_IRQ_INDEX:
            info.flags |= uapi.VFIO_IRQ_INFO_MASKABLE | uapi.VFIO_IRQ_INFO_AUTOMASKED
        else:
            info.flags |= uapi.VFIO_IRQ_INFO_NORESIZE
        return _respond(memory, address, info, ctypes.sizeof(info), record)

    def _set_irqs(self, address: int, memory: Memory, record: CallRecord) -> int:
        """Checked and forgotten: no interrupt is ever raised."""
        head = _short(memory, address, uapi.vfio_irq_set, "count", whole=True)
        record.takes(head)
        size = {_DATA_NONE: 0, _DATA_BOOL: 1, _DATA_EVENTFD: 4}.get(head.flags & _DATA_TYPES)
        most = _INTERRUPTS[head.index] if head.index < len(_INTERRUPTS) else 0
        if (
            head.index >= uapi.VFIO_PCI_NUM_IRQS
            or head.flags & ~(_DATA_TYPES | _ACTIONS)
            or head.start >= most
            or head.start + head.count > most
            or size is None
            or head.argsz - ctypes.sizeof(head) < head.count * size
        ):
            raise KernelError(errno.EINVAL)
        return 0

    def _reset(self, address: int, memory: Memory, record: CallRecord) -> int:  # noqa: ARG002 - as the others
        self.function.config.reset()
        return 0

    def _feature(self, address: int, memory: Memory, record: CallRecord) -> int:
        head = _short(memory, address, uapi.vfio_device_feature, "flags")
        record.takes(head)
        only = uapi.VFIO_DEVICE_FEATURE_GET | uapi.VFIO_DEVICE_FEATURE_SET
        probe = head.flags & uapi.VFIO_DEVICE_FEATURE_PROBE
        if head.flags & ~_FEATURE_FLAGS or (not probe and head.flags & only == only):
            raise KernelError(errno.EINVAL)
        raise KernelError(errno.ENOTTY)

    def read(self, offset: int, length: int) -> bytes:
        """pread() of a region.

        :raise KernelError: EINVAL.
        """
        index, place = self._place(offset)
        if index == uapi.VFIO_PCI_CONFIG_REGION_INDEX:
            return self.function.config.vfio_read(place, length)
        length = min(length, self._sizes()[index] - place)
        return bytes(self._kept.get(index, b"")[place : place + length]).ljust(length, b"\0")

    def write(self, offset: int, data: bytes) -> int:
        """pwrite() of a region; how much was taken.

        :raise KernelError: EINVAL.
        """
        index, place = self._place(offset)
        if index == uapi.VFIO_PCI_CONFIG_REGION_INDEX:
            self.function.config.write(place, data)
            return min(len(data), SIZE - place)
        taken = data[: self._sizes()[index] - place]
        kept = self._kept.setdefault(index, bytearray(_KEPT))
        kept[place : place + len(taken)] = taken[: max(0, _KEPT - place)]
        del kept[_KEPT:]
        return len(taken)

    def _sizes(self) -> dict[int, int]:
        bars = {uapi.VFIO_PCI_BAR0_REGION_INDEX + bar: size for bar, size in self.function.bars.items()}
        return {**bars, uapi.VFIO_PCI_CONFIG_REGION_INDEX: SIZE}

    def _place(self, offset: int) -> tuple[int, int]:
        found = region_of(offset)
        if found is None or self.device is None or found[1] >= self._sizes().get(found[0], 0):
            raise KernelError(errno.EINVAL)
        return found


_HANDLERS: Final[dict[int, Callable[[DeviceFile, int, Memory, CallRecord], int]]] = {
    uapi.VFIO_DEVICE_ATTACH_IOMMUFD_PT: DeviceFile._attach,  # noqa: SLF001
    uapi.VFIO_DEVICE_DETACH_IOMMUFD_PT: DeviceFile._detach,  # noqa: SLF001
    uapi.VFIO_DEVICE_GET_INFO: DeviceFile._get_info,  # noqa: SLF001
    uapi.VFIO_DEVICE_GET_REGION_INFO: DeviceFile._get_region_info,  # noqa: SLF001
    uapi.VFIO_DEVICE_GET_IRQ_INFO: DeviceFile._get_irq_info,  # noqa: SLF001
    uapi.VFIO_DEVICE_SET_IRQS: DeviceFile._set_irqs,  # noqa: SLF001
    uapi.VFIO_DEVICE_RESET: DeviceFile._reset,  # noqa: SLF001
    uapi.VFIO_DEVICE_FEATURE: DeviceFile._feature,  # noqa: SLF001
}


def _short(
    memory: Memory, address: int, structure: type[StructureT], last: str, *, whole: bool = False
) -> StructureT:
    """A structure that starts with ``argsz`` and ends (at least) with the member ``last``.

    :param whole: the size is judged by the caller.
    :raise KernelError: EFAULT; EINVAL: argsz is too small.
    """
    field = getattr(structure, last)
    least = field.offset + field.size
    data = memory.read(address, least)
    if int.from_bytes(data[:4], "little") < least and not whole:
        raise KernelError(errno.EINVAL)
    return structure.from_buffer_copy(data.ljust(ctypes.sizeof(structure), b"\0"))


def _respond(memory: Memory, address: int, answer: ctypes.Structure, room: int, record: CallRecord) -> int:
    memory.write(address, bytes(answer)[:room])
    record.gives(answer)
    return 0
