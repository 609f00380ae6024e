# SPDX-License-Identifier: Apache-2.0
"""The model against recorded answers of QEMU 11.1.3: every run of the fixed cases, and past disagreements."""

from __future__ import annotations

import json
import re
from pathlib import Path

import msgspec
import pytest

from conformance import recorded
from conformance.compare import judge
from conformance.fixed import fixed_runs
from conformance.predict import predict
from vsmmu.qemu.texts import MESSAGES

DIRECTORY = Path(__file__).with_name("answers")
RECORDS = {path.stem: recorded.decode(path.read_bytes()) for path in sorted(DIRECTORY.glob("*.json"))}
SLOTS = Path(__file__).parents[1] / "golden" / "qemu-11.1.3-slots" / "answers.jsonl"
ANSWERS = [
    pytest.param(record, answer, id=f"{name}: {answer.run.name}")
    for name, record in RECORDS.items()
    for answer in record.answers
]


@pytest.mark.parametrize(("record", "answer"), ANSWERS)
def test_the_model_says_what_qemu_said(record: recorded.Record, answer: recorded.Answer) -> None:
    judgement = judge(answer.run, predict(answer.run, record.host), answer.outcome)
    assert judgement.complaints == ()


def test_the_fixed_cases_are_all_recorded() -> None:
    """When a case is added: ``python -m conformance --cases 0 --save DIRECTORY`` in the lab."""
    known = {answer.run.argv + tuple(map(str, answer.run.steps)) for answer in RECORDS["fixed"].answers}
    assert [run.name for run in fixed_runs() if run.argv + tuple(map(str, run.steps)) not in known] == []


def pattern(text: str) -> str:
    """QEMU's text with anything where it prints a value."""
    text = text.replace("fd=N", "fd={number}")
    return "[^\n]*".join(re.escape(part) for part in re.split(r"\{\w+\}", text))


RECORDED = Path(__file__).parents[1] / "golden" / "qemu-11.1.3"


def test_every_message_of_this_version_was_provoked() -> None:
    said = "\n".join(
        answer.outcome.stderr + "\n".join(step.error for step in answer.outcome.steps)
        for record in RECORDS.values()
        for answer in record.answers
    )
    for line in SLOTS.read_text().splitlines():
        answered = json.loads(line)
        said += "\n" + "\n".join([*answered.get("stderr", []), *answered.get("answers", [])])
    said += "".join(path.read_text(encoding="utf-8").replace(r"\"", '"') for path in RECORDED.glob("*.jsonl"))
    missing = [
        code
        for code, message in MESSAGES.items()
        # Of a crash QEMU says nothing; of names and values the table has the form, not the sentence.
        if not message.aborts
        and message.text != "{text}"
        and not code.endswith("-11.0")
        # No binary of this version is built without iommufd, or is a fork's.
        and code not in ("qemu-accel-not-built", "qemu-pasid-accel")
        and not re.search(pattern(message.text), said)
    ]
    assert missing == []


@pytest.mark.parametrize("change", ["message", "started", "register", "step", "warning"])
def test_a_wrong_answer_is_seen(change: str) -> None:
    """The judge can say no: each kind of disagreement is one."""
    record = RECORDS["fixed"]
    wanted = {
        "message": lambda a: a.outcome.status == 1 and not a.outcome.started,
        "started": lambda a: not a.outcome.started,
        "register": lambda a: a.outcome.started and a.outcome.registers,
        "step": lambda a: any(step.error for step in a.outcome.steps),
        "warning": lambda a: "will be masked" in a.outcome.stderr and not a.run.steps,
    }
    answer = next(answer for answer in record.answers if wanted[change](answer))
    outcome = answer.outcome
    replace = msgspec.structs.replace
    if change == "message":
        outcome = replace(outcome, stderr="qemu-system-aarch64: something else")
    elif change == "started":
        outcome = replace(outcome, started=True)
    elif change == "register":
        outcome = replace(outcome, registers=({**outcome.registers[0], "IDR5": "0x00000000"},))
    elif change == "warning":
        outcome = replace(outcome, stderr="")
    else:
        outcome = replace(outcome, steps=tuple(replace(step, error="other") for step in outcome.steps))
    assert judge(answer.run, predict(answer.run, record.host), outcome).complaints
