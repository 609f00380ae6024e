# SPDX-License-Identifier: Apache-2.0
"""Names of PCI vendors and devices from the ``pci.ids`` of this machine, which pciutils and hwdata bring."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

__all__ = ["PLACES", "device_names"]

#: Where distributions put it; the first that is there is read.
PLACES: Final = ("/usr/share/misc/pci.ids", "/usr/share/hwdata/pci.ids", "/usr/share/pci.ids")
_MAX_BYTES: Final = 16 << 20
#: A vendor's line begins with its id, a device's with a tab; two tabs are subsystems.
_VENDOR: Final = re.compile(r"^([0-9a-f]{4})\s+(.+)$")
_DEVICE: Final = re.compile(r"^\t([0-9a-f]{4})\s+(.+)$")


def device_names(
    ids: Collection[tuple[str, str]], places: Collection[str] = PLACES
) -> Mapping[tuple[str, str], str]:
    """Names of devices, as ``lspci`` prints them: ``NVIDIA Corporation GB200 [...]``.

    :param ids: pairs of vendor and device, four hex digits each.
    :param places: where to look.
    :return: a name for each pair that the file has; nothing if there is no file.
    """
    if not ids:
        return {}
    for place in places:
        try:
            with Path(place).open("rb") as file:
                return _find(ids, file.read(_MAX_BYTES).decode("utf-8", "replace"))
        except OSError:
            continue
    return {}


def _find(ids: Collection[tuple[str, str]], text: str) -> dict[tuple[str, str], str]:
    vendors = {vendor for vendor, _ in ids}
    found: dict[tuple[str, str], str] = {}
    vendor = company = ""
    for line in text.splitlines():
        if line.startswith("C "):  # classes come last, in the form of vendors
            break
        if match := _VENDOR.match(line):
            vendor, company = match[1], match[2]
        elif vendor in vendors and (match := _DEVICE.match(line)) and (vendor, match[1]) in ids:
            found[vendor, match[1]] = f"{company} {match[2]}"
    return found
