# SPDX-License-Identifier: Apache-2.0
"""The model of QEMU against a real QEMU: a short selection of what ``python -m conformance`` runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from conformance.batches import generate, of, play
from conformance.fixed import fixed_runs
from conformance.fixed_host import fixed_host
from conformance.table import render, tally
from quoted import quoted

if TYPE_CHECKING:
    from vsmmu.lab import Session

pytestmark = pytest.mark.lab


def test_generated_cases_agree(lab: Session) -> None:
    batch = generate(
        20260316, {"packed": 1, "cold": 4, "first-decides": 2, "hot-plug": 1, "sequence": 1, "resolve": 2}
    )
    result = tally(play(lab, batch))
    with quoted("qemu-system-arm", "11.1", lab.artifacts.versions()):
        assert not result.complaints, render(result)
    assert result.cases > 50


def test_one_case_of_each_message_agrees(lab: Session) -> None:
    """The first case for each message that the model predicts."""
    whole = of(fixed_host(), fixed_runs())
    chosen = {}
    for run, expected in zip(whole.runs, whole.expected, strict=True):
        if expected.code and not run.steps:
            chosen.setdefault(expected.code, run)
    result = tally(play(lab, of(whole.host, chosen.values())))
    with quoted("qemu-system-arm", "11.1", lab.artifacts.versions()):
        assert not result.complaints, render(result)
    assert {code for code, count in result.messages.items() if count} == set(chosen)
    assert len(chosen) > 40
