# SPDX-License-Identifier: Apache-2.0
"""EGM regions out of made-up trees in the three forms that kernels have, and pages of this machine."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec
import pytest

from vsmmu.host.evidence import UNKNOWN
from vsmmu.host.numa_nodes import EgmRegion
from vsmmu.probe.discover import discover
from vsmmu.probe.live import live_host, refresh
from vsmmu.probe.sysfs import read_page_size
from vsmmu.probe.system_root import Tree

if TYPE_CHECKING:
    from fake_host import FakeHost

GPUS = ("0008:01:00.0", "0009:01:00.0")


def region(fake: FakeHost, name: str, size: str | None = "0x7240000000\n") -> str:
    """The directory of a device of the made-up class, with the entries that all devices have."""
    base = f"/sys/devices/virtual/egm/{name}"
    fake.write(f"{base}/uevent", f"DEVNAME={name}\n")
    fake.write(f"{base}/dev", "238:4\n")
    if size is not None:
        fake.write(f"{base}/egm_size", size)
    fake.link(f"/sys/class/egm/{name}", base)
    return base


def test_the_attribute_of_nvidias_kernels(fake: FakeHost) -> None:
    fake.write(f"{region(fake, 'egm4')}/gpu_devices", "".join(f"{address}\n" for address in reversed(GPUS)))
    found = discover(fake.tree)
    assert found.egm == (EgmRegion("egm4", "0x7240000000", GPUS, "sysfs-egm"),)
    assert found.evidence["sysfs-egm"].kind == "measured"
    assert found.synthetic, "a tree that is not the machine's own says so"


def test_the_links_of_the_series_for_linux(fake: FakeHost) -> None:
    base = region(fake, "egm4")
    for address in GPUS:
        fake.function(address)
        fake.link(f"{base}/{address}", f"/sys/devices/platform/40000000.pcie/pci{address[:7]}/{address}")
    assert discover(fake.tree).egm == (EgmRegion("egm4", "0x7240000000", GPUS, "sysfs-egm"),)


@pytest.mark.parametrize("size", [None, "", "x", "0x0", "-0x1", "0x1" + "0" * 16])
def test_a_size_that_the_kernel_does_not_say_is_unknown(fake: FakeHost, size: str | None) -> None:
    region(fake, "egm4", size)
    assert discover(fake.tree).egm == (EgmRegion("egm4", None, (), "sysfs-egm"),)


@pytest.mark.parametrize(("name", "egm"), [("mem", ()), ("", msgspec.UNSET)])
def test_no_region_and_nothing_said_are_two_answers(fake: FakeHost, name: str, egm: object) -> None:
    if name:
        fake.write(f"/sys/class/{name}/null/dev", "1:3\n")
    found = discover(fake.tree)
    assert found.egm == egm
    assert "sysfs-egm" not in found.evidence


def test_regions_that_cannot_be_say_nothing(fake: FakeHost) -> None:
    for name in ("egm4", "egm5"):
        fake.write(f"{region(fake, name)}/gpu_devices", f"{GPUS[0]}\n")
    assert discover(fake.tree).egm is msgspec.UNSET


def test_a_region_that_came_after_the_probe_is_there(fake: FakeHost) -> None:
    saved = discover(fake.tree)
    assert refresh(saved, fake.tree).egm is msgspec.UNSET
    region(fake, "egm5")
    found = refresh(saved, fake.tree)
    assert found.egm == (EgmRegion("egm5", "0x7240000000", (), "sysfs-egm"),)
    assert live_host(str(fake.root)).egm == found.egm


def test_pages_are_those_of_the_machine_itself_alone(fake: FakeHost) -> None:
    assert discover(fake.tree).page_size is UNKNOWN
    assert read_page_size(Tree()) == os.sysconf("SC_PAGESIZE")
