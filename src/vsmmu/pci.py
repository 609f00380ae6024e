# SPDX-License-Identifier: Apache-2.0
"""PCI addresses, in the one spelling that facts, configurations and answers share, and names of classes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["class_name", "normal_address"]

#: Compiled when it is met: what is written in the usual form is read without it.
_ADDRESS: Final = r"(?:([0-9A-Fa-f]{1,16}):)?([0-9A-Fa-f]{1,16}):([0-9A-Fa-f]{1,16})\.([0-7])"
_AS_ZEROS: Final = str.maketrans("123456789abcdef", 15 * "0")


def normal_address(text: str) -> str | None:
    """A PCI address in full and in lower case, ``dddd:bb:dd.f``; the domain is 0 if it is left out.

    None if ``text`` is no PCI address. A domain may have more than four digits (as Intel's VMD has); QEMU
    takes such a one by ``sysfsdev`` only.
    """
    if _is_normal(text):
        return text
    match = re.fullmatch(_ADDRESS, text)
    if match is None:
        return None
    domain, bus, slot = (int(part or "0", 16) for part in match.group(1, 2, 3))
    if domain > 0xFFFFFFFF or bus > 0xFF or slot > 0x1F:
        return None
    return f"{domain:04x}:{bus:02x}:{slot:02x}.{match.group(4)}"


def _is_normal(text: str) -> bool:
    """Whether it is written in full, with a domain of four digits."""
    return text.translate(_AS_ZEROS) == "0000:00:00.0" and text[8] in "01" and text[11] < "8"


#: The first digits of a class code -> its name; a longer one counts first. Source: PCI Code and ID Assignment
#: Specification 1.16, section 1.
_CLASSES: Final[Mapping[str, str]] = {
    "0108": "NVMe drive",
    "01": "storage controller",
    "02": "network controller",
    "0302": "3D controller",
    "03": "display controller",
    "04": "multimedia device",
    "05": "memory controller",
    "0604": "PCI bridge",
    "06": "bridge",
    "07": "communication controller",
    "08": "system peripheral",
    "0c03": "USB controller",
    "0c": "serial bus controller",
    "0d": "wireless controller",
    "10": "encryption controller",
    "11": "signal processing controller",
    "12": "processing accelerator",
}


def class_name(code: str) -> str:
    """What kind of device a class code of six hex digits stands for; empty if no name is known."""
    return _CLASSES.get(code[:4]) or _CLASSES.get(code[:2], "")
