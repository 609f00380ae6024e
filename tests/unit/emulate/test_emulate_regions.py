# SPDX-License-Identifier: Apache-2.0
"""Memory BARs of an emulated function: those of the facts, as a prober sees them and as they are accessed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest
from emulate_helpers import A, host

from vsmmu.emulate.hardware import Hardware
from vsmmu.emulate.nodes import tree
from vsmmu.emulate.objects import Context, DeviceObject
from vsmmu.emulate.seccomp import OFFSET_MAGIC
from vsmmu.emulate.vfio import DeviceFile
from vsmmu.host.facts import MemoryRegion

if TYPE_CHECKING:
    from vsmmu.host.facts import Host

REGIONS = (MemoryRegion(0, "0x1000000"), MemoryRegion(4, "0x4000000000", True))


def shown(*regions: MemoryRegion) -> Host:
    functions = [
        msgspec.structs.replace(entry, memory_regions=regions) if entry.address == A else entry
        for entry in host().functions
    ]
    return msgspec.structs.replace(host(), functions=tuple(functions))


def bound(*regions: MemoryRegion) -> DeviceFile:
    function = Hardware(shown(*regions)).functions[A]
    file = DeviceFile(1, function, [])
    file.context = Context(1)
    file.device = file.context.add(DeviceObject(function))
    return file


def test_sysfs_shows_sizes_and_kinds() -> None:
    nodes = tree(Hardware(shown(*REGIONS)))
    lines = nodes[f"/sys/devices/pci0001:01/{A}/resource"].content.decode().splitlines()
    assert len(lines) == 13
    assert lines[0] == "0x0000000001000000 0x0000000001ffffff 0x0000000000040200"
    assert lines[4] == "0x0000004000000000 0x0000007fffffffff 0x000000000014220c"
    assert set(lines[1:4] + lines[5:]) == {"0x0000000000000000 0x0000000000000000 0x0000000000000000"}


def test_configuration_space_says_what_is_high() -> None:
    config = Hardware(shown(*REGIONS)).functions[A].config
    words = [int.from_bytes(config.read(0x10 + 4 * bar, 4), "little") for bar in range(6)]
    assert words == [0, 0, 0, 0, 0xC, 0]
    assert Hardware(host()).functions[A].bars == {0: 0x1000}


@pytest.mark.parametrize("bar", [0, 4])
def test_what_is_written_to_a_page_stays_and_the_rest_is_zeros(bar: int) -> None:
    file = bound(*REGIONS)
    base = OFFSET_MAGIC | bar << 40
    assert file.write(base + 8, b"abcd") == 4
    assert file.read(base + 8, 4) == b"abcd"
    assert file.write(base + 0x800000, b"abcd") == 4
    assert file.read(base + 0x800000, 4) == bytes(4)
    assert file.write(base + 0xFFE, b"abcd") == 4
    assert file.read(base + 0xFFE, 4) == b"ab\0\0"


def test_a_read_ends_with_the_region() -> None:
    file = bound(*REGIONS)
    assert file.read(OFFSET_MAGIC + 0xFFFFFE, 4) == bytes(2)
    assert file.write(OFFSET_MAGIC + 0xFFFFFE, b"abcd") == 2
