# SPDX-License-Identifier: Apache-2.0
"""Emulated ioctls of nested translation: vIOMMU, nested page tables, vDEVICE, invalidation, queues.

Source: drivers/iommu/iommufd/{viommu,hw_pagetable,eventq}.c, arm-smmu-v3-iommufd.c and tegra241-cmdqv.c in
drivers/iommu/arm/arm-smmu-v3, Linux 7.3.
"""

from __future__ import annotations

import ctypes
import errno
import os
import resource
from typing import TYPE_CHECKING, Any, Final

from vsmmu.emulate.calls import Answered, Caller, copy_struct, reserved
from vsmmu.emulate.errno_error import KernelError
from vsmmu.emulate.objects import Context, DeviceObject, EventQueue, Hwpt, HwQueue, Object, Vdevice, Viommu
from vsmmu.uapi import iommufd as uapi_iommufd
from vsmmu.uapi import nesting as uapi

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vsmmu.emulate.hardware import Smmu

__all__ = [
    "check_attach",
    "fault_alloc",
    "fault_queue",
    "hw_queue_alloc",
    "invalidate",
    "nested_hwpt",
    "vdevice_alloc",
    "veventq_alloc",
    "viommu_alloc",
]

# arm-smmu-v3.h: STRTAB_STE_{0,1}_NESTING_ALLOWED and the fields that are looked at.
_STE0_ALLOWED: Final = 1 | 0xE | 0x30 | 0x000FFFFFFFFFFFC0 | 0xF800000000000000
_STE1_ALLOWED: Final = 0x3 | 0xC | 0x30 | 0xC0 | 1 << 27 | 3 << 28
_STE_VALID: Final = 1
_CFG_ABORT, _CFG_BYPASS, _CFG_S1 = 0, 4, 5
_EATS_ABORT, _EATS_FULL = 0, 1

_VEVENTQ_MAX_DEPTH: Final = 1 << 19
#: The kernel takes eight times as many; a queue of commands has at most these, and others wait meanwhile.
_INVALIDATE_MAX: Final = 1 << 16
#: Of the descriptors that we may have, for queues: a call of anybody needs one, too.
_SHARE: Final = 0.75
_READ_AT_ONCE: Final = 1 << 16
#: CMDQ_OP_*: what a guest may send.
_CFGI_CD, _CFGI_CD_ALL = 0x05, 0x06
_ATC_INV: Final = 0x40
_GUEST_COMMANDS: Final = frozenset({0x10, 0x11, 0x12, 0x13, 0x30, _CFGI_CD, _CFGI_CD_ALL, _ATC_INV})
_QUEUE_FAULT: Final = 0
#: What a Tegra241 virtual interface shows of itself: one page of registers.
_VINTF_LENGTH: Final = 0x10000
_VINTF_QUEUES: Final = 2


def viommu_alloc(context: Context, argument: Any, caller: Caller) -> None:
    """IOMMU_VIOMMU_ALLOC."""
    if argument.flags or argument.type == uapi.IOMMU_VIOMMU_TYPE_DEFAULT:
        raise KernelError(errno.EOPNOTSUPP)
    device = context.get(argument.dev_id, DeviceObject)
    smmu = device.smmu
    if not device.function.nests or not _has_viommu(smmu, argument.type):
        raise KernelError(errno.EOPNOTSUPP)
    parent = context.get(argument.hwpt_id, Hwpt)
    if parent.is_nested:
        raise KernelError(errno.ENOENT)
    if not parent.nest_parent or parent.smmu is not smmu:
        raise KernelError(errno.EINVAL)
    if argument.type == uapi.IOMMU_VIOMMU_TYPE_TEGRA241_CMDQV:
        _tell_vintf(argument, caller)
    argument.out_viommu_id = context.add(Viommu(argument.type, smmu, parent)).id


def _has_viommu(smmu: Smmu, kind: int) -> bool:
    if kind == uapi.IOMMU_VIOMMU_TYPE_TEGRA241_CMDQV:
        return smmu.cmdqv is not None and smmu.cmdqv_viommus
    return kind == uapi.IOMMU_VIOMMU_TYPE_ARM_SMMUV3


def _tell_vintf(argument: Any, caller: Caller) -> None:
    """Where to map the interface's page: any offset of our iommufd file is zero pages, so 0 does."""
    data = bytes(uapi.iommu_viommu_tegra241_cmdqv(0, _VINTF_LENGTH))
    if argument.data_len < len(data):
        raise KernelError(errno.EINVAL)
    caller.memory.write(argument.data_uptr, data)


