# SPDX-License-Identifier: Apache-2.0
"""Emulated ioctls of /dev/iommu: the table of calls, argument checks, address spaces and page tables.

Source: iommufd_fops_ioctl() in drivers/iommu/iommufd/main.c and the functions of its table, Linux 7.3. What
a guest's own translation needs is in :mod:`vsmmu.emulate.nesting`.
"""

from __future__ import annotations

import ctypes
import errno
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from vsmmu.emulate import hw_info_call, nesting
from vsmmu.emulate.calls import Answered, Caller, CallRecord, copy_struct, reserved
from vsmmu.emulate.errno_error import KernelError
from vsmmu.emulate.ioas import AddressSpace
from vsmmu.emulate.objects import MOST_OBJECTS, Context, DeviceObject, Hwpt, Ioas, Object, Viommu
from vsmmu.uapi import hw_info as uapi_info
from vsmmu.uapi import iommufd as uapi
from vsmmu.uapi import nesting as uapi_nesting

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["OPERATIONS", "Operation", "call"]

_BASE, _NUMBERS = 0x80, 0x96 - 0x80
_MAP_FLAGS: Final = (
    uapi.IOMMU_IOAS_MAP_FIXED_IOVA | uapi.IOMMU_IOAS_MAP_WRITEABLE | uapi.IOMMU_IOAS_MAP_READABLE
)
_MAP_ACCESS: Final = uapi.IOMMU_IOAS_MAP_WRITEABLE | uapi.IOMMU_IOAS_MAP_READABLE
_UNREACHABLE: Final = (1 << 64) - 1
_HWPT_FLAGS: Final = (
    uapi.IOMMU_HWPT_ALLOC_NEST_PARENT
    | uapi.IOMMU_HWPT_ALLOC_DIRTY_TRACKING
    | uapi.IOMMU_HWPT_FAULT_ID_VALID
    | uapi.IOMMU_HWPT_ALLOC_PASID
)
_OPTION_RLIMIT_MODE, _OPTION_HUGE_PAGES = 0, 1


class Operation(NamedTuple):
    """One row of the kernel's table.

    :param size: of the whole structure.
    :param least: the end of the last member that must be there.
    """

    name: str
    structure: type[ctypes.Structure]
    size: int
    least: int
    run: Callable[[Context, Any, Caller], None]


def call(context: Context, number: int, address: int, caller: Caller, record: CallRecord) -> int:
    """Make one call.

    :raise KernelError: what the kernel would answer.
    """
    operation = OPERATIONS.get(number)
    if operation is None:
        record.name = f"{number:#x}"
        # The rest is vfio's container interface (vfio_compat.c), which is not emulated.
        if _BASE <= number & 0xFF < _BASE + _NUMBERS:
            caller.memory.read(address, 4)
        raise KernelError(errno.ENOTTY)
    record.name, structure, known, least, run = operation
    # The size and what it is the size of in one reading, where there is as much as is known.
    given = caller.memory.read_some(address, known)
    if len(given) < 4:
        raise KernelError(errno.EFAULT)
    size = int.from_bytes(given[:4], "little")
    if size < least:
        raise KernelError(errno.EINVAL)
    if len(context.objects) >= MOST_OBJECTS and record.name.endswith("_ALLOC"):
        raise KernelError(errno.ENOMEM)
    if not size == known == len(given):
        given = copy_struct(caller.memory, address, size, known, given)
    argument = structure.from_buffer_copy(given)
    if record.traced:
        _trace(context, argument, record)
    failed = 0
    try:
        run(context, argument, caller)
    except Answered as answered:
        failed = answered.number
    # iommufd_ucmd_respond(): as much as the caller has room for.
    caller.memory.write(address, bytes(argument)[:size])
    record.gives(argument)
    if failed:
        raise KernelError(failed)
    return 0


def _trace(context: Context, argument: ctypes.Structure, record: CallRecord) -> None:
    record.takes(argument)
    device = context.objects.get(getattr(argument, "dev_id", 0))
    if isinstance(device, DeviceObject):
        record.device = device.function.address


