# SPDX-License-Identifier: Apache-2.0
"""Unmodified arm64 QEMU on an emulated host, on a real arm64 kernel with KVM."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from quoted import quoted
from vsmmu.lab import cpio

if TYPE_CHECKING:
    from vsmmu.lab import Session

pytestmark = pytest.mark.lab

GB200 = "vsmmu emulate -q --host builtin:gb200"
VM = (
    "qemu-system-aarch64 -M virt,gic-version=3 -accel kvm -cpu host -m 256 -display none -nodefaults "
    "-bios /usr/share/AAVMF/AAVMF_CODE.no-secboot.fd -object iommufd,id=iommufd0{open} "
    "-device pxb-pcie,id=pcie.1,bus_nr=8,bus=pcie.0 "
    "-device arm-smmuv3,primary-bus=pcie.1,id=smmuv3.0,accel=on "
    "-device pcie-root-port,id=rp1,bus=pcie.1,chassis=1 "
    "-device vfio-pci,{device},iommufd=iommufd0,bus=rp1"
)
READ = "".join(f"xp /1wx {0xC000000 + offset:#x}\n" for offset in (0x00, 0x04, 0x0C, 0x14)) + "quit\n"
#: ATS, SSIDSIZE 20, no RIL, OAS 48: the line of the RFC that the project began with.
RESOLVED = ["0d44141a", "02730510", "00001004", "00000075"]
INIT = b"""#!/bin/busybox sh
/bin/busybox mount -t devtmpfs devtmpfs /dev
exec </dev/ttyAMA0 >/dev/ttyAMA0 2>&1
/bin/busybox mount -t sysfs sysfs /sys
/bin/busybox dmesg | /bin/busybox grep -e 'oas .*-bit'
for device in /sys/bus/pci/devices/*; do
    [ -e $device/iommu_group ] && /bin/busybox cat $device/vendor
done
/bin/busybox poweroff -f
"""


def words(output: bytes) -> list[str]:
    return re.findall(r"^0c0000[0-9a-f]{2}: 0x([0-9a-f]{8})", output.decode(errors="replace"), re.M)


def test_auto_takes_the_values_of_a_gb200(lab: Session) -> None:
    line = VM.format(open="", device="host=0009:01:00.0")
    result = lab.run(["sh", "-c", f"{GB200} -- {line} -S -monitor stdio"], stdin=READ.encode(), timeout=90)
    assert result.status == 0, result.stderr.decode()
    assert words(result.stdout) == RESOLVED


def test_descriptors_can_be_passed(lab: Session) -> None:
    """``fd=``, as libvirt starts QEMU: opened by one process, used by another."""
    line = VM.format(open=",fd=20", device="fd=21,id=v")
    shell = f"exec 20<>/dev/iommu 21<>/dev/vfio/devices/vfio1; exec {line} -S -monitor stdio"
    trace = "/root/trace.json"
    result = lab.run(
        ["sh", "-c", f"{GB200} --trace {trace} -- sh -c '{shell}'"], stdin=READ.encode(), timeout=90
    )
    assert result.status == 0, result.stderr.decode()
    assert words(result.stdout) == RESOLVED
    calls = [json.loads(line) for line in lab.get(trace).splitlines()]
    assert [call["device"] for call in calls if call.get("call") == "VFIO_DEVICE_BIND_IOMMUFD"] == [
        "0009:01:00.0"
    ]
    asked = [call for call in calls if call.get("call") == "IOMMU_GET_HW_INFO"]
    # Three times for the SMMU, once for command queues, which this host does not have.
    assert [call["answer"] or call["out"]["data_type"] for call in asked] == [2, 2, 2, "EOPNOTSUPP"]
    assert calls[0]["smmus"]["smmu3.0x0000000012000000"]["synthetic"]["IDR5"] == "0xffffff88"


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("VIOMMU_ALLOC:EOPNOTSUPP", "IOMMU_VIOMMU_ALLOC failed: Operation not supported"),
        ("GET_HW_INFO:3:EIO", "Failed to set vIOMMU: Failed to get hardware info: Input/output error"),
        ("BIND_IOMMUFD:EBUSY", "Device or resource busy"),
    ],
)
def test_faults_reach_qemu(lab: Session, fault: str, message: str) -> None:
    line = VM.format(open="", device="host=0009:01:00.0")
    result = lab.run(["sh", "-c", f"{GB200} --fault {fault} -- {line} -S -monitor none"], timeout=90)
    assert result.status == 1
    with quoted("qemu-system-arm", "11.1", lab.artifacts.versions()):
        assert message in result.stderr.decode()


def test_a_guest_boots_on_a_gb200_and_its_driver_says_so(lab: Session) -> None:
    files = {"init": INIT, "bin/busybox": lab.get("/usr/bin/busybox"), "dev/.keep": b"", "sys/.keep": b""}
    initramfs = cpio.archive(files, executable={"init", "bin/busybox"})
    lab.put({"/root/emulated/Image": lab.artifacts.kernel, "/root/emulated/initramfs": initramfs})
    line = VM.format(open="", device="host=0009:01:00.0")
    line += " -serial stdio -no-reboot -kernel /root/emulated/Image -initrd /root/emulated/initramfs"
    line += " -append 'console=ttyAMA0 quiet acpi=force panic=-1'"
    result = lab.run(["sh", "-c", f"{GB200} --trace /root/boot.json -- {line}"], timeout=180)
    assert result.status == 0, result.stderr.decode()
    said = result.stdout.decode(errors="replace")
    features = re.search(r"oas 48-bit \(features 0x([0-9a-f]{8})\)", said)
    assert features, said
    # Bit 5: ATS; bit 15: range invalidation (drivers/iommu/arm/arm-smmu-v3/arm-smmu-v3.h, ARM_SMMU_FEAT_*).
    assert int(features[1], 16) & (1 << 5 | 1 << 15) == 1 << 5
    assert "0x10de" in said
    calls = {json.loads(line).get("call") for line in lab.get("/root/boot.json").splitlines()}
    assert {"IOMMU_VDEVICE_ALLOC", "IOMMU_HWPT_INVALIDATE", "IOMMU_VEVENTQ_ALLOC"} <= calls


def test_the_registers_come_back_on_arm64(lab: Session) -> None:
    probe = "VSMMU_RUN_DIR=/root/emulated-run vsmmu probe"
    result = lab.run(["sh", "-c", f"{GB200} -- sh -c '{probe}'"], timeout=90)
    assert result.status == 0, result.stderr.decode()
    facts = json.loads(lab.get("/root/emulated-run/host.json"))
    assert len(facts["smmus"]) == 4
    assert {smmu["registers"]["IDR5"]["value"] for smmu in facts["smmus"]} == {"0x00000075"}
