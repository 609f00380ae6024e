# SPDX-License-Identifier: Apache-2.0
"""The ``addr=`` of a PCI device as QEMU reads it: slot and function on the device's bus.

Source: set_pci_devfn() in hw/core/qdev-properties-system.c of qemu/qemu; measured on 11.1.3.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from vsmmu.qemu.findings import Refusal

if TYPE_CHECKING:
    from vsmmu.machine.model import JsonValue

__all__ = ["FUNCTIONS", "SLOTS", "read_address"]

#: Device numbers on a PCI bus.
SLOTS: Final = 32
#: Functions of a PCI device.
FUNCTIONS: Final = 8

# sscanf("%x.%x"): spaces before each number, a sign, 0x with or without digits behind it.
_NUMBER: Final = r"[ \t\n\v\f\r]*([+-]?)(0[xX][0-9a-fA-F]*|[0-9a-fA-F]+)"
_ADDRESS: Final = rf"{_NUMBER}(?:\.{_NUMBER})?"
_ULONG: Final = 1 << 64
_UINT: Final = 1 << 32
_INT: Final = range(-(1 << 31), 1 << 31)
_LONG: Final = range(-(1 << 63), 1 << 63)


def read_address(driver: str, value: JsonValue) -> int | Refusal:
    """The devfn that ``addr`` stands for: ``slot * 8 + function``; -1 if QEMU is to choose.

    :param driver: QEMU's type name of the device, for the message.
    :param value: as written: hexadecimal ``slot`` or ``slot.function`` as text, or in JSON also the devfn
        itself as a number from -1 to 255.
    """
    if isinstance(value, str):
        devfn = _read(value)
        return Refusal("qemu-slot-address", {"driver": driver, "value": value}) if devfn is None else devfn
    if isinstance(value, bool) or not isinstance(value, int | float):
        return Refusal("qemu-slot-type", {})
    if isinstance(value, float) or value not in _LONG:
        return Refusal("qemu-json-type", {"property": "addr", "value": "integer"})
    if value not in _INT:
        return Refusal("qemu-slot-number", {"expected": "int32_t"})
    if not -1 <= value < SLOTS * FUNCTIONS:
        return Refusal("qemu-slot-number", {"expected": "a value between -1 and 255"})
    return value


def _read(text: str) -> int | None:
    found = re.fullmatch(_ADDRESS, text)
    if found is None:
        return None
    slot = _unsigned(found[1], found[2])
    function = _unsigned(found[3], found[4]) if found[4] else 0
    return slot * FUNCTIONS + function if slot < SLOTS and function < FUNCTIONS else None


def _unsigned(sign: str, digits: str) -> int:
    """What strtoul() makes of it, cut to an unsigned int."""
    value = int(digits.lower().removeprefix("0x") or "0", 16)
    if value >= _ULONG:
        return _UINT - 1
    return (-value if sign == "-" else value) % _UINT