def _destroy(context: Context, argument: Any, _: Caller) -> None:
    context.destroy(argument.id)


def _ioas_alloc(context: Context, argument: Any, _: Caller) -> None:
    if argument.flags:
        raise KernelError(errno.EOPNOTSUPP)
    argument.out_ioas_id = context.add(Ioas(AddressSpace())).id


def _ioas_iova_ranges(context: Context, argument: Any, caller: Caller) -> None:
    if reserved(argument):
        raise KernelError(errno.EOPNOTSUPP)
    space = context.get(argument.ioas_id, Ioas).space
    ranges, room = space.ranges(), argument.num_iovas
    size = ctypes.sizeof(uapi.iommu_iova_range)
    for index, (start, last) in enumerate(ranges[:room]):
        caller.memory.write(argument.allowed_iovas + index * size, bytes(uapi.iommu_iova_range(start, last)))
    argument.num_iovas = len(ranges)
    argument.out_iova_alignment = space.alignment
    if len(ranges) > room:
        raise Answered(errno.EMSGSIZE)


def _check_map(flags: int, *numbers: int, rest: bool = False) -> None:
    if flags & ~_MAP_FLAGS or rest:
        raise KernelError(errno.EOPNOTSUPP)
    if any(number >= _UNREACHABLE for number in numbers):
        raise KernelError(errno.EOVERFLOW)
    if not flags & _MAP_ACCESS:
        raise KernelError(errno.EINVAL)


def _ioas_map(context: Context, argument: Any, _: Caller) -> None:
    _check_map(argument.flags, argument.iova, argument.length, rest=reserved(argument))
    space = context.get(argument.ioas_id, Ioas).space
    fixed = bool(argument.flags & uapi.IOMMU_IOAS_MAP_FIXED_IOVA)
    argument.iova = space.map(argument.iova, argument.length, fixed=fixed)
    space.has_file_pages_only = False


def _ioas_map_file(context: Context, argument: Any, _: Caller) -> None:
    _check_map(argument.flags, argument.iova, argument.length)
    space = context.get(argument.ioas_id, Ioas).space
    fixed = bool(argument.flags & uapi.IOMMU_IOAS_MAP_FIXED_IOVA)
    argument.iova = space.map(argument.iova, argument.length, fixed=fixed)


def _ioas_copy(context: Context, argument: Any, _: Caller) -> None:
    _check_map(argument.flags, argument.length, argument.src_iova, argument.dst_iova)
    context.get(argument.src_ioas_id, Ioas).space.check_mapped(argument.src_iova, argument.length)
    space = context.get(argument.dst_ioas_id, Ioas).space
    fixed = bool(argument.flags & uapi.IOMMU_IOAS_MAP_FIXED_IOVA)
    argument.dst_iova = space.map(argument.dst_iova, argument.length, fixed=fixed)


def _ioas_unmap(context: Context, argument: Any, _: Caller) -> None:
    space = context.get(argument.ioas_id, Ioas).space
    argument.length = space.unmap(argument.iova, argument.length)


def _ioas_change_process(context: Context, argument: Any, _: Caller) -> None:
    if reserved(argument):
        raise KernelError(errno.EOPNOTSUPP)
    spaces = [entry.space for entry in context.objects.values() if isinstance(entry, Ioas)]
    if not all(space.is_empty or space.has_file_pages_only for space in spaces):
        raise KernelError(errno.EINVAL)


def _option(context: Context, argument: Any, _: Caller) -> None:
    if reserved(argument) or argument.option_id not in (_OPTION_RLIMIT_MODE, _OPTION_HUGE_PAGES):
        raise KernelError(errno.EOPNOTSUPP)
    if argument.option_id == _OPTION_HUGE_PAGES:
        context.get(argument.object_id, Ioas)
    elif argument.object_id:
        raise KernelError(errno.EOPNOTSUPP)


