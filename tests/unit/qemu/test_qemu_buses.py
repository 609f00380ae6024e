# SPDX-License-Identifier: Apache-2.0
"""Buses that a controller of the VM has to make, for devices of USB, SCSI, SD, I2C and the like."""

from __future__ import annotations

import pytest

from examples import host, options
from vsmmu.qemu.device_tables import table
from vsmmu.qemu.process import start
from vsmmu.qemu.versions import LATEST, RELEASES, Qemu

HEAD = "-M virt -accel tcg -nodefaults -drive if=none,id=d,file=f"
QEMU = LATEST._replace(has_kvm=False)
#: A device, the kind of its bus, and a controller that makes one; each started, or refused, with 11.1.3.
PAIRS = {
    "usb-kbd": ("usb-bus", "qemu-xhci pci-ohci usb-ehci ich9-usb-uhci1 piix3-usb-uhci"),
    "u2f-passthru": ("usb-bus", ""),
    "scsi-hd,drive=d": ("SCSI", "virtio-scsi-pci lsi53c895a"),
    "ide-hd,drive=d": ("IDE", "ahci"),
    "sd-card": ("sd-bus", "sdhci-pci"),
    "emmc": ("sd-bus", "sdhci-pci"),
    "ipoctal232": ("IndustryPack", "tpci200"),
    "nvme-ns,drive=d": ("nvme-bus", "nvme,serial=1"),
    "ufs-lu,drive=d": ("ufs-bus", "ufs"),
    "i2c-ddc": ("i2c-bus", "ati-vga"),
    "virtconsole": ("virtio-serial-bus", "virtio-serial-pci"),
    "m25p80": ("SSI", ""),
    "dpcd": ("aux-bus", ""),
}


def said(devices: str, qemu: Qemu = QEMU) -> str:
    """What QEMU says of buses; empty if it says nothing."""
    found = start(options(HEAD, devices), host(), qemu).diagnostics
    return next((entry.why.rpartition(": ")[2] for entry in found if entry.code == "qemu-no-such-bus"), "")


@pytest.mark.parametrize("device", PAIRS)
def test_a_device_without_a_controller_has_no_bus(device: str) -> None:
    kind, makers = PAIRS[device]
    driver = device.partition(",")[0]
    text = f"No '{kind}' bus found for device '{driver}'"
    assert said(f"-device {device}") == text
    assert said(f"-device nvme-subsys,id=q -device pcie-root-port -device {device}") == text
    for maker in makers.split():
        assert said(f"-device {maker} -device {device}") == ""
        assert said(f"-device {device} -device {maker}") == text


@pytest.mark.parametrize("qemu", RELEASES, ids=str)
def test_every_type_of_such_a_bus_is_known_by_the_table(qemu: Qemu) -> None:
    kinds = {kind for kind, _ in PAIRS.values()}
    known = table(qemu)
    names = {
        name
        for name in known.device_names
        if (found := known.device(name)) and found.creatable and found.bus in kinds
    }
    assert len(names) > 100
    assert [name for name in sorted(names) if not said(f"-device {name}", qemu._replace(has_kvm=False))] == []