def vdevice_alloc(context: Context, argument: Any, _: Caller) -> None:
    """IOMMU_VDEVICE_ALLOC."""
    viommu = context.get(argument.viommu_id, Viommu)
    device = context.get(argument.dev_id, DeviceObject)
    if device.smmu is not viommu.smmu:
        raise KernelError(errno.EINVAL)
    if device.vdevice is not None or argument.virt_id in viommu.vdevices:
        raise KernelError(errno.EEXIST)
    argument.out_vdevice_id = context.add(Vdevice(viommu, device, argument.virt_id)).id


def nested_hwpt(device: DeviceObject, viommu: Viommu, argument: Any, caller: Caller) -> Hwpt:
    """A page table below a vIOMMU, from a guest's stream table entry."""
    if viommu.smmu is not device.smmu:
        raise KernelError(errno.EINVAL)
    allowed = uapi_iommufd.IOMMU_HWPT_FAULT_ID_VALID
    if argument.flags & ~(allowed | uapi_iommufd.IOMMU_HWPT_ALLOC_PASID) or not argument.data_len:
        raise KernelError(errno.EOPNOTSUPP)
    if argument.flags & ~allowed:
        raise KernelError(errno.EOPNOTSUPP)
    if argument.data_type != uapi_iommufd.IOMMU_HWPT_DATA_ARM_SMMUV3:
        raise KernelError(errno.EINVAL)
    size = ctypes.sizeof(uapi_iommufd.iommu_hwpt_arm_smmuv3)
    if argument.data_len < size:
        raise KernelError(errno.EINVAL)
    data = copy_struct(caller.memory, argument.data_uptr, argument.data_len, size)
    words = uapi_iommufd.iommu_hwpt_arm_smmuv3.from_buffer_copy(data).ste
    return Hwpt(device.smmu, viommu, _checked_ste(words[0], words[1]))


def _checked_ste(first: int, second: int) -> tuple[int, int]:
    """arm_smmu_validate_vste()."""
    if not first & _STE_VALID:
        return 0, 0
    eats = second >> 28 & 3
    if (
        first & ~_STE0_ALLOWED
        or second & ~_STE1_ALLOWED
        or _config(first) not in (_CFG_ABORT, _CFG_BYPASS, _CFG_S1)
        or eats not in (_EATS_ABORT, _EATS_FULL)
    ):
        raise KernelError(errno.EIO)
    return first, second


def _config(first: int) -> int:
    return first >> 1 & 7


def check_attach(device: DeviceObject, hwpt: Hwpt) -> None:
    """A guest's translation needs the device's stream id; its abort and bypass do not.

    :raise KernelError: ENOENT.
    """
    if hwpt.ste is None or _config(hwpt.ste[0]) != _CFG_S1:
        return
    vdevice = device.vdevice
    if vdevice is None or vdevice.viommu is not hwpt.parent:
        raise KernelError(errno.ENOENT)


def invalidate(context: Context, argument: Any, caller: Caller) -> None:
    """IOMMU_HWPT_INVALIDATE: check a guest's commands; how many were good goes back also with an error."""
    wanted, argument.entry_num = argument.entry_num, 0
    try:
        viommu = _invalidation_target(context, argument, wanted)
        for entry in _entries(argument, caller, wanted):
            _check_command(viommu, entry)
            argument.entry_num += 1
    except KernelError as error:
        raise Answered(error.number) from None


def _invalidation_target(context: Context, argument: Any, wanted: int) -> Viommu:
    if reserved(argument):
        raise KernelError(errno.EOPNOTSUPP)
    if wanted and (not argument.data_uptr or not 0 < argument.entry_len <= 4096 or wanted > _INVALIDATE_MAX):
        raise KernelError(errno.EINVAL)
    target = context.get(argument.hwpt_id, Object)
    if isinstance(target, Hwpt) and target.is_nested:
        raise KernelError(errno.EOPNOTSUPP)
    if not isinstance(target, Viommu) or argument.data_type != uapi.IOMMU_VIOMMU_INVALIDATE_DATA_ARM_SMMUV3:
        raise KernelError(errno.EINVAL)
    if argument.entry_len < ctypes.sizeof(uapi.iommu_viommu_arm_smmuv3_invalidate):
        raise KernelError(errno.EINVAL)
    return target


