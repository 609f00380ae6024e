# SPDX-License-Identifier: Apache-2.0
"""``-only-migratable``: which devices QEMU refuses because they cannot migrate.

Each type that QEMU 11.1.3 for Arm makes was asked for under this option. What has a state of its own that
no stream carries is refused by its type; ivshmem and vfio block migration when they are realized, which for
vfio hangs on the host's driver of the function.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vsmmu.machine.drivers import bare_name, is_vfio
from vsmmu.qemu.doubts import board_doubt
from vsmmu.qemu.findings import Refusal
from vsmmu.qemu.versions import LATEST

if TYPE_CHECKING:
    from vsmmu.diagnostic import Diagnostic
    from vsmmu.machine.model import Device
    from vsmmu.qemu.versions import Qemu

__all__ = ["cannot_migrate"]

#: Refused, without the form; QEMU names the device inside a PCI card.
_NEVER: Final = frozenset(
    "rocker ufs usb-net usb-wacom-tablet vhost-user-gpio vhost-user-i2c vhost-user-input vhost-user-rng "
    "vhost-user-rtc vhost-user-scmi vhost-user-snd vhost-user-spi vhost-user-test vhost-user-vsock "
    "vhost-vdpa virtio-crypto virtio-input-host virtio-sound".split()
)
#: Of these the device inside has the plain name.
_PLAIN: Final = frozenset(
    "vhost-user-input vhost-user-rng vhost-user-rtc vhost-user-scmi vhost-user-snd rocker ufs usb-net "
    "usb-wacom-tablet".split()
)
#: Taken, without the form.
_ALWAYS: Final = frozenset(
    "AC97 VGA acpi-erst am53c974 arm-smmuv3 aspeed.pcie-root-port bochs-display cxl-downstream cxl-rp "
    "cxl-upstream dc390 dm163 e1000 e1000-82544gc e1000-82545em e1000e edu hda-duplex i6300esb "
    "i82550 i82551 i82557a "
    "i82557b i82557c i82558a i82558b i82559a i82559b i82559c i82559er i82562 i82801 i82801b11-bridge "
    "ich9-ahci ich9-intel-hda ich9-usb-ehci1 ich9-usb-ehci2 ich9-usb-uhci1 ich9-usb-uhci2 ich9-usb-uhci3 "
    "ich9-usb-uhci4 ich9-usb-uhci5 ich9-usb-uhci6 ide-cd ide-hd igb intel-hda ioh3420 iommu-testdev loader "
    "lsi53c810 lsi53c895a megasas megasas-gen2 mptsas1068 ne2k_pci nec-usb-xhci nvdimm nvme nvme-ns "
    "nvme-subsys pc-dimm pci-bridge pci-ohci pci-serial pci-serial-2x pci-serial-4x pci-testdev "
    "pcie-pci-bridge pcie-root-port pcnet piix3-usb-uhci piix4-usb-uhci pvpanic pvscsi pxb-pcie "
    "qemu-xhci ramfb rtl8139 sbsa-gwdt scsi-cd scsi-hd sdhci secondary-vga tpci200 tulip usb-ehci usb-hub "
    "usb-kbd usb-mouse usb-storage usb-tablet virtconsole virtio-9p virtio-balloon virtio-blk virtio-iommu "
    "virtio-keyboard virtio-mem virtio-mouse virtio-multitouch virtio-net virtio-rng virtio-rtc "
    "virtio-scsi virtio-serial virtio-tablet virtserialport vmcoreinfo vmxnet3 x3130-upstream "
    "xio3130-downstream".split()
)
_BLOCKED: Final = "disallowing migration blocker (--only-migratable) for: "
_CODE: Final = "qemu-only-migratable-device"


def cannot_migrate(device: Device, qemu: Qemu) -> Refusal | Diagnostic | None:
    """Why a device is refused under ``-only-migratable``, or may be; None if it is not.

    An accelerated vSMMU is not among them: the model of the SMMU refuses it (``qemu-only-migratable``).
    """
    if qemu.version != LATEST.version:  # which devices migrate differs between versions
        text = f"Device {device.driver} is not migratable, but --only-migratable was specified"
        return board_doubt(Refusal(_CODE, {"text": text}), f"whether {device.driver} migrates in QEMU {qemu}")
    name = bare_name(device.driver)
    if name in _ALWAYS:
        return None
    if name in _NEVER:
        inner = name if name in _PLAIN else f"{name}-device"
        return Refusal(
            _CODE, {"text": f"Device {inner} is not migratable, but --only-migratable was specified"}
        )
    if name.startswith("ivshmem-"):
        why = "Migration is disabled when using feature 'peer mode' in device 'ivshmem'"
        refusal = Refusal(_CODE, {"text": f"{_BLOCKED}{why}"})
        # A master migrates, with its memory.
        return (
            refusal
            if device.text("master") in ("", "off", "auto")
            else board_doubt(refusal, "whether the device owns the memory (master=on)")
        )
    text = f"Device {device.driver} is not migratable, but --only-migratable was specified"
    if is_vfio(device.driver):
        host = device.text("host")
        text = f"vfio {host}: {_BLOCKED}{host}: VFIO migration init failed"
        return board_doubt(
            Refusal(_CODE, {"text": text}), f"whether the host's driver of {host or device.name} migrates it"
        )
    return board_doubt(Refusal(_CODE, {"text": text}), f"whether {device.driver} can migrate")
