# SPDX-License-Identifier: Apache-2.0
"""What one host SMMU refuses to several vSMMUs and functions: a fault of each that has it written."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from examples import Q11_1, function, host, options, smmu
from vsmmu.qemu.process import start

if TYPE_CHECKING:
    from vsmmu.host.facts import Host, HostSmmu
    from vsmmu.machine.model import Machine

FUNCTIONS = [f"0000:0{number}:00.0" for number in (1, 2, 3, 4)]


def on(host_smmu: HostSmmu, **facts: int | None) -> Host:
    """A host with four functions behind its only SMMU."""
    return host(host_smmu, *(function(address, **facts) for address in FUNCTIONS))


def four(values: str = "", ats: str = "") -> Machine:
    """Two vSMMUs with these values, and two functions with this ``ats`` behind each."""
    parts = ["-object iommufd,id=i0"]
    for number in (0, 1):
        parts.append(f"-device pxb-pcie,id=p{number},bus_nr={number * 20 + 8},bus=pcie.0")
        parts.append(f"-device arm-smmuv3,primary-bus=p{number},id=s{number},accel=on{values}")
        for port in (2 * number, 2 * number + 1):
            parts.append(f"-device pcie-root-port,id=r{port},bus=p{number},chassis={port + 1}")
            parts.append(f"-device vfio-pci,host={FUNCTIONS[port]},bus=r{port},id=f{port},iommufd=i0{ats}")
    return options(*parts)


def found(machine: Machine, on: Host, code: str) -> list[str]:
    """The devices of a code's refusals and doubts."""
    return [entry.where for entry in start(machine, on, Q11_1).diagnostics if entry.code == code]


@pytest.mark.parametrize(
    ("values", "limits", "code"),
    [
        (",ril=on", {"ril": 0}, "qemu-ril"),
        (",ats=on", {"ats": 0}, "qemu-ats"),
        (",oas=48", {"oas": 44}, "qemu-oas"),
        (",ssidsize=20", {"ssidsize": 8}, "qemu-ssidsize"),
        (",ril=on", {"ril": None}, "qemu-ril"),
        (",cmdqv=on", {}, "qemu-cmdqv"),
    ],
)
def test_a_value_is_a_fault_of_each_vsmmu_that_has_it(
    values: str, limits: dict[str, int | None], code: str
) -> None:
    assert found(four(values), on(smmu(**limits)), code) == ["f0", "f2"]  # type: ignore[arg-type]


@pytest.mark.parametrize("refused", [1, None])
def test_ats_is_a_fault_of_each_function_that_has_it(refused: int | None) -> None:
    facts = on(smmu(), ats_not_supported=refused)
    assert found(four(ats=",ats=on"), facts, "qemu-vfio-ats") == ["f0", "f1", "f2", "f3"]


def test_what_the_host_lacks_is_one_fault() -> None:
    assert found(four(), on(smmu(hw_info_type=7)), "qemu-hw-info-type") == ["f0"]
