# SPDX-License-Identifier: Apache-2.0
"""Memory that functions of the host need locked, held against what the starting process may lock.

Source: Linux 7.3 drivers/iommu/iommufd/pages.c: IOMMU_IOAS_MAP pins every page and counts it for the user
against RLIMIT_MEMLOCK, unless the process has CAP_IPC_LOCK. Others of the user count, too, so that less than
the limit proves nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vsmmu.diagnostic import Diagnostic
from vsmmu.host.mmio_window import spell_size
from vsmmu.machine.drivers import is_vfio
from vsmmu.qemu.memory_size import memory_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vsmmu.machine.model import Machine

__all__ = ["unlocked_memory"]


def unlocked_memory(machine: Machine, lockable: int | None) -> Iterator[Diagnostic]:
    """The warning that a VM has more memory than may be locked for its functions.

    :param lockable: in bytes; None where there is no limit, or none is known.
    """
    names = [device.name for device in machine.devices if is_vfio(device.driver)]
    memory = memory_bytes(machine)
    if lockable is None or not names or memory is None or memory <= lockable:
        return
    yield Diagnostic(
        "memlock-small",
        f"all {spell_size(memory)} of the VM's memory get locked for its functions, and you may lock "
        f"{spell_size(lockable)}: as you, QEMU cannot map them",
        where=", ".join(names),
        next="raise the limit (ulimit -l, LimitMEMLOCK=), or let somebody start it who has a higher one",
        severity="warning",
    )
