# SPDX-License-Identifier: Apache-2.0
"""Memory modules, balloons, frame buffers, boot order and the board's windows against QEMU 11.1.3, 10.2.2."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from vsmmu.host.facts import SCHEMA, Host
from vsmmu.machine.command_line.argv import read_words
from vsmmu.qemu.process import start
from vsmmu.qemu.versions import LATEST, parse_version

GOLDEN = Path(__file__).parents[2] / "golden"
VERSIONS = {"qemu-11.1.3": LATEST, "qemu-10.2.2": parse_version("10.2")}
CASES = [
    (folder, json.loads(line))
    for folder in VERSIONS
    for line in (GOLDEN / folder / "peripherals.jsonl").read_text(encoding="utf-8").splitlines()
]


@pytest.mark.parametrize(
    ("folder", "case"), CASES, ids=lambda part: part if isinstance(part, str) else part["id"]
)
def test_the_model_says_what_qemu_said(folder: str, case: dict[str, Any]) -> None:
    host = Host(schema=SCHEMA, name="nobody").listing_all()
    verdict = start(read_words(shlex.split(case["command"])).machine(), host, VERSIONS[folder])
    failed = verdict.failure
    if case.get("unknown"):
        assert verdict.answer == "unknown"
        return
    assert (failed is None) == (case["exit"] == 0)
    if case["exit"] == -11:
        assert failed is not None
        assert failed.code == "qemu-errors-without-acpi"
    else:
        assert (failed.printed if failed else "") == "\n".join(case.get("stderr", []))
