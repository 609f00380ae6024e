# SPDX-License-Identifier: Apache-2.0
"""PCI addresses, in the one spelling that facts, configurations and answers share."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["normal_address"]

_ADDRESS: Final = re.compile(r"(?:([0-9A-Fa-f]{1,8}):)?([0-9A-Fa-f]{1,2}):([01]?[0-9A-Fa-f])\.([0-7])")


def normal_address(text: str) -> str | None:
    """A PCI address in full and in lower case, ``dddd:bb:dd.f``; the domain is 0 if it is left out.

    None if ``text`` is no PCI address.
    """
    match = _ADDRESS.fullmatch(text)
    if match is None:
        return None
    domain, bus, device, function = match.groups("0")
    return f"{int(domain, 16):04x}:{int(bus, 16):02x}:{int(device, 16):02x}.{function}"
