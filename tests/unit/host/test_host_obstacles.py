# SPDX-License-Identifier: Apache-2.0
"""Functions that have to stay mapped 1:1: the built-in GB10 and a made-up x86 host through every verb.

What probe and emulate do about them is in their own tests: test_probe_ask.py, test_emulate_run.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from fake_host import FakeHost
from vsmmu.doctor.checks import check_direct_regions
from vsmmu.doctor.observe import observe
from vsmmu.errors import Negative
from vsmmu.fleet.classes import EVERYTHING, class_of, parse_selection
from vsmmu.fleet.records import RecordReader
from vsmmu.host.builtin import builtin_host
from vsmmu.host.facts import Host, HostFunction, ReservedRegion
from vsmmu.host.obstacles import SAID_OF_DIRECT
from vsmmu.kubevirt.nfd import PREFIX, labels_of
from vsmmu.plan.planner import Order, plan
from vsmmu.probe.discover import discover
from vsmmu.probe.execute import make_plan
from vsmmu.qemu.versions import parse_version

if TYPE_CHECKING:
    from pathlib import Path

Q11_1 = parse_version("11.1")
GPU, FREE, USB = "0000:00:02.0", "0000:00:03.0", "0000:00:14.0"
RMRR = "0x0000000079800000 0x000000007fffffff {}\n0x00000000fee00000 0x00000000feefffff msi"


@pytest.fixture
def x86(tmp_path: Path) -> FakeHost:
    """An integrated GPU with an RMRR that stays, a USB controller with one that is let go, and a card."""
    fake = FakeHost(tmp_path)
    fake.smmu("dmar0", "dmar0")
    fake.function(GPU, smmu="dmar0", group=0, driver="vfio-pci", regions=RMRR.format("direct"))
    fake.function(USB, smmu="dmar0", group=1, driver="vfio-pci", regions=RMRR.format("direct-relaxable"))
    fake.function(FREE, smmu="dmar0", group=2, driver="vfio-pci")
    return fake


def test_doctor_fails_for_one_that_vms_were_to_have(x86: FakeHost) -> None:
    check = check_direct_regions(observe(str(x86.root), ""))
    assert (check.status, GPU in check.detail, USB in check.detail) == ("FAIL", True, False)
    assert "EINVAL" in check.diagnostics[0].next


def test_doctor_warns_of_one_that_the_host_has(x86: FakeHost) -> None:
    x86.unbind(GPU, "vfio-pci")
    check = check_direct_regions(observe(str(x86.root), ""))
    assert (check.status, GPU in check.detail) == ("WARN", True)
    x86.write("/sys/kernel/iommu_groups/0/reserved_regions", "")
    assert check_direct_regions(observe(str(x86.root), "")).status == "PASS"


def test_doctor_does_not_pass_what_it_cannot_read(x86: FakeHost) -> None:
    for group in range(3):
        x86.path(f"/sys/kernel/iommu_groups/{group}/reserved_regions").unlink()
    assert check_direct_regions(observe(str(x86.root), "")).status == "SKIP"


@pytest.mark.parametrize("bind", [False, True])
def test_probe_reads_the_regions_before_it_binds(x86: FakeHost, bind: bool) -> None:
    if bind:
        x86.unbind(GPU, "vfio-pci")
    targets = make_plan(x86.tree, *([(), (GPU,)] if bind else [(GPU,), ()])).targets
    refusal = targets[0].refusal
    assert refusal is not None
    assert (refusal.code, refusal.why) == ("direct-region", SAID_OF_DIRECT)
    assert make_plan(x86.tree, [USB]).targets[0].choices == (USB,)
    # By itself it asks the others.
    assert set(make_plan(x86.tree).targets[0].choices) == {FREE, USB}


@pytest.mark.parametrize("name", ["gb10", "x86"])
def test_plan_refuses_it_with_the_kernels_sentence(x86: FakeHost, name: str) -> None:
    host = builtin_host("gb10") if name == "gb10" else discover(x86.tree)
    with pytest.raises(Negative) as caught:
        plan(Order(("000f:01:00.0" if name == "gb10" else GPU,)), host, Q11_1)
    assert (caught.value.code, caught.value.why) == ("direct-region", SAID_OF_DIRECT)


def test_label_and_report_do_not_count_it() -> None:
    host = builtin_host("gb10")
    only = parse_selection("10de:2e12")
    assert class_of(host, only).capabilities == ()
    assert labels_of(host, Q11_1, only)[f"{PREFIX}accel"] == "absent"
    free = _with_regions(host, msgspec.UNSET)
    assert class_of(free, only).capabilities != ()
    assert class_of(free, EVERYTHING).fingerprint == class_of(_with_regions(host, ()), EVERYTHING).fingerprint


def test_a_fleets_reader_tells_hosts_apart_that_differ_in_this_alone() -> None:
    """Also on its fast path, which takes a host for known if its SMMUs are and its functions look alike."""
    host = builtin_host("gb200")
    region = ReservedRegion("0x0", "0xfff", "direct")
    variants = [
        host,
        _with_regions(host, (region,)),
        _with_regions(host, (region.__class__("0x0", "0xfff", "msi"),)),
    ]
    reader = RecordReader(parse_selection("10de:2941"))
    kinds = [reader.read(msgspec.json.encode(one), "x").kind for one in (*variants, *variants)]
    assert kinds == [kinds[0], kinds[1], kinds[0]] * 2
    assert kinds[0] != kinds[1]
    assert reader.classes[kinds[1]].capabilities == ()


def _with_regions(host: Host, regions: tuple[ReservedRegion, ...] | msgspec.UnsetType) -> Host:
    def changed(entry: HostFunction) -> HostFunction:
        return msgspec.structs.replace(entry, reserved_regions=regions)

    return msgspec.structs.replace(host, functions=tuple(changed(entry) for entry in host.functions))
