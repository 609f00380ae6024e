# SPDX-License-Identifier: Apache-2.0
"""Three levels: a guest with an accelerated vSMMU, in QEMU with KVM, in the lab host, with nothing faked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from running_vm import bound

from quoted import quoted
from vsmmu.lab import cpio

if TYPE_CHECKING:
    from vsmmu.lab import Session

pytestmark = pytest.mark.lab

INIT = """#!/bin/busybox sh
/bin/busybox mount -t devtmpfs devtmpfs /dev
exec </dev/ttyAMA0 >/dev/ttyAMA0 2>&1
/bin/busybox mount -t sysfs sysfs /sys
/bin/busybox dmesg | /bin/busybox grep -e 'oas .*-bit'
for device in /sys/bus/pci/devices/*; do
    /bin/busybox echo "$(/bin/busybox cat $device/vendor) $(/bin/busybox basename $(/bin/busybox readlink \\
        $device/iommu_group))"
done
/bin/busybox poweroff -f
"""
CARD = "0000:00:05.0"
QEMU = f"""
timeout 100 qemu-system-aarch64 -M virt,gic-version=3 -accel kvm -cpu host -m 256 -display none -nodefaults \\
    -serial stdio -no-reboot -bios /usr/share/AAVMF/AAVMF_CODE.no-secboot.fd \\
    -kernel /root/nested/Image -initrd /root/nested/initramfs \\
    -append 'console=ttyAMA0 quiet acpi=force panic=-1' \\
    -object iommufd,id=iommufd0 -device pxb-pcie,id=pcie.1,bus_nr=8,bus=pcie.0 \\
    -device arm-smmuv3,primary-bus=pcie.1,id=smmuv3.0,accel=on \\
    -device pcie-root-port,id=rp1,bus=pcie.1,chassis=1 \\
    -device vfio-pci,host={CARD},iommufd=iommufd0,bus=rp1
"""


def test_the_guest_of_the_guest_has_the_accelerated_smmu(lab_acpi: Session) -> None:
    files = {
        "init": INIT.encode(),
        "bin/busybox": lab_acpi.get("/usr/bin/busybox"),
        "dev/.keep": b"",
        "sys/.keep": b"",
    }
    initramfs = cpio.archive(files, executable={"init", "bin/busybox"})
    lab_acpi.put({"/root/nested/Image": lab_acpi.artifacts.kernel, "/root/nested/initramfs": initramfs})
    with bound(lab_acpi, CARD):
        result = lab_acpi.run(["sh", "-c", QEMU], timeout=120)
    assert result.status == 0, result.stderr.decode()
    said = result.stdout.decode(errors="replace")
    with quoted("linux", "7.3", lab_acpi.artifacts.versions()):
        assert "oas 44-bit (features 0x01008305)" in said
    # The assigned e1000e (vendor 0x8086) is in an IOMMU group of the guest.
    assert any(line.split()[:1] == ["0x8086"] and line.split()[1].isdigit() for line in said.splitlines()), (
        said
    )
