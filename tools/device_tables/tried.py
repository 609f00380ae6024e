# SPDX-License-Identifier: Apache-2.0
"""What QMP does not tell of properties, tried: the values of enumerations, and how a value is really read."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from device_tables.ask import refusal

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["accepted", "correct"]

_SIZES: Final = " ".join(str(number) for number in range(33))
#: Type -> a property of it, and what is worth a try. Candidates: qapi/*.json of qemu/qemu.
_TRIED: Final = {
    "BlockdevOnError": ("virtio-blk-pci,werror", "report ignore enospc stop auto"),
    "GranuleMode": ("virtio-iommu-pci,granule", "4k 8k 16k 64k host 2M"),
    "OasMode": ("arm-smmuv3,oas", "auto 32 36 40 42 44 48 52 56 64"),
    "OffAutoPCIBAR": ("vfio-pci,x-msix-relocation", "off auto bar0 bar1 bar2 bar3 bar4 bar5 on"),
    "OnOffAuto": ("virtio-blk-pci,disable-legacy", "on off auto yes no true false"),
    "PCIELinkSpeed": ("pcie-root-port,x-speed", "2_5 5 8 16 32 64 128"),
    "PCIELinkWidth": ("pcie-root-port,x-width", "1 2 4 8 12 16 32 64"),
    "SpdmTransportType": ("nvme,spdm_trans", "unspec mctp doe scsi nvme"),
    "SsidSizeMode": ("arm-smmuv3,ssidsize", f"auto {_SIZES}"),
}


def accepted(program: Sequence[str]) -> dict[str, list[str]]:
    """The values that the parser takes, by type; without the types that this QEMU does not have."""
    found = {}
    for kind, (place, candidates) in _TRIED.items():
        name = place.rpartition(",")[2]
        if f"Parameter '{name}' does not accept value '?'" not in refusal(program, "-device", f"{place}=?"):
            continue
        found[kind] = [
            value
            for value in candidates.split()
            if "does not accept value" not in refusal(program, "-device", f"{place}={value}")
        ]
    return found


#: Buses for what is neither a PCI nor a system device.
_BUSES: Final = (
    "-device qemu-xhci,id=b0 -device virtio-scsi-pci,id=b1 -device virtio-serial-pci,id=b2".split()
)
_READ: Final = re.compile(r"expects (?P<kind>size|integer|'on' or 'off')|does not accept value")
#: Read as what QMP says, whatever the answer is; of these some are never read at all.
_PLAIN: Final = re.compile(r"bool|size|u?int(8|16|32|64)?")


def correct(program: Sequence[str], devices: dict[str, Any]) -> None:
    """Put the type by which QEMU really reads a property where QMP says another, in a folded table.

    ``fixed`` cannot be written, ``any`` takes whatever is written or could not be tried.
    """
    for device, properties in _declared(devices):
        for name, kind in properties.items():
            if kind.startswith("link<") or kind == "child":
                continue
            text = refusal(program, *_BUSES, "-device", f"{device},{name}=?")
            read = _READ.search(text)
            if f"{name}' is not writable" in text:
                properties[name] = "fixed"
            elif kind == "int":
                properties[name] = {"size": "size", "integer": "int"}.get(read["kind"] if read else "", "any")
            elif _PLAIN.fullmatch(kind) and not text:
                properties[name] = "any"


def _declared(devices: dict[str, Any]) -> Iterator[tuple[str, dict[str, str]]]:
    """The properties that a type adds, with a device of that type that can be made."""
    seen = set()
    for device, entry in devices.items():
        name = device if entry.get("creatable") else ""
        while name and name not in seen:
            seen.add(name)
            yield device, devices[name].get("properties", {})
            name = devices[name].get("parent", "")
