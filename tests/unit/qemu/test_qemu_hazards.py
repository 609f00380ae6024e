# SPDX-License-Identifier: Apache-2.0
"""Hazards: what QEMU starts although it cannot work is seen, each with a VM that has it."""

from __future__ import annotations

import inspect
import re

import pytest

from examples import Q11_1, function, host, options, port, smmu, vfio, vm
from vsmmu.qemu import hazards
from vsmmu.qemu.process import start

V1 = vfio("0000:01:00.0", 1)
PINNED = "ats=off,ril=on,ssidsize=0,oas=44"


TWO = host(
    smmu("a"),
    smmu("b"),
    smmu("c", cmdqv=1),
    function("0000:01:00.0", "a"),
    function("0000:02:00.0", "b"),
    function("0000:03:00.0", "a"),
    function("0000:04:00.0", "c"),
    function("0000:05:00.0", "a", cxl_cache=1),
)


HAZARDS = {
    "two-host-smmus": vm("", port(1), V1, port(2), vfio("0000:02:00.0", 2)),
    "two-iommufds": vm(
        "", "-object iommufd,id=i1", port(1), V1, port(2), vfio("0000:03:00.0", 2).replace("=i0", "=i1")
    ),
    "ats-not-offered": vm("ats=off"),
    "ats-required": vm("ats=off", port(1), vfio("0000:05:00.0", 1)),
    "ats-required-substreams": vm("ats=on,ssidsize=0", port(1), vfio("0000:05:00.0", 1)),
    "cmdqv-small-pages": vm("cmdqv=auto", port(1), vfio("0000:04:00.0", 1)),
    "pasid-capability": vm("ssidsize=8", port(1), f"{V1},x-vpasid-cap-offset=3"),
    "endpoint-before-vsmmu": options(
        "-M virt -accel kvm -bios fw -nodefaults -object iommufd,id=i0 -device pcie-root-port,id=rp1",
        f"{V1} -device arm-smmuv3,primary-bus=pcie.0,accel=on,{PINNED}",
    ),
}


@pytest.mark.parametrize("code", HAZARDS)
def test_the_hazard_is_seen_although_qemu_starts(code: str) -> None:
    verdict = start(HAZARDS[code], TWO, Q11_1)
    assert verdict.at_start == "starts"
    [hazard] = verdict.diagnostics
    assert verdict.answer == ("fails-later" if hazard.severity == "hazard" else "starts")
    assert hazard.code == code
    assert hazard.next
    assert verdict.would_start() is (hazard.severity == "warning")


@pytest.mark.parametrize(
    ("count", "able", "answer"), [(12, 1, "starts"), (13, 1, "unknown"), (13, 0, "starts")]
)
def test_command_queues_of_the_hardware_leave_room_for_fewer_vsmmus(
    count: int, able: int, answer: str
) -> None:
    numbers = range(1, count + 1)
    machine = options(
        "-M virt -accel kvm -bios fw -nodefaults -object iommufd,id=i0",
        *(
            f"-device pxb-pcie,id=p{n},bus_nr={8 * n},bus=pcie.0 "
            f"-device arm-smmuv3,primary-bus=p{n},accel=on "
            f"{port(n, f'p{n}')} {vfio(f'0000:{n:02x}:00.0', n)}"
            for n in numbers
        ),
    )
    smmus = [smmu(f"s{n}", cmdqv=able) for n in numbers]
    functions = [function(f"0000:{n:02x}:00.0", f"s{n}") for n in numbers]
    verdict = start(machine, host(*smmus, *functions), Q11_1)
    assert verdict.answer == answer
    doubts = [found.code for found in verdict.diagnostics if found.severity != "warning"]
    assert doubts == ["qemu-too-many"] * (answer == "unknown")


def test_every_hazard_has_a_vm() -> None:
    source = inspect.getsource(hazards)
    codes = set(re.findall(r'Diagnostic\(\s*"([a-z-]+)"', source))
    assert codes == set(HAZARDS)


def test_a_function_that_needs_ats_must_not_have_it_hidden() -> None:
    verdict = start(vm("", port(1), f"{vfio('0000:05:00.0', 1)},ats=off"), TWO, Q11_1)
    [found] = verdict.diagnostics
    assert (found.code, verdict.answer) == ("ats-required", "fails-later")
    assert "let v1 have ATS" in found.next
