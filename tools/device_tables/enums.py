# SPDX-License-Identifier: Apache-2.0
"""What the enumerated properties of devices accept, tried value by value: QMP does not tell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from device_tables.ask import refusal

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["accepted"]

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
