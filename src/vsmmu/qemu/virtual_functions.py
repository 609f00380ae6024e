# SPDX-License-Identifier: Apache-2.0
"""SR-IOV virtual functions of QEMU's own cards: each takes a place on the bus when its card is made.

Sources: pcie_sriov_pf_init() in hw/pci/pcie_sriov.c, hw/net/igb.c, hw/nvme/ctrl.c of qemu/qemu; measured
with 11.1.3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vsmmu.qemu.values import unsigned

if TYPE_CHECKING:
    from vsmmu.machine.model import Device

__all__ = ["VIRTUAL", "virtual_functions"]

#: Cards with virtual functions -> the type of these.
VIRTUAL: Final = {"igb": "igbvf", "nvme": "nvme"}
#: IGB_VF_OFFSET, IGB_VF_STRIDE and IGB_MAX_VF_FUNCTIONS of hw/net/igb_core.h.
_IGB: Final = (128, 2, 8)


def virtual_functions(device: Device, devfn: int) -> range:
    """The places of a card's virtual functions; they may lie behind the last place of the bus.

    :param devfn: the place of the card itself, ``slot * 8 + function``.
    """
    if device.driver == "nvme":
        first, stride, count = 1, 1, unsigned(device.text("sriov_max_vfs") or "0") or 0
    else:
        first, stride, count = _IGB
    return range(devfn + first, devfn + first + stride * count, stride)
