# SPDX-License-Identifier: Apache-2.0
"""EGM in plans: which functions get it, of which memory, and for which QEMU; on made-up regions."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import vsmmu
from domains import domain
from examples import with_egm
from vsmmu.host.builtin import builtin_host
from vsmmu.machine.domain.document import read_domain_xml
from vsmmu.plan.boxes import plan_picture
from vsmmu.plan.planner import Order, plan
from vsmmu.qemu.versions import parse_version

if TYPE_CHECKING:
    from vsmmu.plan.model import Plan

GRACE = with_egm(builtin_host("gb200"))
GPUS = ("0008:01:00.0", "0009:01:00.0", "0018:01:00.0", "0019:01:00.0")
FORK = "nvidia-11.0"
HEAD = "qemu-system-aarch64 -M virt,gic-version=3 -accel kvm -cpu host -smp 4 -nodefaults -bios f.fd"
BOTH = (
    "-m 128G "
    + " ".join(
        f"-object memory-backend-file,id=m{n},mem-path=/dev/egm{n + 4},size=64G,share=on,prealloc=on"
        for n in (0, 1)
    )
    + " -numa node,nodeid=0,cpus=0-1,memdev=m0 -numa node,nodeid=1,cpus=2-3,memdev=m1"
)


def planned(functions: tuple[str, ...], memory: str, qemu: str = FORK, size: int | None = 64 << 30) -> Plan:
    words = tuple(shlex.split(f"{HEAD} {memory}")) if memory else ()
    return plan(Order(functions, words=words), with_egm(GRACE, size), parse_version(qemu))


def egm_of(made: Plan) -> dict[str, int | None]:
    return {port.function: port.egm for entry in made.vsmmus for port in entry.endpoints}


def test_node_0_is_the_region_of_all_functions() -> None:
    made = planned(GPUS[:2], "-m 64G")
    assert egm_of(made) == dict.fromkeys(GPUS[:2], 0)
    text = " ".join(made.arguments)
    assert "memory-backend-file,id=ram0,mem-path=/dev/egm4,size=64G,share=on,prealloc=on" in text
    assert "acpi-egm-memory,id=egm1,pci-dev=vfio1,node=0" in text
    assert made.nodes[0].egm == "/dev/egm4"
    assert not any("EGM" in note or "idle" in note for note in made.notes)
    drawn = str(plan_picture(made, GRACE))
    assert "64G of /dev/egm4" in drawn
    assert "its EGM: guest NUMA node 0" in drawn


def test_each_node_that_is_a_region_is_told_to_its_functions() -> None:
    made = planned(GPUS, BOTH)
    assert egm_of(made) == {GPUS[0]: 0, GPUS[1]: 0, GPUS[2]: 1, GPUS[3]: 1}


@pytest.mark.parametrize(
    ("functions", "memory", "qemu", "size", "says"),
    [
        (GPUS[:1], "-m 16G", FORK, 64 << 30, "-m 64G would be all"),
        (GPUS[:1], "-m 65G", FORK, 64 << 30, "no NUMA node of the guest has /dev/egm4"),
        (GPUS[:1], "-m 16G", FORK, None, "size=SIZE"),
        (GPUS[::2], "-m 16G", FORK, 64 << 30, "/dev/egm5"),
        (GPUS[:1], "", FORK, 64 << 30, "size=64G,share=on"),
        (GPUS[:1], "-m 64G", "11.1", 64 << 30, "QEMU 11.1 has no acpi-egm-memory"),
    ],
)
def test_what_is_not_written_is_said(
    functions: tuple[str, ...], memory: str, qemu: str, size: int | None, says: str
) -> None:
    made = planned(functions, memory, qemu, size)
    assert says in " ".join(made.notes)
    assert any("acpi-egm-memory" in word for word in made.arguments) == (says == "-m 64G would be all")


def test_a_domain_has_no_words_for_it() -> None:
    given_domain = read_domain_xml(domain(expander="", port="", hostdev="", iommu=""), "vm.xml")
    made = plan(Order(GPUS[:1], domain=given_domain), GRACE, parse_version("11.1"))
    assert any("libvirt has no element" in note for note in made.notes)


@settings(max_examples=25, deadline=None)
@given(
    st.sets(st.sampled_from(GPUS), min_size=1).map(sorted),
    st.sampled_from(["-m 16G", "-m 64G", "-m 65G", "-m 128G", BOTH]),
    st.sampled_from(["nvidia-10.1", FORK, "11.1"]),
)
def test_whatever_is_planned_starts_and_no_driver_goes_untold(
    functions: list[str], memory: str, qemu: str
) -> None:
    made = planned(tuple(functions), memory, qemu)
    assert made.command_line is not None
    verdict = vsmmu.check(vsmmu.read_vm(list(made.command_line)), GRACE, qemu=qemu)
    codes = {entry.code for entry in verdict.diagnostics}
    assert verdict.answer == made.answer
    assert not codes & {"egm-private", "egm-unlisted"}
    assert "egm-object" not in codes or qemu == "11.1"
    assert all(node is None for node in egm_of(made).values()) or qemu != "11.1"
