# SPDX-License-Identifier: Apache-2.0
"""PCI addresses, in the one spelling that facts, configurations and answers share."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["normal_address"]

_ADDRESS: Final = re.compile(r"(?:([0-9A-Fa-f]{1,16}):)?([0-9A-Fa-f]{1,16}):([0-9A-Fa-f]{1,16})\.([0-7])")


def normal_address(text: str) -> str | None:
    """A PCI address in full and in lower case, ``dddd:bb:dd.f``; the domain is 0 if it is left out.

    None if ``text`` is no PCI address. A domain may have more than four digits (as Intel's VMD has); QEMU
    takes such a one by ``sysfsdev`` only.
    """
    match = _ADDRESS.fullmatch(text)
    if match is None:
        return None
    domain, bus, slot = (int(part or "0", 16) for part in match.group(1, 2, 3))
    if domain > 0xFFFFFFFF or bus > 0xFF or slot > 0x1F:
        return None
    return f"{domain:04x}:{bus:02x}:{slot:02x}.{match.group(4)}"