def _hwpt_alloc(context: Context, argument: Any, caller: Caller) -> None:
    """iommufd_hwpt_alloc(): in an address space, or below a vIOMMU."""
    if reserved(argument):
        raise KernelError(errno.EOPNOTSUPP)
    if (argument.data_type == uapi.IOMMU_HWPT_DATA_NONE) != (argument.data_len == 0):
        raise KernelError(errno.EINVAL)
    device = context.get(argument.dev_id, DeviceObject)
    parent = context.objects.get(argument.pt_id)
    if isinstance(parent, Ioas):
        hwpt = _paging(device, parent, argument)
    elif isinstance(parent, Hwpt) and not parent.is_nested:
        # arm-smmu-v3 has no domain_alloc_nested(): nested tables hang from a vIOMMU.
        raise KernelError(errno.EOPNOTSUPP)
    elif isinstance(parent, Viommu):
        hwpt = nesting.nested_hwpt(device, parent, argument, caller)
    else:
        raise KernelError(errno.EINVAL)
    if argument.flags & uapi.IOMMU_HWPT_FAULT_ID_VALID:
        hwpt.uses.append(nesting.fault_queue(context, argument.fault_id))
    argument.out_hwpt_id = context.add(hwpt).id


def _paging(device: DeviceObject, parent: Ioas, argument: Any) -> Hwpt:
    flags, smmu = argument.flags, device.smmu
    nest_parent = bool(flags & uapi.IOMMU_HWPT_ALLOC_NEST_PARENT)
    dirty = bool(flags & uapi.IOMMU_HWPT_ALLOC_DIRTY_TRACKING)
    unsupported = (
        flags & ~_HWPT_FLAGS
        or (dirty and not device.function.capabilities & uapi_info.IOMMU_HW_CAP_DIRTY_TRACKING)
        or (nest_parent and flags & uapi.IOMMU_HWPT_FAULT_ID_VALID)
        or (nest_parent and not smmu.nest_parents)
        or argument.data_len
    )
    if unsupported:
        raise KernelError(errno.EOPNOTSUPP)
    hwpt = Hwpt(smmu, parent)
    hwpt.nest_parent, hwpt.dirty_tracking = nest_parent, dirty
    return hwpt


def _set_dirty_tracking(context: Context, argument: Any, _: Caller) -> None:
    if argument.flags & ~1:
        raise KernelError(errno.EOPNOTSUPP)
    if not _paging_hwpt(context, argument.hwpt_id).dirty_tracking:
        raise KernelError(errno.EOPNOTSUPP)


def _get_dirty_bitmap(context: Context, argument: Any, _: Caller) -> None:
    """Nothing is ever dirty: nothing is transferred."""
    if argument.flags & ~1 or reserved(argument):
        raise KernelError(errno.EOPNOTSUPP)
    if not _paging_hwpt(context, argument.hwpt_id).dirty_tracking:
        raise KernelError(errno.EOPNOTSUPP)


def _paging_hwpt(context: Context, number: int) -> Hwpt:
    hwpt = context.get(number, Hwpt)
    if hwpt.is_nested:
        raise KernelError(errno.ENOENT)
    return hwpt


def attach(context: Context, device: DeviceObject, pasid: int, number: int) -> int:
    """Attach a device to an IOAS or a page table (iommufd_device_change_pt()); the table's id.

    :raise KernelError: ENOENT: no such object, or a guest's table before the device has a vDEVICE; EINVAL:
        not a table, or one of another SMMU.
    """
    target = context.get(number, Object)
    if isinstance(target, Ioas):
        target = _automatic(context, device, target)
    if not isinstance(target, Hwpt) or target.smmu is not device.smmu:
        raise KernelError(errno.EINVAL)
    nesting.check_attach(device, target)
    context.attach(device, pasid, target)
    return target.id


def _automatic(context: Context, device: DeviceObject, parent: Ioas) -> Hwpt:
    for entry in context.objects.values():
        if (
            isinstance(entry, Hwpt)
            and entry.automatic
            and entry.parent is parent
            and entry.smmu is device.smmu
        ):
            return entry
    hwpt = Hwpt(device.smmu, parent)
    hwpt.automatic = True
    return context.add(hwpt)


def _row(
    name: str, structure: type[ctypes.Structure], last: str, run: Callable[[Context, Any, Caller], None]
) -> Operation:
    field = getattr(structure, last)
    return Operation(f"IOMMU_{name}", structure, ctypes.sizeof(structure), field.offset + field.size, run)


