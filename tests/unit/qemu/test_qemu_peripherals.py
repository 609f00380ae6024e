# SPDX-License-Identifier: Apache-2.0
"""Memory modules, balloons, frame buffers, boot order and the board's own windows against QEMU 11.1.3."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from vsmmu.host.facts import SCHEMA, Host
from vsmmu.machine.command_line.argv import read_words
from vsmmu.qemu.process import start
from vsmmu.qemu.versions import LATEST

RECORDED = Path(__file__).parents[2] / "golden" / "qemu-11.1.3" / "peripherals.jsonl"
CASES = [json.loads(line) for line in RECORDED.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_the_model_says_what_qemu_said(case: dict[str, Any]) -> None:
    host = Host(schema=SCHEMA, name="nobody").listing_all()
    verdict = start(read_words(shlex.split(case["command"])).machine(), host, LATEST)
    failed = verdict.failure
    assert (failed is None) == (case["exit"] == 0)
    if case["exit"] == -11:
        assert failed is not None
        assert failed.code == "qemu-errors-without-acpi"
    else:
        assert (failed.printed if failed else "") == "\n".join(case.get("stderr", []))
