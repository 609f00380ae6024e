# SPDX-License-Identifier: Apache-2.0
"""Records and censuses for the tests of fleets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from vsmmu.fleet.baseline import baseline_document
from vsmmu.fleet.census import Census, pool_key
from vsmmu.fleet.classes import EVERYTHING
from vsmmu.fleet.records import RecordReader
from vsmmu.host.builtin import builtin_host
from vsmmu.host.evidence import Evidence
from vsmmu.qemu.versions import LATEST, Qemu

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vsmmu.fleet.classes import Selection
    from vsmmu.fleet.documents import BaselineDocument
    from vsmmu.host.facts import Host

__all__ = [
    "GRACE",
    "OLD",
    "PATTERNED",
    "VM",
    "Captured",
    "baseline_of",
    "in_other_words",
    "line",
    "lines",
    "named",
    "taken",
]

#: Members of a function with a pattern: each is checked in another way, in quick_structs.
PATTERNED = ("address", "smmu", "label", "vendor", "device", "class_code", "driver", "physical_function")
Captured = pytest.CaptureFixture[str]
VM = (
    "qemu-system-aarch64 -M virt,accel=kvm -cpu host -bios AAVMF.fd -nodefaults -object iommufd,id=iommufd0 "
    "-device pxb-pcie,id=pcie.1,bus_nr=8,bus=pcie.0 "
    "-device arm-smmuv3,primary-bus=pcie.1,id=smmuv3.0,accel=on,ats=on,ril=off,ssidsize=20,oas=48 "
    "-device pcie-root-port,id=rp1,bus=pcie.1,chassis=1 "
    "-device vfio-pci,host=0009:01:00.0,bus=rp1,iommufd=iommufd0"
)


def line(host: Host) -> bytes:
    return msgspec.json.encode(host) + b"\n"


def named(host: Host, name: str, **changes: object) -> Host:
    return msgspec.structs.replace(host, name=name, **changes)


def in_other_words(host: Host) -> Host:
    """As another probe would describe the same."""
    evidence = {name: Evidence(entry.kind, "a probe", "2026-11-26") for name, entry in host.evidence.items()}
    return named(host, "other", evidence=evidence)


def taken(hosts: Iterable[Host], selection: Selection = EVERYTHING) -> tuple[RecordReader, Census]:
    reader, census = RecordReader(selection), Census(pool_key(None))
    for number, host in enumerate(hosts, 1):
        census.add(reader.read(line(host), f"test:{number}"), "test")
    return reader, census


def baseline_of(
    hosts: Iterable[Host],
    qemu: Qemu = LATEST,
    selection: Selection = EVERYTHING,
    *,
    assume_safe: bool = False,
) -> BaselineDocument:
    reader, census = taken(hosts, selection)
    return baseline_document(census, reader.classes, qemu, str(selection), assume_safe=assume_safe)


def lines(*hosts: Host) -> bytes:
    """Hosts as JSON Lines."""
    return b"".join(line(host) for host in hosts)


#: Three nodes of one kind, and an older one.
GRACE = [named(builtin_host("gh200"), f"node-{number}") for number in range(3)]
OLD = named(builtin_host("thunderx2"), "old")
