# SPDX-License-Identifier: Apache-2.0
"""The host function behind an endpoint, as far as the endpoint's properties name it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vsmmu.machine.drivers import is_vfio
from vsmmu.pci import normal_address

if TYPE_CHECKING:
    from vsmmu.machine.model import Device

__all__ = ["host_address"]


def host_address(device: Device) -> str | None:
    """The host function that a ``vfio-pci`` device names by ``host=`` or ``sysfsdev=``.

    ``sysfsdev`` wins over ``host``, as in QEMU. None for ``fd=`` (only the kernel knows what the descriptor
    is), for a mediated device, for text that is no address, and for any other driver.
    """
    if not is_vfio(device.driver) or device.text("fd"):
        return None
    path = device.text("sysfsdev")
    if path:
        return normal_address(path.rstrip("/").rpartition("/")[2])
    return normal_address(device.text("host"))
