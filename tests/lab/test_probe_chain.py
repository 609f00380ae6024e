# SPDX-License-Identifier: Apache-2.0
"""The whole chain with nothing faked: probe, resolve, QEMU with the pinned values, what its guest sees."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from probe_machines import E1000E, Machine, machine_acpi  # noqa: F401 - fixture

from quoted import quoted
from vsmmu.host.driver_line import parse_line
from vsmmu.lab import cpio
from vsmmu.probe.kernel_log import infer

if TYPE_CHECKING:
    from vsmmu.lab import Session

pytestmark = pytest.mark.lab

INIT = b"""#!/bin/busybox sh
/bin/busybox mount -t devtmpfs devtmpfs /dev
exec </dev/ttyAMA0 >/dev/ttyAMA0 2>&1
/bin/busybox dmesg | /bin/busybox grep arm-smmu-v3
/bin/busybox poweroff -f
"""
VM = (
    "timeout 100 qemu-system-aarch64 -M virt,gic-version=3 -accel kvm -cpu host -m 256 -display none "
    "-nodefaults -serial stdio -no-reboot -bios /usr/share/AAVMF/AAVMF_CODE.no-secboot.fd "
    "-kernel /root/chain/Image -initrd /root/chain/initramfs "
    "-append 'console=ttyAMA0 quiet acpi=force panic=-1' "
    "-object iommufd,id=iommufd0 -device pxb-pcie,id=pcie.1,bus_nr=8,bus=pcie.0 "
    "-device arm-smmuv3,primary-bus=pcie.1,id=smmuv3.0,accel=on "
    "-device pcie-root-port,id=rp1,bus=pcie.1,chassis=1 "
    f"-device vfio-pci,host={E1000E},iommufd=iommufd0,bus=rp1\n"
)
PINNED = "accel=on,ats=off,ril=on,ssidsize=0,oas=44 "


def prepare(lab: Session) -> None:
    initramfs = cpio.archive(
        {"init": INIT, "bin/busybox": lab.get("/usr/bin/busybox"), "dev/.keep": b""},
        executable={"init", "bin/busybox"},
    )
    lab.put(
        {
            "/root/chain/Image": lab.artifacts.kernel,
            "/root/chain/initramfs": initramfs,
            "/root/chain/vm.sh": VM.encode(),
        }
    )


def test_probe_resolve_start_boot(machine_acpi: Machine) -> None:  # noqa: F811
    prepare(machine_acpi.session)
    with machine_acpi.on_vfio(E1000E):
        assert machine_acpi.vsmmu("probe").status == 0
        resolved = machine_acpi.vsmmu("resolve", "/root/chain/vm.sh")
        assert resolved.status == 0, resolved.stderr
        assert PINNED in resolved.stdout.decode()
        machine_acpi.session.put({"/root/chain/pinned.sh": resolved.stdout})
        said = machine_acpi.sh("sh /root/chain/pinned.sh </dev/null", timeout=150)
    match = re.search(r"arm-smmu-v3 \S+: oas .*", said)
    assert match is not None, said
    line = parse_line(match[0].strip())
    assert line is not None
    seen = {entry.key: entry.value for entry in infer(line, "7.3.4")}
    assert line.oas == 44
    assert (seen["IDR0.ATS"], seen["IDR3.RIL"]) == (0, 1)
    with quoted("linux", "7.3", machine_acpi.session.artifacts.versions()):
        assert line.features == 0x01008305


def test_nothing_is_resolved_from_what_is_not_known(machine_acpi: Machine) -> None:  # noqa: F811
    """Without a probe SSIDSIZE is unknown: the driver does not log it."""
    machine_acpi.session.put({"/root/chain/vm.sh": VM.encode()})
    machine_acpi.sh("rm -f /run/vsmmu/host.json")
    with machine_acpi.on_vfio(E1000E):
        result = machine_acpi.vsmmu("resolve", "/root/chain/vm.sh")
    assert (result.status, result.stdout) == (1, b"")
    assert "[facts-unknown]" in result.stderr.decode()
