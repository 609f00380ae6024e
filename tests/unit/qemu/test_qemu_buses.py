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


@pytest.mark.parametrize(
    ("maker", "device", "names"),
    [
        ("nvme,id=n,serial=1", "nvme-ns,drive=d", {"n": True, "n.0": False, "nvme-bus.0": False}),
        ("nvme,serial=1", "nvme-ns,drive=d", {"nvme-bus.0": True, "nvme-bus.1": False}),
        ("ufs,id=u", "ufs-lu,drive=d", {"u": True, "u.0": False}),
        ("sdhci-pci,id=s", "sd-card,drive=d", {"sd-bus": True, "s.0": False, "sd-bus.0": False}),
        ("sdhci-pci", "sd-card,drive=d", {"sd-bus": True, "sd-bus.0": False}),
        ("ati-vga,id=a,romfile=", "i2c-ddc", {"ati-vga.ddc": True, "a.0": False, "i2c-bus.0": False}),
        ("tpci200,id=t", "ipoctal232", {"t.0": True, "t": False, "t.1": False}),
        ("virtio-serial-pci,id=v", "virtconsole", {"v.0": True, "v": False}),
        ("qemu-xhci,id=x", "usb-kbd", {"x.0": True, "x": False, "usb-bus.0": False}),
    ],
)
def test_a_bus_has_the_name_that_its_controller_gives_it(
    maker: str, device: str, names: dict[str, bool]
) -> None:
    """Each started, or refused, with 11.1.3."""
    for name, there in names.items():
        vm = options(HEAD, f"-device {maker} -device {device},bus={name}")
        codes = [found.code for found in start(vm, host(), QEMU).diagnostics if found.severity == "error"]
        assert codes == ([] if there else ["qemu-no-bus"]), name


def test_a_device_goes_on_no_bus_of_another_kind() -> None:
    vm = options(HEAD, "-device nvme,id=n,serial=1 -device usb-kbd,bus=n")
    (found,) = start(vm, host(), QEMU).of("error")
    assert found.why.endswith(": Device 'usb-kbd' can't go on nvme-bus bus")
