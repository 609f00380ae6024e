# SPDX-License-Identifier: Apache-2.0
"""What all tests share: how hard hypothesis searches, and that the lab suite runs on one worker."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from quoted import MADE_OF

_LAB = Path(__file__).with_name("lab")

# The same examples in every run, so that a red build is red for everybody; `thorough` looks for new ones:
# HYPOTHESIS_PROFILE=thorough make test-fast
_COMMON = {"deadline": None, "print_blob": True, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("default", max_examples=100, derandomize=True, **_COMMON)
settings.register_profile("thorough", max_examples=2000, **_COMMON)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

# gRPC's own handlers end a process that forks beside its threads (2 of 200), as vsmmu capture does.
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "false"

# A prebuilt kernel beside the checkout saves twenty minutes of compiling, as in the Makefile.
if "VSMMU_LAB_KERNEL" not in os.environ:
    _FIND = [_LAB.parents[1] / "requirements/prebuilt-kernel", _LAB.parents[2] / "shared/lab"]
    if _PREBUILT := subprocess.run(_FIND, capture_output=True, text=True, check=False).stdout.strip():
        os.environ["VSMMU_LAB_KERNEL"] = _PREBUILT


@pytest.hookimpl(tryfirst=True)  # xdist reads the groups in the same hook
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests/lab, and keep every lab test on one xdist worker: the machines fill the processors."""
    for item in items:
        if _LAB in item.path.parents:
            item.add_marker(pytest.mark.lab)
        if item.get_closest_marker("lab"):
            item.add_marker(pytest.mark.xdist_group("lab"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """At the end, what the archives gave: the versions that the tests of this run have met."""
    reports = [report for kind in terminalreporter.stats.values() for report in kind]
    found = {
        value
        for report in reports
        for name, value in getattr(report, "user_properties", ())
        if name == MADE_OF
    }
    if found:
        terminalreporter.section("made of")
    for text in sorted(map(str, found)):
        terminalreporter.write_line(text)
