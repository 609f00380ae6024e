# SPDX-License-Identifier: Apache-2.0
"""Device types of QEMU: PCI or not, bridge or endpoint, and the bus of a bridge.

From ``qemu-system-aarch64 -M virt -device help`` of 11.1.3 and its alias table.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "BRIDGES",
    "FORMS",
    "HOST_BRIDGES",
    "VFIO_DRIVERS",
    "bare_name",
    "is_bridge",
    "is_pci",
    "is_vfio",
    "type_name",
]

#: Bridge driver -> type of the bus it makes; with a number, the name of that bus if the bridge has no id.
BRIDGES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "aspeed.pcie-root-port": "pcie",
        "cxl-downstream": "cxl",
        "cxl-rp": "cxl",
        "cxl-upstream": "cxl",
        "i82801b11-bridge": "pci",
        "ioh3420": "pcie",
        "pci-bridge": "pci",
        "pci-bridge-seat": "pci",
        "pcie-pci-bridge": "pci",
        "pcie-root-port": "pcie",
        "pxb": "pci",
        "pxb-cxl": "pxb-cxl-bus",
        "pxb-pcie": "pxb-pcie-bus",
        "x3130-upstream": "pcie",
        "xio3130-downstream": "pcie",
    }
)
#: The bridges whose bus is a root complex of its own.
HOST_BRIDGES: Final = frozenset({"pxb", "pxb-cxl", "pxb-pcie"})
#: What the names of virtio devices end with, by what they are made for.
FORMS: Final = ("-pci-non-transitional", "-pci-transitional", "-pci", "-device")
VFIO_DRIVERS: Final = frozenset({"vfio-pci", "vfio-pci-nohotplug"})

_ENDPOINTS: Final = frozenset(
    "AC97 ES1370 VGA acpi-erst ac97 ahci am53c974 ati-vga bochs-display cirrus-vga ctucan_pci "
    "cxl-switch-mailbox-cci cxl-type3 dc390 e1000 e1000-82540em e1000-82544gc e1000-82545em e1000e edu "
    "es1370 i6300esb i82550 i82551 i82557a i82557b i82557c i82558a i82558b i82559a i82559b i82559c "
    "i82559er i82562 i82801 ich9-ahci ich9-intel-hda ich9-usb-ehci1 ich9-usb-ehci2 ich9-usb-uhci1 "
    "ich9-usb-uhci2 ich9-usb-uhci3 ich9-usb-uhci4 ich9-usb-uhci5 ich9-usb-uhci6 igb intel-hda "
    "iommu-testdev ivshmem-doorbell ivshmem-plain kvaser_pci lsi lsi53c810 lsi53c895a megasas "
    "megasas-gen2 mioe3680_pci mptsas1068 ne2k_pci nec-usb-xhci nvme pcm3680_pci pcnet piix3-usb-uhci "
    "piix4-usb-uhci pvscsi qemu-xhci rocker rtl8139 secondary-vga tpci200 tulip ufs usb-ehci virtio-9p "
    "virtio-balloon virtio-blk virtio-gpu virtio-gpu-gl virtio-gpu-rutabaga virtio-input-host "
    "virtio-iommu virtio-keyboard virtio-mouse virtio-net virtio-rng virtio-scsi virtio-serial "
    "virtio-sound virtio-tablet vmxnet3".split()
)
#: The second names of PCI devices, where they are more than the name without ``-pci``.
_ALIASES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "ac97": "AC97",
        "ahci": "ich9-ahci",
        "e1000-82540em": "e1000",
        "es1370": "ES1370",
        "lsi": "lsi53c895a",
        "virtio": "virtio-net-pci",
    }
)
# Covers virtio-*-pci, vhost-*-pci, vfio-pci and those that later versions add.
_ENDINGS: Final = ("-pci", "-pci-transitional", "-pci-non-transitional", "-pci-nohotplug")


def is_bridge(driver: str) -> bool:
    """Whether it is a PCI bridge, port, switch or expander, which may stand behind an accelerated vSMMU."""
    return driver in BRIDGES


def is_vfio(driver: str) -> bool:
    """Whether it hands a function of the host to the guest."""
    return driver in VFIO_DRIVERS


def bare_name(driver: str) -> str:
    """The type of a virtio device without what it is made for: ``virtio-net`` for ``virtio-net-pci``."""
    for form in FORMS:
        driver = driver.removesuffix(form)
    return driver


def type_name(driver: str) -> str:
    """QEMU's own name of a PCI device's type, which its messages print: ``virtio-net`` is ``virtio-net-pci``.

    ``virtio`` is an alias for the cards of ``-nic model=`` alone.
    """
    if driver.startswith("virtio-") and "-pci" not in driver:
        return f"{driver}-pci"
    return _ALIASES.get(driver, driver)


def is_pci(driver: str) -> bool:
    """Whether it plugs into a PCI bus; unknown names by their spelling."""
    return (
        driver in BRIDGES
        or driver in _ENDPOINTS
        or driver.endswith(_ENDINGS)
        or driver.startswith(("pci-", "pcie-"))
    )
