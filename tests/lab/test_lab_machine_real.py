# SPDX-License-Identifier: Apache-2.0
"""The emulated host: what later tests rely on being real."""

from __future__ import annotations

import struct
import time
from typing import TYPE_CHECKING

import pytest
from running_vm import bound

from quoted import quoted
from vsmmu.lab.iort_override import with_canwbs

if TYPE_CHECKING:
    from vsmmu.lab import Session

pytestmark = pytest.mark.lab

CARD = "0000:00:05.0"
SMMU_LINE = "oas 44-bit (features 0x01088705)"
IORT = "/sys/firmware/acpi/tables/IORT"
NESTED_QEMU = """
exec qemu-system-aarch64 -M virt,gic-version=3 -accel kvm -cpu host -m 256 -S -display none -nodefaults \\
    -bios /usr/share/AAVMF/AAVMF_CODE.no-secboot.fd -object iommufd,id=iommufd0 -qmp stdio \\
    -device pxb-pcie,id=pcie.1,bus_nr=8,bus=pcie.0 \\
    -device arm-smmuv3,primary-bus=pcie.1,id=smmuv3.0,accel=on \\
    -device pcie-root-port,id=rp1,bus=pcie.1,chassis=1 \\
    -device vfio-pci,host=0000:00:05.0,iommufd=iommufd0,bus=rp1
"""
QMP_QUIT = b'{"execute": "qmp_capabilities"}\n{"execute": "query-status"}\n{"execute": "quit"}\n'


@pytest.fixture(params=["lab", "lab_acpi"])
def either(request: pytest.FixtureRequest) -> Session:
    """Each of the two ways to boot."""
    found: Session = request.getfixturevalue(request.param)
    return found


def test_the_driver_reports_the_emulated_smmu(either: Session) -> None:
    with quoted("linux", "7.3", either.artifacts.versions()):
        assert SMMU_LINE in either.run(["dmesg"]).stdout.decode()


def test_the_interfaces_are_there(either: Session) -> None:
    assert (
        either.run(["sh", "-c", "test -c /dev/iommu && test -c /dev/kvm && test -c /dev/vfio/vfio"]).status
        == 0
    )


@pytest.mark.parametrize(
    ("function", "driver"), [(CARD, "e1000e"), ("0000:00:06.0", "nvme"), ("0000:00:07.0", "virtio-pci")]
)
def test_each_function_is_alone_in_its_group(either: Session, function: str, driver: str) -> None:
    device = f"/sys/bus/pci/devices/{function}"
    assert either.run(["ls", f"{device}/iommu_group/devices"]).stdout.decode().split() == [function]
    found = either.run(["sh", "-c", f"basename $(readlink {device}/driver)"]).stdout.decode().strip()
    assert found == driver


def test_the_clock_is_right(either: Session) -> None:
    assert abs(int(either.run(["date", "+%s"]).stdout) - time.time()) < 60


def test_acpi_has_canwbs(lab_acpi: Session) -> None:
    table = lab_acpi.get(IORT)
    (revision,) = struct.unpack_from("<I", table, 24)
    before = bytearray(with_canwbs(table))
    # Setting it again changes nothing but the revision and the checksum over it.
    struct.pack_into("<I", before, 24, revision)
    before[9] = table[9]
    assert bytes(before) == table
    assert "Table Upgrade: override [IORT" in lab_acpi.run(["dmesg"]).stdout.decode()


def test_an_unmodified_qemu_starts_with_accel_on(lab_acpi: Session) -> None:
    with bound(lab_acpi, CARD):
        result = lab_acpi.run(["sh", "-c", NESTED_QEMU], stdin=QMP_QUIT, timeout=60)
    assert result.status == 0, result.stderr.decode()
    assert b'"status": "prelaunch"' in result.stdout


def test_a_device_tree_host_refuses_to_nest(lab: Session) -> None:
    with bound(lab, CARD):
        result = lab.run(["sh", "-c", NESTED_QEMU], stdin=QMP_QUIT, timeout=60)
    assert result.status == 1
    with quoted("qemu-system-arm", "11.1", lab.artifacts.versions()):
        assert b"IOMMU_VIOMMU_ALLOC" in result.stderr or b"vIOMMU" in result.stderr, result.stderr.decode()
