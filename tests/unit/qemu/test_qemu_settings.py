# SPDX-License-Identifier: Apache-2.0
"""Acceleration of a vSMMU: written for the device, or by -global of any of its types, one rule for all."""

from __future__ import annotations

import pytest

from vsmmu import read_vm
from vsmmu.policy.unpinning import unpinned
from vsmmu.qemu.settings import is_accelerated
from vsmmu.qemu.used_features import used_features
from vsmmu.qemu.versions import LATEST

VM = (
    "qemu-system-aarch64 -M virt -accel kvm -device pxb-pcie,id=pcie.1,bus_nr=8 "
    "-device arm-smmuv3,primary-bus=pcie.1,id=s,ril=on"
)


@pytest.mark.parametrize(
    ("more", "accelerated"),
    [
        ("", False),
        (",accel=on", True),
        (",accel=off -global arm-smmuv3.accel=on", False),
        (" -global arm-smmuv3.accel=on", True),
        (" -global arm-smmu.accel=yes", True),
        (" -global device.accel=on", True),
        (" -global vfio-pci.accel=on", False),
        (",accel=maybe", False),
    ],
)
def test_one_rule_says_what_is_accelerated(more: str, accelerated: bool) -> None:
    vm = read_vm((VM + more).split())
    machine = vm.machine()
    (vsmmu,) = machine.vsmmus
    assert is_accelerated(vsmmu, machine) is accelerated
    assert bool(list(unpinned(machine, ("ril",), LATEST))) is accelerated
    assert ("accel" in {feature.id for feature in used_features(vm)}) is accelerated
