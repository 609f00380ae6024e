# SPDX-License-Identifier: Apache-2.0
"""A vSMMU without acceleration: ``auto`` there is QEMU's software SMMU, whatever the host has."""

from __future__ import annotations

import pytest

from examples import host, options
from vsmmu.policy.resolver import resolve_machine
from vsmmu.qemu.versions import parse_version

VM = "-M virt -accel kvm -bios firmware.fd -nodefaults -device arm-smmuv3,primary-bus=pcie.0,id=s"


@pytest.mark.parametrize("qemu", ["11.0", "11.1"])
def test_auto_is_written_out_so_that_every_qemu_takes_it(qemu: str) -> None:
    answer = resolve_machine(
        options(f"{VM},ats=auto,ril=auto,ssidsize=auto,oas=auto"), host(), parse_version(qemu)
    )
    assert answer.problems == ()
    assert {edit.property: edit.value for edit in answer.edits} == {
        "ats": "off", "ril": "on", "ssidsize": "0", "oas": "44"
    }  # fmt: skip
    assert any("software SMMU" in note for note in answer.notes)


def test_what_is_not_written_stays_unwritten() -> None:
    assert resolve_machine(options(VM), host(), parse_version("11.1")).edits == ()
