# SPDX-License-Identifier: Apache-2.0
"""The configuration space of an emulated function: enough for a driver of vfio-pci to accept it.

An endpoint with the memory BARs that the facts name (else one of 4 KiB), power management, PCI Express (with
function level reset) and MSI, and those of the ATS and PASID capabilities that the facts name. Only BAR 0 can
be written: vfio tells sizes by regions, and what a VM's firmware writes stays with QEMU.

Layouts: PCI Local Bus Specification 3.0, chapter 6; PCI Express Base Specification, chapters 7.5, 7.8.8
(PASID) and 10.5.1 (ATS).
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

__all__ = ["PAGE", "SIZE", "ConfigSpace", "Identity"]

#: With the extended part, which every PCI Express function has.
SIZE: Final = 4096

_PM, _EXPRESS, _MSI = 0x40, 0x50, 0x90
_EXTENDED, _EXTENDED_STEP = 0x100, 0x10
_CAP_ID_PM, _CAP_ID_MSI, _CAP_ID_EXPRESS = 0x01, 0x05, 0x10
_ECAP_ID_ATS, _ECAP_ID_PASID = 0x0F, 0x1B
#: The least memory BAR that vfio-pci shows.
PAGE: Final = 0x1000
#: What a BAR says that is 64 bits wide and prefetchable.
_HIGH_BAR: Final = 0xC

#: Where software may write, and which bits stick: command, BAR 0, interrupt line, PM state, device and link
#: control, MSI.
_WRITABLE: Final = {
    0x04: 0x0547,
    0x10: 0xFFFFFFFF & ~(PAGE - 1),
    0x3C: 0x000000FF,
    _PM + 4: 0x00000103,
    _EXPRESS + 0x08: 0x00007FFF,
    _EXPRESS + 0x10: 0x00000FC3,
    _EXPRESS + 0x28: 0x0000641F,
    _MSI: 0x00710000,
    _MSI + 4: 0xFFFFFFFC,
    _MSI + 8: 0xFFFFFFFF,
    _MSI + 12: 0x0000FFFF,
}


class Identity(NamedTuple):
    """What the function says it is.

    :param ats: whether it has the ATS capability.
    :param pasid_bits: the widest PASID that it can send; None if it has no PASID capability.
    :param high_bars: numbers of the memory BARs that are 64 bits wide and prefetchable.
    """

    vendor: int
    device: int
    class_code: int
    ats: bool
    pasid_bits: int | None
    high_bars: frozenset[int] = frozenset()


class _Extended(NamedTuple):
    """An extended capability of one word: id, its word, and which bits of that word can be written."""

    id: int
    offset: int
    word: int
    writable: int


def _extended(identity: Identity) -> list[_Extended]:
    """The extended capabilities, one after the other from 0x100."""
    wanted = []
    if identity.ats:
        # Invalidate queue depth 32 (0), page aligned requests; control: enable, smallest translation unit.
        wanted.append((_ECAP_ID_ATS, 0x00000020, 0x801F0000))
    if identity.pasid_bits is not None:
        wanted.append((_ECAP_ID_PASID, identity.pasid_bits << 8 | 0x0006, 0x00070000))
    return [
        _Extended(number, _EXTENDED + index * _EXTENDED_STEP, word, writable)
        for index, (number, word, writable) in enumerate(wanted)
    ]


class ConfigSpace:
    """4096 bytes that can be read, and written where hardware would let software write."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity
        self._extended = _extended(identity)
        self._writable = _WRITABLE | {entry.offset + 4: entry.writable for entry in self._extended}
        self._data = bytearray(SIZE)
        self.reset()

    def reset(self) -> None:
        """What is there after a function level reset."""
        identity = self._identity
        self._data[:] = bytes(SIZE)
        self._put(0x00, "<HH", identity.vendor, identity.device)
        # Status: capabilities list. Header type 0, no interrupt pin: the function has MSI only.
        self._put(0x06, "<H", 0x0010)
        self._put(0x08, "<I", identity.class_code << 8)
        for bar in identity.high_bars:
            self._put(0x10 + 4 * bar, "<I", _HIGH_BAR)
        self._put(0x2C, "<HH", identity.vendor, identity.device)
        self._data[0x34] = _PM
        self._put(_PM, "<BBHI", _CAP_ID_PM, _EXPRESS, 0x0003, 0x0008)
        # Endpoint, version 2; FLR; link 8 GT/s x16; end-end TLP prefixes (for PASID) in capabilities 2.
        self._put(_EXPRESS, "<BBHI", _CAP_ID_EXPRESS, _MSI, 0x0002, 0x10008FC0)
        self._put(_EXPRESS + 0x0C, "<IHH", 0x00000103, 0, 0x1103)
        self._put(_EXPRESS + 0x24, "<I", 0x00200000)
        self._put(_MSI, "<BBHIIH", _CAP_ID_MSI, 0, 0x0080, 0, 0, 0)
        for index, entry in enumerate(self._extended):
            following = self._extended[index + 1].offset if index + 1 < len(self._extended) else 0
            self._put(entry.offset, "<II", entry.id | 1 << 16 | following << 20, entry.word)

    def _put(self, offset: int, layout: str, *values: int) -> None:
        struct.pack_into(layout, self._data, offset, *values)

    def read(self, offset: int, length: int) -> bytes:
        """What a read gives; shorter at the end."""
        return bytes(self._data[offset : offset + length])

    def write(self, offset: int, data: bytes) -> None:
        """Write what software may write; the rest of ``data`` has no effect."""
        for index, value in enumerate(data[: max(0, SIZE - offset)]):
            place = offset + index
            mask = self._writable.get(place & ~3, 0) >> 8 * (place & 3) & 0xFF
            self._data[place] = self._data[place] & ~mask | value & mask

    def vfio_read(self, offset: int, length: int) -> bytes:
        """What vfio-pci shows of it: it hides the PASID capability, whose control is the host's.

        Source: drivers/vfio/pci/vfio_pci_config.c, pci_ext_cap_length: a capability with length 0 is taken
        out of the chain; the first one cannot be, and keeps its place with an id of 0.
        """
        data = bytearray(self._data)
        for index, entry in enumerate(self._extended):
            if entry.id == _ECAP_ID_PASID:
                data[entry.offset : entry.offset + 8] = bytes(8)
                if index:
                    struct.pack_into("<H", data, self._extended[index - 1].offset + 2, 1)
        return bytes(data[offset : offset + length])