def _entries(argument: Any, caller: Caller, wanted: int) -> Iterator[bytes]:
    """The commands as structures, read some at a time; what is beyond a structure must be zero."""
    size, length = ctypes.sizeof(uapi.iommu_viommu_arm_smmuv3_invalidate), argument.entry_len
    at_once = _READ_AT_ONCE // length
    for begin in range(0, wanted, at_once):
        place = argument.data_uptr + begin * length
        data = caller.memory.read_some(place, min(at_once, wanted - begin) * length)
        for at in range(0, min(at_once, wanted - begin) * length, length):
            entry = data[at : at + length]
            if len(entry) < length:
                raise KernelError(errno.EFAULT)
            if entry[size:].strip(b"\0"):
                raise KernelError(errno.E2BIG)
            yield entry[:size]


def _check_command(viommu: Viommu, entry: bytes) -> None:
    first = int.from_bytes(entry[:8], "little")
    command = first & 0xFF
    if command not in _GUEST_COMMANDS:
        raise KernelError(errno.EIO)
    if command == _ATC_INV and not viommu.smmu.filled.registers.get("IDR0.ATS"):
        raise KernelError(errno.EIO)
    if command in (_CFGI_CD, _CFGI_CD_ALL, _ATC_INV) and first >> 32 not in viommu.vdevices:
        raise KernelError(errno.EIO)


def veventq_alloc(context: Context, argument: Any, caller: Caller) -> None:
    """IOMMU_VEVENTQ_ALLOC: one end of a pipe into which nothing is ever written."""
    if argument.flags or reserved(argument) or argument.type == uapi.IOMMU_VEVENTQ_TYPE_DEFAULT:
        raise KernelError(errno.EOPNOTSUPP)
    if not 0 < argument.veventq_depth <= _VEVENTQ_MAX_DEPTH:
        raise KernelError(errno.EINVAL)
    viommu = context.get(argument.viommu_id, Viommu)
    if argument.type in viommu.queues:
        raise KernelError(errno.EEXIST)
    queue, argument.out_veventq_fd = _event_queue(argument.type, viommu, caller)
    argument.out_veventq_id = context.add(queue).id


def fault_alloc(context: Context, argument: Any, caller: Caller) -> None:
    """IOMMU_FAULT_QUEUE_ALLOC."""
    if argument.flags:
        raise KernelError(errno.EOPNOTSUPP)
    queue, argument.out_fault_fd = _event_queue(_QUEUE_FAULT, None, caller)
    argument.out_fault_id = context.add(queue).id


def fault_queue(context: Context, number: int) -> EventQueue:
    """The fault queue ``number``.

    :raise KernelError: ENOENT.
    """
    queue = context.get(number, EventQueue)
    if queue.viommu is not None:
        raise KernelError(errno.ENOENT)
    return queue


def _event_queue(kind: int, viommu: Viommu | None, caller: Caller) -> tuple[EventQueue, int]:
    theirs, ours = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if max(theirs, ours) > resource.getrlimit(resource.RLIMIT_NOFILE)[0] * _SHARE:
            os.close(theirs)
            raise KernelError(errno.ENFILE)
        number = caller.give(theirs)
    except BaseException:
        os.close(ours)
        raise
    return EventQueue(kind, viommu, ours), number


def hw_queue_alloc(context: Context, argument: Any, _: Caller) -> None:
    """IOMMU_HW_QUEUE_ALLOC: for Tegra241 only."""
    if argument.flags or argument.type == uapi.IOMMU_HW_QUEUE_TYPE_DEFAULT:
        raise KernelError(errno.EOPNOTSUPP)
    if not argument.length:
        raise KernelError(errno.EINVAL)
    if argument.nesting_parent_iova + argument.length - 1 >= 1 << 64:
        raise KernelError(errno.EOVERFLOW)
    viommu = context.get(argument.viommu_id, Viommu)
    tegra = viommu.kind == uapi.IOMMU_VIOMMU_TYPE_TEGRA241_CMDQV
    if not tegra or argument.type != uapi.IOMMU_HW_QUEUE_TYPE_TEGRA241_CMDQV:
        raise KernelError(errno.EOPNOTSUPP)
    if argument.index >= _VINTF_QUEUES:
        raise KernelError(errno.EINVAL)
    taken = [e.index for e in context.objects.values() if isinstance(e, HwQueue) and viommu in e.uses]
    if argument.index in taken:
        raise KernelError(errno.EEXIST)
    argument.out_hw_queue_id = context.add(HwQueue(viommu, argument.index)).id
