# SPDX-License-Identifier: Apache-2.0
"""Meanings of the kernel's errnos for a probe: one table by call and errno.

Every row was tried on Linux 7.3 or read in its source: drivers/vfio/device_cdev.c (bind),
drivers/vfio/vfio_main.c, drivers/iommu/iommufd/device.c (iommufd_device_bind(), iommufd_get_hw_info()),
drivers/iommu/iommu.c (iommu_device_claim_dma_owner()), drivers/vfio/pci/vfio_pci_core.c (enable, tokens).
"""

from __future__ import annotations

import errno
import os
from typing import Final, Literal, NamedTuple

from vsmmu.errors import HostLacks, Negative, PermissionRefused, VsmmuError
from vsmmu.file_access import who_may
from vsmmu.host.obstacles import direct_region
from vsmmu.shipped import PROBE_UNIT

__all__ = ["REFUSALS", "Call", "bind_refused", "refused"]

Call = Literal["open iommufd", "open device", "bind", "hw_info"]


class _Refusal(NamedTuple):
    kind: type[VsmmuError]
    code: str
    what: str
    why: str
    next: str


_NO_IOMMUFD: Final = _Refusal(
    HostLacks,
    "no-iommufd",
    "this host has no iommufd",
    "there is no /dev/iommu",
    "use a kernel with CONFIG_IOMMUFD and load it: modprobe iommufd",
)
_NO_CDEV: Final = _Refusal(
    HostLacks,
    "no-vfio-cdev",
    "the function has no vfio device file",
    "the file is missing",
    "use a kernel with CONFIG_VFIO_DEVICE_CDEV; in a container, pass /dev/vfio/devices in",
)
_ROOT: Final = f"run as root, as {PROBE_UNIT} does at boot, or have root give you the file: chown, or an ACL"
_PERMISSION: Final = _Refusal(PermissionRefused, "no-permission", "may not open the file", "", _ROOT)
_IN_USE: Final = _Refusal(
    Negative,
    "function-in-use",
    "the function is in use",
    "another open of its device file is bound",
    "shut that VM down, or probe another function behind the same SMMU",
)
_GROUP_IN_USE: Final = _Refusal(
    Negative,
    "group-in-use",
    "the function's IOMMU group is in use",
    "it is open through vfio's older interface, /dev/vfio/GROUP",
    "shut that VM down, or probe a function of another group behind the same SMMU",
)
_BIND_REFUSED: Final = _Refusal(
    PermissionRefused,
    "bind-refused",
    "the kernel does not give the function to an iommufd",
    "a member of its group belongs to another process or to its own driver, or interrupts are not isolated",
    "free the whole group; on a host without an ITS see iommufd.allow_unsafe_interrupts",
)
_NOT_AN_IOMMUFD: Final = _Refusal(
    HostLacks,
    "no-iommufd",
    "/dev/iommu is not an iommufd",
    "the kernel says so",
    "in a container, pass the host's own /dev/iommu in",
)
_TOKEN: Final = _Refusal(
    PermissionRefused,
    "vf-token",
    "the virtual function needs a token",
    "its physical function is on vfio-pci too",
    "probe the physical function or another one behind the same SMMU",
)
_OLD_KERNEL: Final = _Refusal(
    HostLacks,
    "old-kernel",
    "this kernel does not know the call",
    "it came with Linux 6.6",
    "use a newer kernel (SMMUv3 registers: 6.13)",
)
_GONE: Final = _Refusal(
    Negative,
    "device-gone",
    "the function is gone",
    "it was unbound or unplugged in between",
    "try again",
)

#: What to make of an errno; anything else is ``kernel-refused`` with the kernel's own words.
REFUSALS: Final[dict[tuple[Call, int], _Refusal]] = {
    ("open iommufd", errno.ENOENT): _NO_IOMMUFD,
    ("open iommufd", errno.ENODEV): _NO_IOMMUFD,
    ("open iommufd", errno.ENXIO): _NO_IOMMUFD,
    ("open iommufd", errno.EACCES): _PERMISSION,
    ("open iommufd", errno.EPERM): _PERMISSION,
    ("open device", errno.ENOENT): _NO_CDEV,
    ("open device", errno.ENODEV): _GONE,
    ("open device", errno.ENXIO): _GONE,
    ("open device", errno.EACCES): _PERMISSION,
    ("open device", errno.EPERM): _PERMISSION,
    ("bind", errno.EINVAL): _IN_USE,
    ("bind", errno.EBUSY): _GROUP_IN_USE,
    ("bind", errno.EPERM): _BIND_REFUSED,
    ("bind", errno.EACCES): _TOKEN,
    ("bind", errno.EBADF): _NOT_AN_IOMMUFD,
    ("bind", errno.EBADFD): _NOT_AN_IOMMUFD,
    ("bind", errno.ENOTTY): _OLD_KERNEL,
    ("bind", errno.ENODEV): _Refusal(
        HostLacks,
        "no-iommu-group",
        "no IOMMU stands before the function",
        "it has no IOMMU group",
        "choose a function behind an SMMU: vsmmu show",
    ),
    ("bind", errno.EAGAIN): _Refusal(
        Negative,
        "reset-failed",
        "the function could not be reset",
        "vfio resets a function before it gives it away",
        "see the kernel log; try another function behind the same SMMU",
    ),
    ("hw_info", errno.ENOENT): _GONE,
    ("hw_info", errno.ENOTTY): _OLD_KERNEL,
    ("hw_info", errno.EOPNOTSUPP): _Refusal(
        HostLacks,
        "no-hw-info",
        "the kernel has no such information about this IOMMU",
        "its driver does not answer this type",
        "SMMUv3 needs CONFIG_ARM_SMMU_V3_IOMMUFD; CMDQV also CONFIG_TEGRA241_CMDQV and the hardware",
    ),
}


def bind_refused(error: OSError, where: str, held: str, direct: bool | None) -> VsmmuError:
    """The error for a bind that the kernel refused.

    EINVAL has three causes: the size and flags of the request, which are those of every kernel since 6.6; a
    1:1 mapping, which the reserved regions tell; and another open of the device file that is bound.

    :param held: who holds the device or its group; empty if nobody is seen to.
    :param direct: whether a reserved region of the group is of type direct; None if that cannot be read.
    """
    if error.errno == errno.EINVAL and direct:
        return Negative.of(direct_region(where))
    if error.errno == errno.EINVAL and not held:
        held = "another open of its device file is bound, by a process that cannot be seen from here"
        if direct is None:
            held += "; or it has to stay mapped 1:1: its reserved regions cannot be read"
    return refused("bind", error, where, held)


def refused(call: Call, error: OSError, where: str, detail: str = "") -> VsmmuError:
    """The error for what the kernel answered to ``call``.

    :param where: the device or file.
    :param detail: what more is known of the cause, such as who holds the device.
    """
    row = REFUSALS.get((call, error.errno or 0))
    if row is None:
        name = _spell(error)
        return HostLacks(
            "kernel-refused",
            f"the kernel refused: {call}",
            where=where,
            why=f"{name}{'; ' if detail else ''}{detail}",
            next="see the kernel log, and report it if vsmmu should know this case",
        )
    why = "; ".join(filter(None, (detail or row.why, _spell(error))))
    who = who_may(where, os.R_OK | os.W_OK) if row is _PERMISSION else ""
    return row.kind(row.code, row.what, where=where, why=why, next=who or row.next)


def _spell(error: OSError) -> str:
    number = error.errno or 0
    return f"{errno.errorcode.get(number, number)}: {os.strerror(number)}"
