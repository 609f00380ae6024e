# SPDX-License-Identifier: Apache-2.0
"""The last line of check says no more than is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from examples import function, host, port, smmu, vfio
from vsmmu.cli.main import run
from vsmmu.host.files import encode_host

if TYPE_CHECKING:
    from pathlib import Path

MIXED = f"{port(1)} {vfio('0000:01:00.0', 1)} {port(2)} {vfio('0000:02:00.0', 2)}"


@pytest.mark.parametrize(
    ("ril", "last"),
    [
        (1, "verdict: starts, and fails later"),
        (None, "verdict: fails later, if it starts at all: that is unknown"),
        (0, "verdict: would not start"),
    ],
)
def test_two_host_smmus_fail_later_if_the_vm_starts(
    ril: int | None, last: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    on = host(
        smmu("a", ril=ril), smmu("b", ril=ril), function("0000:01:00.0", "a"), function("0000:02:00.0", "b")
    )
    facts = tmp_path / "facts.json"
    facts.write_bytes(encode_host(on))
    words = (
        "qemu-system-aarch64 -M virt,accel=kvm -bios fw -nodefaults -object iommufd,id=i0 "
        "-device pxb-pcie,id=pcie.1,bus_nr=8,bus=pcie.0 "
        f"-device arm-smmuv3,primary-bus=pcie.1,id=s,accel=on,ril=on,ats=on,ssidsize=8,oas=44 {MIXED}"
    )
    assert run(["check", "--host", str(facts), "--", *words.split()]) == 1
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("verdict: ")]
    assert lines == [last]
