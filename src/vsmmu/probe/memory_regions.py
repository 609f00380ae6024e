# SPDX-License-Identifier: Apache-2.0
"""Memory BARs of a function: from sysfs (at least that much), and from its bound vfio device (exactly).

Sources: Documentation/ABI/testing/sysfs-bus-pci (``resource``: start, end and flags of each line) and
include/linux/ioport.h for the flags; VFIO_DEVICE_GET_REGION_INFO in include/uapi/linux/vfio.h. A variant of
vfio-pci can show regions that sysfs does not have (drivers/vfio/pci/nvgrace-gpu: the GPU's memory as BARs 2
and 4, rounded up to a power of two).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from vsmmu.host.facts import MemoryRegion
from vsmmu.uapi import vfio

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vsmmu.probe.system_root import Tree

__all__ = ["BARS", "ask_regions", "read_regions"]

BARS: Final = 6
_MEMORY, _PREFETCH, _WIDE = 0x200, 0x2000, 0x100000  # IORESOURCE_MEM, _PREFETCH, _MEM_64
_FIRST_BAR: Final = 0x10
# PCI_BASE_ADDRESS_*: bit 0 I/O space, bits 2:1 type (2: 64 bits), bit 3 prefetchable.
_IO, _TYPE, _TYPE_WIDE, _PREFETCHABLE = 0x1, 0x6, 0x4, 0x8


def read_regions(tree: Tree, directory: str, evidence: str) -> tuple[MemoryRegion, ...] | None:
    """The memory BARs that sysfs shows; None if it does not.

    :param directory: the function's.
    """
    text = tree.text(f"{directory}/resource")
    if text is None:
        return None
    found = []
    for index, line in enumerate(text.splitlines()[:BARS]):
        try:
            start, end, flags = (int(word, 16) for word in line.split())
        except ValueError:
            return None
        if flags & _MEMORY and end > start:
            high = bool(flags & _PREFETCH and flags & _WIDE)
            found.append(MemoryRegion(index, f"{end - start + 1:#x}", high, "at-least", evidence))
    return tuple(found)


def ask_regions(device: int, evidence: str) -> tuple[MemoryRegion, ...]:
    """The memory BARs that a VM gets of a bound device.

    :param device: the open vfio device file.
    :raise OSError: what the kernel answers.
    """
    return tuple(_asked(device, evidence))


def _asked(device: int, evidence: str) -> Iterator[MemoryRegion]:
    config = vfio.device_get_region_info(device, vfio.VFIO_PCI_CONFIG_REGION_INDEX)
    words = os.pread(device, 4 * BARS, config.offset + _FIRST_BAR)
    upper_half = False
    for index in range(BARS):
        if upper_half:
            upper_half = False
            continue
        word = int.from_bytes(words[4 * index : 4 * index + 4], "little")
        size = vfio.device_get_region_info(device, vfio.VFIO_PCI_BAR0_REGION_INDEX + index).size
        if size and not word & _IO:
            upper_half = word & _TYPE == _TYPE_WIDE
            yield MemoryRegion(
                index, f"{size:#x}", upper_half and bool(word & _PREFETCHABLE), "exact", evidence
            )
