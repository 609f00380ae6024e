# SPDX-License-Identifier: Apache-2.0
"""QEMU's PCI drivers, as far as the bus that they land on matters: root complexes, bridges, endpoints.

From ``qemu-system-aarch64 -M virt -device help`` of 11.1.3 (entries with ``bus PCI``).
"""

from __future__ import annotations

from typing import Final

__all__ = ["BRIDGES", "CONVENTIONAL", "ROOT_COMPLEXES", "VFIO", "is_pci"]

#: Drivers that bring a root complex of their own; its bus is called like the device.
ROOT_COMPLEXES: Final = frozenset({"pxb-pcie", "pxb-cxl"})
#: Drivers with one secondary bus, which is called like the device.
BRIDGES: Final = frozenset(
    "aspeed.pcie-root-port cxl-downstream cxl-rp cxl-upstream i82801b11-bridge ioh3420 pci-bridge "
    "pci-bridge-seat pcie-pci-bridge pcie-root-port x3130-upstream xio3130-downstream".split()
)
#: Bridges to conventional PCI: behind them a device has no requester id of its own.
CONVENTIONAL: Final = frozenset({"i82801b11-bridge", "pci-bridge", "pci-bridge-seat", "pcie-pci-bridge"})
#: Drivers that assign a host function.
VFIO: Final = frozenset({"vfio-pci", "vfio-pci-nohotplug"})

_ENDPOINTS: Final = frozenset(
    "AC97 ES1370 VGA acpi-erst am53c974 ati-vga bochs-display cirrus-vga ctucan_pci "
    "cxl-switch-mailbox-cci cxl-type3 dc390 e1000 e1000-82544gc e1000-82545em e1000e edu i6300esb "
    "i82550 i82551 i82557a i82557b i82557c i82558a i82558b i82559a i82559b i82559c i82559er i82562 "
    "i82801 ich9-ahci ich9-intel-hda ich9-usb-ehci1 ich9-usb-ehci2 ich9-usb-uhci1 ich9-usb-uhci2 "
    "ich9-usb-uhci3 ich9-usb-uhci4 ich9-usb-uhci5 ich9-usb-uhci6 igb intel-hda iommu-testdev "
    "ivshmem-doorbell ivshmem-plain kvaser_pci lsi53c810 lsi53c895a megasas megasas-gen2 mioe3680_pci "
    "mptsas1068 ne2k_pci nec-usb-xhci nvme pci-ohci pci-serial pci-serial-2x pci-serial-4x pci-testdev "
    "pcm3680_pci pcnet piix3-usb-uhci piix4-usb-uhci pvscsi qemu-xhci rocker rtl8139 secondary-vga "
    "tpci200 tulip ufs usb-ehci vmxnet3".split()
)
_SUFFIXES: Final = ("-pci", "-pci-transitional", "-pci-non-transitional")


def is_pci(driver: str) -> bool:
    """Whether devices of this driver sit on a PCI bus."""
    return (
        driver in BRIDGES
        or driver in ROOT_COMPLEXES
        or driver in VFIO
        or driver in _ENDPOINTS
        or driver.endswith(_SUFFIXES)
    )
