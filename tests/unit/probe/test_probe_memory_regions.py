# SPDX-License-Identifier: Apache-2.0
"""Memory BARs out of sysfs and out of a bound device, and generic initiators out of the SRAT."""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING

import msgspec
import pytest

from vsmmu.host.facts import MemoryRegion
from vsmmu.probe.ask import Answer
from vsmmu.probe.discover import discover
from vsmmu.probe.memory_regions import ask_regions
from vsmmu.probe.record import carry_over, record
from vsmmu.probe.srat import SRAT, generic_initiators
from vsmmu.uapi.hw_info import HwInfo
from vsmmu.uapi.vfio import vfio_region_info

if TYPE_CHECKING:
    import ctypes
    from pathlib import Path

    from fake_host import FakeHost

NIC = "0000:00:05.0"
#: A GPU as nvgrace-gpu shows it: registers, memory, and the memory's part for registers' use.
SIZES = {0: 16 << 20, 2: 1 << 30, 4: 256 << 30, 7: 4096}


def regions_of(fake: FakeHost) -> object:
    function = discover(fake.tree).function(NIC)
    assert function is not None
    return function.memory_regions


def test_sysfs_tells_at_least(fake: FakeHost) -> None:
    lines = [
        "0x0000000010000000 0x000000001001ffff 0x0000000000040200",
        "0x0000000000001000 0x000000000000101f 0x0000000000040101",
        "0x0000008000000000 0x00000083ffffffff 0x000000000014220c",
        *["0x0000000000000000 0x0000000000000000 0x0000000000000000"] * 10,
    ]
    assert regions_of(fake) is msgspec.UNSET
    fake.write(f"/sys/bus/pci/devices/{NIC}/resource", "\n".join(lines))
    assert regions_of(fake) == (
        MemoryRegion(0, "0x20000", False, "at-least", "sysfs-resource"),
        MemoryRegion(2, "0x400000000", True, "at-least", "sysfs-resource"),
    )
    for broken in ("x\n", "0x0 0x1\n", "0x0 0xzz 0x200\n"):
        fake.write(f"/sys/bus/pci/devices/{NIC}/resource", broken)
        assert regions_of(fake) is msgspec.UNSET


@pytest.fixture
def device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """A vfio device file whose regions have these sizes; its configuration space is a real file."""

    def ioctl(_descriptor: int, _number: int, argument: ctypes.Structure) -> int:
        assert isinstance(argument, vfio_region_info)
        argument.size = SIZES.get(argument.index, 0)
        argument.offset = 0x1000
        return 0

    bars = struct.pack("<6I", 0, 0, 0xC, 0, 0xC, 0xFF)
    path = tmp_path / "config"
    path.write_bytes(bytes(0x1010) + bars)
    monkeypatch.setattr("vsmmu.uapi.ioctl.fcntl.ioctl", ioctl)
    return os.open(path, os.O_RDONLY)


def test_a_bound_device_tells_exactly(device: int) -> None:
    assert ask_regions(device, "probe x") == (
        MemoryRegion(0, "0x1000000", False, "exact", "probe x"),
        MemoryRegion(2, "0x40000000", True, "exact", "probe x"),
        MemoryRegion(4, "0x4000000000", True, "exact", "probe x"),
    )


def test_what_was_told_outlasts_what_sysfs_shows(fake: FakeHost, device: int) -> None:
    fake.write(f"/sys/bus/pci/devices/{NIC}/resource", f"{0x1000:#x} {0x1FFF:#x} 0x200\n" + "0 0 0\n" * 12)
    host = discover(fake.tree)
    answer = Answer(NIC, HwInfo(2, bytes(40), 40, 0, 0), regions=ask_regions(device, f"probe {NIC} regions"))
    told = record(host, answer, "2026-11-25")
    again = carry_over(discover(fake.tree), told).function(NIC)
    assert again is not None
    assert again.memory_regions == answer.regions
    assert told.evidence[f"probe {NIC} regions"].kind == "measured"


def entry(domain: int, segment: int, bus: int, device: int, handle: int = 1, flags: int = 1) -> bytes:
    return struct.pack("<BBxBIHBB12xI4x", 5, 32, handle, domain, segment, bus, device << 3, flags)


def srat(*entries: bytes) -> bytes:
    return b"SRAT" + bytes(44) + struct.pack("<BB38x", 1, 40) + b"".join(entries)


def test_generic_initiators_are_counted_for_each_function(fake: FakeHost) -> None:
    mine = [entry(domain, 0, 0, 5) for domain in (2, 3, 4, 4)]
    others = [entry(9, 9, 1, 0), entry(5, 0, 0, 5, flags=0), entry(6, 0, 0, 5, handle=0)]
    assert generic_initiators(srat(*mine, *others)) == {NIC: 3, "0009:01:00.0": 1}
    fake.write(SRAT, srat(*mine))
    host = discover(fake.tree)
    function = host.function(NIC)
    assert function is not None
    assert host.read(function.generic_initiators, "generic_initiators", 255).exact == 3


@pytest.mark.parametrize(
    "data", [b"", b"SRAT", b"XXXX" + bytes(60), srat(b"\5\0"), srat(entry(1, 0, 0, 5)[:20])]
)
def test_a_table_that_makes_no_sense_says_nothing(data: bytes) -> None:
    assert generic_initiators(data) == {}
