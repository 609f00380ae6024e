# SPDX-License-Identifier: Apache-2.0
"""The warning on memory that may not be locked, beside an answer that stays."""

from __future__ import annotations

import pytest

from vsmmu.api import load_host
from vsmmu.machine.recognise import read_vm
from vsmmu.policy.checking import check
from vsmmu.policy.options import Options
from vsmmu.qemu.versions import LATEST

VM = (
    "qemu-system-aarch64 -M virt,accel=kvm,gic-version=3 -cpu host -bios fw -nodefaults {memory} "
    "-object iommufd,id=i -device pxb-pcie,id=p,bus_nr=8,bus=pcie.0 "
    "-device arm-smmuv3,primary-bus=p,id=s,accel=on -device pcie-root-port,id=r,bus=p,chassis=1 {gpu}"
)
GPU = "-device vfio-pci,id=gpu,host=0009:01:00.0,bus=r,iommufd=i"


@pytest.mark.parametrize(
    ("memory", "gpu", "lockable", "warned"),
    [
        ("-m 4G", GPU, 8 << 20, True),
        ("-m 4G", GPU, 4 << 30, False),
        ("-m 4G", GPU, None, False),
        ("-m 4G", "", 8 << 20, False),
        ("", GPU, 8 << 20, True),
        ("-m $SIZE", GPU, 8 << 20, False),
    ],
)
def test_the_warning(memory: str, gpu: str, lockable: int | None, warned: bool) -> None:
    vm, host = read_vm(VM.format(memory=memory, gpu=gpu)), load_host("builtin:gb200")
    verdict = check(vm, host, LATEST, Options(lockable=lockable))
    found = [entry for entry in verdict.diagnostics if entry.code == "memlock-small"]
    assert [entry.severity for entry in found] == ["warning"] * warned
    assert verdict.answer == check(vm, host, LATEST, Options()).answer
