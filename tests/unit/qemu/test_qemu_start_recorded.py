# SPDX-License-Identifier: Apache-2.0
"""Accelerators, objects, backends and NUMA distances against QEMU 11.1.3, built without KVM for Arm."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from conformance.here import NOBODY
from vsmmu.machine.command_line.argv import read_words
from vsmmu.qemu.process import QemuProcess
from vsmmu.qemu.versions import LATEST

RECORDED = Path(__file__).parents[2] / "golden" / "qemu-11.1.3" / "start.jsonl"
CASES = [json.loads(line) for line in RECORDED.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["command"][-60:])
def test_the_model_says_what_qemu_said(case: dict[str, Any]) -> None:
    machine = read_words(shlex.split(case["command"])).machine()
    verdict = QemuProcess(machine, NOBODY, LATEST._replace(has_kvm=False), absent={"yes"}).start()
    assert verdict.at_start == ("starts" if case["exit"] == 0 else "refused")
    if verdict.failure is not None:
        assert verdict.failure.printed == "\n".join(case["stderr"])
