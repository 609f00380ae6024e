# SPDX-License-Identifier: Apache-2.0
"""Mended VMs start in an unmodified QEMU, with the registers that the model says."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from running_vm import STOPPED, Vm, started, vsmmu

from vsmmu.host.builtin import builtin_host
from vsmmu.machine.command_line.argv import read_words
from vsmmu.mend.mending import Wishes, mend
from vsmmu.qemu.versions import LATEST
from vsmmu.smmuv3.properties import PROPERTIES

if TYPE_CHECKING:
    from vsmmu.lab import Session

pytestmark = pytest.mark.lab

HOST = "builtin:gb200"
QEMU = ["qemu-system-aarch64", "-M", "virt,gic-version=3,iommu=smmuv3", *STOPPED[2:]]
#: The expander after the SMMU, no port, no iommufd, a value that the host lacks, a bus number twice.
NAIVE = (
    "-device arm-smmuv3,primary-bus=pcie.1,id=smmu,accel=on,ril=on "
    "-device pxb-pcie,id=pcie.1,bus_nr=8,bus=pcie.0 -device pxb-pcie,id=pcie.2,bus_nr=8,bus=pcie.0 "
    "-device vfio-pci,host=0009:01:00.0,id=gpu,bus=pcie.1"
)
#: Two functions behind the board's own SMMU, an emulated disk without bus= beside them.
PLAIN = (
    "-device pcie-root-port,id=rp1,chassis=1,bus=pcie.0 -device pcie-root-port,id=rp2,chassis=2,bus=pcie.0 "
    "-device vfio-pci,host=0009:01:00.0,id=gpu0,bus=rp1,bootindex=1 "
    "-device vfio-pci,host=0019:01:00.0,id=gpu1,bus=rp2 -device virtio-scsi-pci,id=scsi"
)


@pytest.mark.parametrize("devices", [NAIVE, PLAIN], ids=["naive", "plain"])
def test_a_mended_vm_starts(lab: Session, devices: str) -> None:
    words = [*QEMU, *devices.split()]
    wishes = Wishes(unpin=frozenset(PROPERTIES), accelerate=True)
    mending = mend(read_words(words), builtin_host("gb200"), LATEST, wishes=wishes)
    line = mending.vm.command_line
    assert line is not None
    assert mending.verdict.answer == "starts"
    refused = lab.run(["vsmmu", "emulate", "-q", "--host", HOST, "--", *words], timeout=60)
    assert refused.status != 0
    with started(lab, ["vsmmu", "emulate", "-q", "--host", HOST, "--", *line.words]):
        result = vsmmu(lab, "inspect", Vm.socket, "-o", "json", "--timeout", "60", "--host", HOST)
    found = json.loads(result.stdout)
    assert not found["drift"]
    assert {entry["device"]: entry["registers"] for entry in found["vsmmus"]} == {
        outcome.device: outcome.registers for outcome in mending.verdict.vsmmus
    }
