# SPDX-License-Identifier: Apache-2.0
"""Which features of the table a VM uses."""

from __future__ import annotations

import pytest

from vsmmu.machine.features import FEATURES
from vsmmu.machine.recognise import read_vm
from vsmmu.qemu.used_features import used_features

BASE = "qemu-system-aarch64 -M virt,accel=kvm -device pxb-pcie,id=p,bus_nr=8,bus=pcie.0 "
SMMU = "-device arm-smmuv3,primary-bus=p,id=s,"
PINNED = "accel=on,ats=off,ril=on,ssidsize=0,oas=44"
GPU = "-object iommufd,id=i -device vfio-pci,id=gpu,host=0009:01:00.0,bus=p,iommufd=i "
DOMAIN = """<domain type='kvm'><os><type arch='aarch64' machine='{machine}'>hvm</type></os>{whole}<devices>
<controller type='pci' index='0' model='pcie-root'/>
<controller type='pci' index='1' model='pcie-expander-bus'><target busNr='8'/></controller>
<iommu model='smmuv3'><driver pciBus='1' accel='on'{values}/></iommu></devices></domain>"""
INITIATORS = "-numa node,nodeid=0 -object acpi-generic-initiator,id=g,pci-dev=gpu,node=0"


def used(vm: str) -> list[str]:
    return [feature.id for feature in used_features(read_vm(vm))]


@pytest.mark.parametrize(
    ("words", "features"),
    [
        ("", []),
        (SMMU + "stage=1", ["vsmmu"]),
        (SMMU + PINNED, ["vsmmu", "accel"]),
        (SMMU + "accel=on", ["vsmmu", "accel", "auto"]),
        (SMMU + "accel=on -M virt-11.0", ["vsmmu", "accel"]),
        (SMMU + "accel=on -M virt-rhel9.8.0", ["vsmmu", "accel"]),
        (SMMU + "accel=on,oas=auto -M virt-11.0", ["vsmmu", "accel", "auto"]),
        (SMMU + PINNED + ",cmdqv=on", ["vsmmu", "accel", "cmdqv"]),
        (SMMU + PINNED + ",cmdqv=auto", ["vsmmu", "accel"]),
        (SMMU + PINNED + " -global arm-smmuv3.cmdqv=on", ["vsmmu", "accel", "cmdqv"]),
        (SMMU + "accel=on,oas=43", ["vsmmu", "accel"]),
        (GPU, ["iommufd", "cdev", "not-direct-mapped"]),
        (GPU + INITIATORS, ["iommufd", "cdev", "generic-initiators", "not-direct-mapped"]),
        ("-device vfio-pci,host=0009:01:00.0,bus=p", ["not-direct-mapped"]),
        ("-M highmem-mmio-size=1T", ["mmio-window"]),
    ],
)
def test_of_a_command(words: str, features: list[str]) -> None:
    assert used(BASE + words) == features


@pytest.mark.parametrize(
    ("machine", "whole", "values", "features"),
    [
        ("virt", "", "", ["vsmmu", "accel", "auto"]),
        ("virt-11.0", "", " ats='off'", ["vsmmu", "accel"]),
        ("virt", "<iommufd enabled='yes'/>", "", ["domain-iommufd", "vsmmu", "accel", "auto"]),
        ("virt", "<iommufd enabled='no'/>", "", ["vsmmu", "accel", "auto"]),
    ],
)
def test_of_a_domain(machine: str, whole: str, values: str, features: list[str]) -> None:
    found = set(used(DOMAIN.format(machine=machine, whole=whole, values=values)))
    assert found - {"iommufd", "cdev"} == set(features)


def test_every_row_of_the_table_is_used_by_some_vm() -> None:
    command = set(used(f"{BASE}{SMMU}accel=on,cmdqv=on {GPU}{INITIATORS} -M highmem-mmio-size=1T"))
    domain = set(used(DOMAIN.format(machine="virt", whole="<iommufd enabled='yes'/>", values="")))
    assert command | domain == set(FEATURES)