#: The kernel's table; VFIO_IOAS, ALLOW_IOVAS and NOIOMMU_GET_PA, which no VMM uses here, are left out.
OPERATIONS: Final = {
    uapi.IOMMU_DESTROY: _row("DESTROY", uapi.iommu_destroy, "id", _destroy),
    uapi.IOMMU_IOAS_ALLOC: _row("IOAS_ALLOC", uapi.iommu_ioas_alloc, "out_ioas_id", _ioas_alloc),
    uapi.IOMMU_IOAS_COPY: _row("IOAS_COPY", uapi.iommu_ioas_copy, "src_iova", _ioas_copy),
    uapi.IOMMU_IOAS_IOVA_RANGES: _row(
        "IOAS_IOVA_RANGES", uapi.iommu_ioas_iova_ranges, "out_iova_alignment", _ioas_iova_ranges
    ),
    uapi.IOMMU_IOAS_MAP: _row("IOAS_MAP", uapi.iommu_ioas_map, "iova", _ioas_map),
    uapi.IOMMU_IOAS_MAP_FILE: _row("IOAS_MAP_FILE", uapi.iommu_ioas_map_file, "iova", _ioas_map_file),
    uapi.IOMMU_IOAS_UNMAP: _row("IOAS_UNMAP", uapi.iommu_ioas_unmap, "length", _ioas_unmap),
    uapi.IOMMU_IOAS_CHANGE_PROCESS: _row(
        "IOAS_CHANGE_PROCESS", uapi.iommu_ioas_change_process, "__reserved", _ioas_change_process
    ),
    uapi.IOMMU_OPTION: _row("OPTION", uapi.iommu_option, "val64", _option),
    uapi.IOMMU_HWPT_ALLOC: _row("HWPT_ALLOC", uapi.iommu_hwpt_alloc, "__reserved", _hwpt_alloc),
    uapi.IOMMU_HWPT_SET_DIRTY_TRACKING: _row(
        "HWPT_SET_DIRTY_TRACKING", uapi.iommu_hwpt_set_dirty_tracking, "__reserved", _set_dirty_tracking
    ),
    uapi.IOMMU_HWPT_GET_DIRTY_BITMAP: _row(
        "HWPT_GET_DIRTY_BITMAP", uapi.iommu_hwpt_get_dirty_bitmap, "data", _get_dirty_bitmap
    ),
    uapi_info.IOMMU_GET_HW_INFO: _row(
        "GET_HW_INFO", uapi_info.iommu_hw_info, "__reserved", hw_info_call.get_hw_info
    ),
    uapi_nesting.IOMMU_HWPT_INVALIDATE: _row(
        "HWPT_INVALIDATE", uapi_nesting.iommu_hwpt_invalidate, "__reserved", nesting.invalidate
    ),
    uapi_nesting.IOMMU_FAULT_QUEUE_ALLOC: _row(
        "FAULT_QUEUE_ALLOC", uapi_nesting.iommu_fault_alloc, "out_fault_fd", nesting.fault_alloc
    ),
    uapi_nesting.IOMMU_VIOMMU_ALLOC: _row(
        "VIOMMU_ALLOC", uapi_nesting.iommu_viommu_alloc, "out_viommu_id", nesting.viommu_alloc
    ),
    uapi_nesting.IOMMU_VDEVICE_ALLOC: _row(
        "VDEVICE_ALLOC", uapi_nesting.iommu_vdevice_alloc, "virt_id", nesting.vdevice_alloc
    ),
    uapi_nesting.IOMMU_VEVENTQ_ALLOC: _row(
        "VEVENTQ_ALLOC", uapi_nesting.iommu_veventq_alloc, "out_veventq_fd", nesting.veventq_alloc
    ),
    uapi_nesting.IOMMU_HW_QUEUE_ALLOC: _row(
        "HW_QUEUE_ALLOC", uapi_nesting.iommu_hw_queue_alloc, "length", nesting.hw_queue_alloc
    ),
}
