# SPDX-License-Identifier: Apache-2.0
"""IOMMU_GET_HW_INFO, emulated.

Source: iommufd_get_hw_info() in drivers/iommu/iommufd/device.c, arm_smmu_hw_info() in
drivers/iommu/arm/arm-smmu-v3/arm-smmu-v3-iommufd.c, tegra241_cmdqv_hw_info(); Linux 7.3.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any, Final

from vsmmu.emulate.calls import reserved
from vsmmu.emulate.errno_error import KernelError
from vsmmu.emulate.objects import Context, DeviceObject
from vsmmu.uapi import hw_info as uapi

if TYPE_CHECKING:
    from vsmmu.emulate.calls import Caller
    from vsmmu.emulate.hardware import Smmu

__all__ = ["get_hw_info"]

_PIECE: Final = 1 << 16
#: The kernel has no such bound; structures of this kind have less than a page.
_MOST_CLEARED: Final = 16 << 20


def get_hw_info(context: Context, argument: Any, caller: Caller) -> None:
    """Fill ``argument`` and the buffer that it points to.

    :raise KernelError: EOPNOTSUPP, ENOENT, EFAULT; ENOMEM for a buffer of more than 16 MiB.
    """
    flags = argument.flags
    if flags & ~uapi.IOMMU_HW_INFO_FLAG_INPUT_TYPE or reserved(argument):
        raise KernelError(errno.EOPNOTSUPP)
    wanted = argument.in_data_type if flags & uapi.IOMMU_HW_INFO_FLAG_INPUT_TYPE else 0
    device = context.get(argument.dev_id, DeviceObject)
    kind, data = _data(device.smmu, wanted)
    # A short buffer gets the beginning, a long one is filled with zeros: a piece at a time, and no further
    # than anybody needs, for the calls of others wait meanwhile.
    address, room = argument.data_uptr, argument.data_len
    if room > _MOST_CLEARED:
        raise KernelError(errno.ENOMEM)
    caller.memory.write(address, data[:room].ljust(min(room, _PIECE), b"\0"))
    for place in range(_PIECE, room, _PIECE):
        caller.memory.write(address + place, bytes(min(_PIECE, room - place)))
    argument.data_len = len(data)
    argument.out_data_type = kind
    argument.out_max_pasid_log2 = device.function.pasid_log2
    argument.out_capabilities = device.function.capabilities


def _data(smmu: Smmu, wanted: int) -> tuple[int, bytes]:
    kind, data = smmu.hw_info
    if wanted in (uapi.IOMMU_HW_INFO_TYPE_DEFAULT, kind):
        return kind, data
    if wanted == uapi.IOMMU_HW_INFO_TYPE_TEGRA241_CMDQV and smmu.cmdqv is not None:
        return wanted, bytes(uapi.iommu_hw_info_tegra241_cmdqv(0, *smmu.cmdqv))
    if kind == uapi.IOMMU_HW_INFO_TYPE_NONE:
        # A driver without the operation: the type that was asked for is not looked at.
        return kind, b""
    raise KernelError(errno.EOPNOTSUPP)
