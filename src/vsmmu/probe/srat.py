# SPDX-License-Identifier: Apache-2.0
"""The ACPI SRAT table: generic initiators, nodes without CPU and memory that belong to a PCI function.

Source: ACPI 6.5, 5.2.16.6 (Generic Initiator Affinity Structure, type 5) and its device handles. The table
comes from firmware: what does not fit is passed over, and nothing is concluded from its absence.
"""

from __future__ import annotations

import struct
from typing import Final

from vsmmu.pci import normal_address

__all__ = ["MAX_BYTES", "SRAT", "generic_initiators"]

SRAT: Final = "/sys/firmware/acpi/tables/SRAT"
MAX_BYTES: Final = 1 << 20
_FIRST: Final = 48
_TYPE_GENERIC_INITIATOR: Final = 5
#: Type and length, a reserved byte, type of the handle, proximity domain, handle, flags.
_ENTRY: Final = struct.Struct("<BBxBI16sI4x")
#: PCI segment, bus, device and function.
_PCI: Final = struct.Struct("<HBB")
_HANDLE_PCI, _ENABLED = 1, 1


def generic_initiators(data: bytes) -> dict[str, int]:
    """How many proximity domains each function has as a generic initiator; only functions that have some."""
    domains: dict[str, set[int]] = {}
    place = _FIRST
    while data[:4] == b"SRAT" and place + 2 <= len(data):
        kind, length = data[place], data[place + 1]
        if length < 2:
            break
        if kind == _TYPE_GENERIC_INITIATOR and length >= _ENTRY.size and place + _ENTRY.size <= len(data):
            _, _, handle, domain, device, flags = _ENTRY.unpack_from(data, place)
            if handle == _HANDLE_PCI and flags & _ENABLED:
                segment, bus, number = _PCI.unpack_from(device)
                address = normal_address(f"{segment:04x}:{bus:02x}:{number >> 3:02x}.{number & 7}")
                domains.setdefault(address or "", set()).add(domain)
        place += length
    return {address: len(found) for address, found in domains.items()}
