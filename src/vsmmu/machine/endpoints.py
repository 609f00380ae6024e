# SPDX-License-Identifier: Apache-2.0
"""Which function of the host an endpoint stands for, as far as its properties tell."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from vsmmu.machine.drivers import is_vfio

if TYPE_CHECKING:
    from vsmmu.machine.model import Device

__all__ = ["host_address", "normalise_address"]

_ADDRESS: Final = re.compile(r"(?:([0-9A-Fa-f]{1,16}):)?([0-9A-Fa-f]{1,16}):([0-9A-Fa-f]{1,16})\.([0-7])")


def normalise_address(text: str) -> str | None:
    """A PCI address in full, lower case ``dddd:bb:dd.f``; the domain is 0 if it is left out.

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


def host_address(device: Device) -> str | None:
    """The host function that a ``vfio-pci`` device names by ``host=`` or ``sysfsdev=``.

    ``sysfsdev`` wins over ``host``, as in QEMU. None for ``fd=`` (only the kernel knows what the descriptor
    is), for a mediated device, for text that is no address, and for any other driver.
    """
    if not is_vfio(device.driver) or device.text("fd"):
        return None
    path = device.text("sysfsdev")
    if path:
        return normalise_address(path.rstrip("/").rpartition("/")[2])
    return normalise_address(device.text("host"))
