# SPDX-License-Identifier: Apache-2.0
"""1:1 regions in a guest: behind accel=on its kernel binds no device to an iommufd; without accel it does."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from running_vm import FIRMWARE, bound

from quoted import quoted
from vsmmu.lab import cpio

if TYPE_CHECKING:
    from vsmmu.lab import Session

pytestmark = pytest.mark.lab

#: The guest's init: the lab host's own root file system, read only, has a Python.
INIT = b"""#!/bin/busybox sh
/bin/busybox mount -t devtmpfs devtmpfs /dev
exec </dev/ttyAMA0 >/dev/ttyAMA0 2>&1
/bin/busybox mount -t ext4 -o ro /dev/vda /root
/bin/busybox mount -t devtmpfs devtmpfs /root/dev
/bin/busybox mount -t sysfs sysfs /root/sys
/bin/busybox mount -t proc proc /root/proc
/bin/busybox chroot /root /usr/bin/python3 -c "$(/bin/busybox cat /bind.py)"
/bin/busybox dmesg | /bin/busybox grep 1:1
/bin/busybox poweroff -f
"""
#: Bind each network card in the guest to vfio-pci, and then to an iommufd (VFIO_DEVICE_BIND_IOMMUFD).
BIND = b"""
import errno, fcntl, json, os, pathlib, struct
found = {}
for device in sorted(pathlib.Path('/sys/bus/pci/devices').iterdir()):
    if not (device / 'class').read_text().startswith('0x02'):
        continue
    if (device / 'driver').exists():
        (device / 'driver/unbind').write_text(device.name)
    (device / 'driver_override').write_text('vfio-pci')
    pathlib.Path('/sys/bus/pci/drivers_probe').write_text(device.name)
    regions = (device / 'iommu_group/reserved_regions').read_text().split()[2::3]
    node = next((device / 'vfio-dev').iterdir()).name
    with open('/dev/iommu', 'r+b', 0) as iommufd, open(f'/dev/vfio/devices/{node}', 'r+b', 0) as cdev:
        bind = bytearray(struct.pack('=IIiIQ', 24, 0, iommufd.fileno(), 0, 0))
        try:
            fcntl.ioctl(cdev, 0x3B76, bind)
            said = 'bound'
        except OSError as error:
            said = errno.errorcode[error.errno]
    found[device.name] = [regions, said]
print('FOUND', json.dumps(found))
"""
CARD = "0000:00:05.0"
QEMU = f"""
timeout 280 qemu-system-aarch64 -M virt,gic-version=3 -accel kvm -cpu host -m 512 -display none -nodefaults \\
    -serial stdio -no-reboot -bios {FIRMWARE} \\
    -kernel /root/direct/Image -initrd /root/direct/initramfs \\
    -append 'console=ttyAMA0 quiet acpi=force panic=-1' \\
    -object iommufd,id=iommufd0 -device virtio-blk-pci,drive=root,bus=pcie.0 \\
    -drive if=none,id=root,file=/dev/vda,format=raw,readonly=on,file.locking=off \\
    -device pxb-pcie,id=pcie.1,bus_nr=8,bus=pcie.0 \\
    -device arm-smmuv3,primary-bus=pcie.1,id=smmuv3.0,accel=on \\
    -device pcie-root-port,id=rp1,bus=pcie.1,chassis=1 \\
    -device vfio-pci,host={CARD},iommufd=iommufd0,bus=rp1 \\
    -device pxb-pcie,id=pcie.2,bus_nr=16,bus=pcie.0 \\
    -device arm-smmuv3,primary-bus=pcie.2,id=smmuv3.1 \\
    -device pcie-root-port,id=rp2,bus=pcie.2,chassis=2 \\
    -device e1000e,bus=rp2
"""


def test_the_guests_kernel_wants_every_device_behind_accel_mapped_1_1(lab_acpi: Session) -> None:
    files = {
        "init": INIT,
        "bind.py": BIND,
        "bin/busybox": lab_acpi.get("/usr/bin/busybox"),
        "dev/.keep": b"",
        "root/.keep": b"",
    }
    initramfs = cpio.archive(files, executable={"init", "bin/busybox"})
    lab_acpi.put({"/root/direct/Image": lab_acpi.artifacts.kernel, "/root/direct/initramfs": initramfs})
    with bound(lab_acpi, CARD):
        result = lab_acpi.run(["sh", "-c", QEMU], timeout=300)
    said = result.stdout.decode(errors="replace")
    assert "FOUND " in said, said + result.stderr.decode()
    found = json.loads(said.partition("FOUND ")[2].splitlines()[0])
    assert sorted(found.values()) == [[["direct", "msi"], "EINVAL"], [["msi"], "bound"]]
    with quoted("linux", "7.3", lab_acpi.artifacts.versions()):
        assert "Firmware has requested this device have a 1:1 IOMMU mapping" in said
