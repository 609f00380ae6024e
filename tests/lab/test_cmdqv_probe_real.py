# SPDX-License-Identifier: Apache-2.0
"""CMDQV's probe by a real arm64 QEMU on emulated hosts with unusual command queues, and by the model."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import msgspec
import pytest

import vsmmu
from vsmmu.host.evidence import Evidence, Fact
from vsmmu.host.facts import Host, HwInfoFact
from vsmmu.host.files import encode_host
from vsmmu.machine.command_line.argv import read_words
from vsmmu.qemu.process import start
from vsmmu.qemu.versions import LATEST

if TYPE_CHECKING:
    from vsmmu.lab import Session

pytestmark = pytest.mark.lab

VM = (
    "qemu-system-aarch64 -M virt,gic-version=3 -accel kvm -cpu host -m 256 -display none -nodefaults "
    "-bios /usr/share/AAVMF/AAVMF_CODE.no-secboot.fd -object iommufd,id=iommufd0 "
    "-device pxb-pcie,id=pcie.1,bus_nr=8,bus=pcie.0 "
    "-device arm-smmuv3,primary-bus=pcie.1,id=smmuv3.0,accel=on,cmdqv={wish} "
    "-device pcie-root-port,id=rp1,bus=pcie.1,chassis=1 "
    "-device vfio-pci,host=0009:01:00.0,iommufd=iommufd0,bus=rp1 -S -monitor stdio"
)
FACTS = "/root/queues.json"


def facts(words: dict[str, int], viommu: int | None = None) -> Host:
    """A GB200 whose SMMUs have command queues, of which the kernel says this."""
    host = vsmmu.load_host("builtin:gb200")
    told = {f"cmdqv.{name}": HwInfoFact(hex(word), "queues") for name, word in words.items()}
    smmus = tuple(
        msgspec.structs.replace(
            smmu,
            cmdqv=Fact(1, "queues"),
            hw_info_data=told,
            cmdqv_viommu=smmu.cmdqv_viommu if viommu is None else Fact(viommu, "queues"),
        )
        for smmu in host.smmus
    )
    evidence = {**host.evidence, "queues": Evidence("measured", "made up for a test")}
    return msgspec.structs.replace(host, smmus=smmus, evidence=evidence)


@pytest.mark.parametrize("wish", ["on", "auto"])
@pytest.mark.parametrize(
    ("words", "viommu"),
    [
        ({"version": 2}, None),
        ({"version": 1, "log2vcmdqs": 0}, None),
        ({"version": 1, "log2vcmdqs": 1, "log2vsids": 3}, None),
        ({}, 0),
    ],
)
def test_the_model_says_of_the_queues_what_qemu_says(
    lab: Session, words: dict[str, int], viommu: int | None, wish: str
) -> None:
    host = facts(words, viommu)
    lab.put({FACTS: encode_host(host)})
    line = VM.format(wish=wish)
    result = lab.run(["sh", "-c", f"vsmmu emulate -q --host {FACTS} -- {line}"], stdin=b"quit\n", timeout=90)
    verdict = start(read_words(shlex.split(line)).machine(), host, LATEST)
    said = verdict.failure.text if verdict.failure else ""
    assert (result.status == 0) == (not said), result.stderr.decode()
    assert said in result.stderr.decode()
