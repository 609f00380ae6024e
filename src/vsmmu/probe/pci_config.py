# SPDX-License-Identifier: Apache-2.0
"""ATS, PASID and CXL.cache capabilities from a function's extended configuration space.

sysfs gives an unprivileged reader the first 64 bytes only, so "unknown" is a usual answer. The kernel wakes a
sleeping function for the read (pci_config_pm_runtime_get()); only the headers of the capability chain are
read, not the 4096 bytes. Layouts: PCI Express Base Specification, chapters 7.8.8 (PASID) and 10.5.1 (ATS);
PCI_DVSEC_CXL_DEVICE in Linux's include/uapi/linux/pci_regs.h.
"""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING, Final, NamedTuple

from vsmmu.probe.sysfs import PCI_DEVICES

if TYPE_CHECKING:
    from collections.abc import Callable

    from vsmmu.probe.system_root import Tree

__all__ = ["Capabilities", "parse_capabilities", "read_capabilities"]

_EXTENDED: Final = 0x100
_SPACE: Final = 0x1000
_CAP_ATS: Final = 0x0F
_CAP_PASID: Final = 0x1B
_CAP_DVSEC: Final = 0x23
_PASID_WIDTH: Final = 0x1F
#: The DVSEC of a CXL device: its vendor, its id, and what it can do, in the upper half of the third word.
_CXL_VENDOR, _CXL_DEVICE, _CXL_CACHE = 0x1E98, 0, 1 << 16
#: The chain has room for this many headers of at least 8 bytes; a longer one runs in a circle.
_MAX_CAPABILITIES: Final = (_SPACE - _EXTENDED) // 8


class Capabilities(NamedTuple):
    """What the function itself says it can do.

    :param ats: whether it has the ATS capability.
    :param pasid_bits: the widest PASID that it can send; None if it has no PASID capability.
    :param cxl_cache: whether it is capable of CXL.cache.
    """

    ats: bool
    pasid_bits: int | None
    cxl_cache: bool = False


def read_capabilities(tree: Tree, address: str) -> Capabilities | None:
    """The capabilities of the function at ``address``; None if they cannot be read."""
    try:
        descriptor = os.open(tree.path(f"{PCI_DEVICES}/{address}/config"), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        if os.fstat(descriptor).st_size == _EXTENDED:
            return Capabilities(ats=False, pasid_bits=None)  # conventional PCI: no extended space
        return parse_capabilities(lambda offset: _read_word(descriptor, offset))
    except OSError:
        return None
    finally:
        os.close(descriptor)


def parse_capabilities(read: Callable[[int], int | None]) -> Capabilities | None:
    """Follow the capability chain; ``read`` gives the 32-bit word at an offset, None where it may not.

    A device that answers all ones is gone or asleep: None. A chain that runs in a circle ends there.
    """
    found: dict[int, int] = {}
    cache = False
    offset, seen = _EXTENDED, 0
    while _EXTENDED <= offset < _SPACE and seen < _MAX_CAPABILITIES:
        header = read(offset)
        if header is None or header == 0xFFFFFFFF:
            return None
        found.setdefault(header & 0xFFFF, offset)
        cache = cache or (header & 0xFFFF == _CAP_DVSEC and _is_cxl_cache(read, offset))
        offset, seen = header >> 20 & 0xFFC, seen + 1
    pasid = None
    if _CAP_PASID in found:
        word = read(found[_CAP_PASID] + 4) if found[_CAP_PASID] + 8 <= _SPACE else None
        if word is None:
            return None
        pasid = word >> 8 & _PASID_WIDTH
    return Capabilities(_CAP_ATS in found, pasid, cache)


def _is_cxl_cache(read: Callable[[int], int | None], offset: int) -> bool:
    """Whether a designated vendor-specific capability is CXL's, with Cache_Capable."""
    if offset + 12 > _SPACE:
        return False
    vendor, word = read(offset + 4), read(offset + 8)
    if vendor is None or word is None or vendor & 0xFFFF != _CXL_VENDOR:
        return False
    return word & 0xFFFF == _CXL_DEVICE and bool(word & _CXL_CACHE)


def _read_word(descriptor: int, offset: int) -> int | None:
    data = os.pread(descriptor, 4, offset)
    return int(struct.unpack("<I", data)[0]) if len(data) == 4 else None
