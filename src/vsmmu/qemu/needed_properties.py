# SPDX-License-Identifier: Apache-2.0
"""Properties without which QEMU does not make a device, and what it says then.

Found by making each type of device bare with 11.1.3 (``-device TYPE``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vsmmu.machine.drivers import FORMS

if TYPE_CHECKING:
    from vsmmu.machine.model import Device

__all__ = ["missing_property"]

_DRIVE: Final = ("drive", "drive property not set")
_BASE: Final = ("chardev", "vhost-user-base: missing chardev")
#: Properties that are there as soon as they are written, though empty.
_TEXT: Final = frozenset({"evdev", "guest-cid", "serial", "vhostdev", "wwpn"})
#: Type without ``-pci`` and the like -> the property and QEMU's sentence.
_NEEDED: Final = {
    "acpi-erst": ("memdev", "'memdev' property is not set"),
    "aspeed-otp": ("size", "aspeed.otp: 'size' property must be set"),
    "ctucan_pci": ("canbus0", "ctucan_connect_to_bus failed"),
    "ivshmem-doorbell": ("chardev", "You must specify a 'chardev'"),
    "ivshmem-plain": ("memdev", "You must specify a 'memdev'"),
    "kvaser_pci": ("canbus", "can_sja_connect_to_bus failed"),
    "led": ("color", "property 'color' not specified"),
    "nvme": ("serial", "serial property not set"),
    "scsi-block": _DRIVE,
    "scsi-generic": _DRIVE,
    "scsi-hd": _DRIVE,
    "tpm-tis-device": ("tpmdev", "'tpmdev' property is required"),
    "usb-braille": ("chardev", "Property chardev is required"),
    "usb-mtp": ("rootdir", "usb-mtp: rootdir must be configured and be an absolute path"),
    "usb-serial": ("chardev", "Property chardev is required"),
    "usb-storage": _DRIVE,
    "vhost-scsi": ("wwpn", "vhost-scsi: missing wwpn"),
    "vhost-user-blk": ("chardev", "chardev is mandatory"),
    "vhost-user-fs": ("chardev", "missing chardev"),
    "vhost-user-scmi": ("chardev", "vhost-user-scmi: chardev is mandatory"),
    "vhost-user-scsi": ("chardev", "vhost-user-scsi: missing chardev"),
    "vhost-user-vsock": ("chardev", "missing chardev"),
    "vhost-vdpa-device": ("vhostdev", "vhost-vdpa-device: vhostdev are missing"),
    "vhost-vsock": ("guest-cid", "guest-cid property must be greater than 2"),
    "virtio-9p": ("fsdev", "9pfs device couldn't find fsdev with the id = NULL"),
    "virtio-blk": _DRIVE,
    "virtio-crypto": ("cryptodev", "'cryptodev' parameter expects a valid object"),
    "virtio-input-host": ("evdev", "evdev property is required"),
    "virtio-iommu-device": ("primary-bus", "VIRTIO-IOMMU is not attached to any PCI bus!"),
    **{f"vhost-user-{kind}": _BASE for kind in "gpio i2c input rng rtc snd spi test-device".split()},
}


def missing_property(device: Device) -> tuple[str, str] | None:
    """The property that a device lacks and QEMU's sentence; None if it lacks none of those known here."""
    for form in (*FORMS, ""):
        if device.driver.endswith(form) and (needed := _NEEDED.get(device.driver.removesuffix(form))):
            name, said = needed
            lacks = name not in device.properties if name in _TEXT else not device.text(name)
            # An empty name of a file system is looked for.
            empty = name == "fsdev" and name in device.properties
            if lacks:
                return name, said.replace("NULL", "") if empty else said
            if name == "fsdev" and "mount_tag" not in device.properties:
                return "mount_tag", f"fsdev with id {device.text(name)} needs mount_tag arguments"
    return None
