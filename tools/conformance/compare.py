# SPDX-License-Identifier: Apache-2.0
"""Judge: did QEMU do what the model said, and print what it said?"""

from __future__ import annotations

import re
import signal
from typing import TYPE_CHECKING, Final, NamedTuple

from vsmmu.smmuv3.fields import field

if TYPE_CHECKING:
    from conformance.cases import Expected, ExpectedStep, Outcome, Run, StepOutcome

__all__ = ["Judgement", "judge"]

#: QEMU does not say this of itself.
_CRASH: Final = "Segmentation fault"
_RANGE: Final = re.compile(r"\d+\.\.\d+")
_DESCRIPTOR: Final = re.compile(r"\b(fd|iommufd)=\d+")
#: The line of QEMU's sources in an assertion, where the model does not know it.
_ANY_LINE: Final = ".c:N:"
_LINE: Final = re.compile(r"\.c:\d+:")


class Judgement(NamedTuple):
    """What a run showed.

    :param cases: how many cases it stands for.
    :param messages: codes of the messages that came as predicted.
    :param complaints: one sentence for each case that disagrees.
    :param row: code of the message that the model says; empty where it says that QEMU starts.
    :param undecided: whether QEMU starts and the model does not know it.
    """

    run: Run
    cases: int
    messages: tuple[str, ...]
    complaints: tuple[str, ...]
    row: str = ""
    undecided: bool = False


def judge(run: Run, expected: Expected, outcome: Outcome) -> Judgement:
    """Compare one run."""
    started = _judge_start(run, expected, outcome)
    if started or not outcome.started:
        code = (expected.code,) if expected.code and not started else ()
        return Judgement(run, 1, code, tuple(started), expected.code)
    complaints = _judge_registers(run, expected, outcome)
    messages = []
    for index, (wanted, got) in enumerate(zip(expected.steps, outcome.steps, strict=False)):
        complaint = _judge_step(run.steps[index].do, wanted, got)
        complaints += [f"step {index}: {complaint}"] if complaint else []
        messages += [wanted.code] if wanted.code and not complaint else []
    if len(outcome.steps) < len(run.steps):
        complaints.append(f"QEMU ended in step {len(outcome.steps)}: {_last(outcome.stderr)}")
    own = len(outcome.registers) if run.packed else 1
    plugs = sum(step.do == "add" for step in run.steps)
    undecided = expected.answer == "unknown"
    return Judgement(run, own + plugs, tuple(messages), tuple(complaints), undecided=undecided)


def _judge_start(run: Run, expected: Expected, outcome: Outcome) -> list[str]:
    if expected.answer == "unknown":
        possible = outcome.started or not expected.possible or _possible(expected, outcome.stderr)
        return (
            []
            if possible
            else [f"QEMU says something that was not thought possible: {_last(outcome.stderr)}"]
        )
    if expected.answer == "starts" and not outcome.started:
        return [f"should start, but (status {outcome.status}): {_last(outcome.stderr)}"]
    if expected.answer == "refused" and outcome.started:
        return [f"should be refused with {expected.text!r}, but starts"]
    # A check that the facts leave open may come before the one that certainly refuses.
    crashed = expected.text == _CRASH and outcome.status == -signal.SIGSEGV
    said = crashed or _printed(expected.text, outcome.stderr) or _possible(expected, outcome.stderr)
    if expected.answer == "refused" and not said:
        return [f"should say {expected.text!r}, says (status {outcome.status}): {_last(outcome.stderr)}"]
    if outcome.started:
        return [
            f"{'must not' if warning[:1] == '!' else 'must'} warn {warning.lstrip('!')!r}: {run.name}"
            for warning in expected.warnings
            if (warning.lstrip("!") in outcome.stderr) == (warning[:1] == "!")
        ]
    return []


def _normal(text: str) -> str:
    """Without numbers of descriptors, which nobody can know beforehand."""
    return _DESCRIPTOR.sub(r"\1=N", text)


def _printed(text: str, stderr: str) -> bool:
    """Whether QEMU printed it; an assertion comes without QEMU's name in front."""
    text, stderr = _normal(text), _normal(stderr)
    if _ANY_LINE in text:
        stderr = _LINE.sub(_ANY_LINE, stderr)
    is_assertion = "Assertion" in text or "should not be reached" in text
    return text in stderr or (is_assertion and text.partition(": ")[2] in stderr)


def _possible(expected: Expected, stderr: str) -> bool:
    """Whether it is a message that open facts allow; where the model has a range, QEMU has a number."""
    for text in expected.possible:
        parts = [re.escape(part) for part in _RANGE.split(text)]
        if re.search(r"\d+".join(parts), stderr):
            return True
    return False


def _judge_registers(run: Run, expected: Expected, outcome: Outcome) -> list[str]:
    if len(expected.registers) != len(outcome.registers):
        return [f"{len(expected.registers)} vSMMUs expected, {len(outcome.registers)} found"]
    complaints = []
    for index, (wanted, got) in enumerate(zip(expected.registers, outcome.registers, strict=True)):
        uncertain = expected.uncertain[index] if index < len(expected.uncertain) else ()
        if wanted is not None and not _equal(wanted, got, uncertain):
            complaints.append(f"vSMMU {index}: registers should be {wanted}, are {got}")
    names = [word.partition("id=")[2].partition(",")[0] for word in run.argv if word.startswith("arm-smmuv3")]
    for index, name in enumerate(names):
        claimed = run.registers.get(name)
        if claimed is not None and not _equal(claimed, outcome.registers[index], ()):
            complaints.append(f"{name}: resolved to {claimed}, is {outcome.registers[index]}")
    return complaints


def _judge_step(do: str, wanted: ExpectedStep, got: StepOutcome) -> str:
    if _normal(wanted.error) != _normal(got.error):
        return f"{do} should answer {wanted.error!r}, answers {got.error!r}"
    if got.registers:
        for index, (want, have) in enumerate(zip(wanted.registers, got.registers, strict=True)):
            if want is not None and not _equal(want, have, ()):
                return f"after {do}, registers of vSMMU {index} should be {want}, are {have}"
    return ""


def _equal(wanted: dict[str, str], got: dict[str, str], uncertain: tuple[str, ...]) -> bool:
    for name, word in wanted.items():
        mask = 0xFFFFFFFF
        for key in uncertain:
            if key.startswith(f"{name}."):
                mask &= ~field(key).mask
        if not got.get(name, "?").startswith("0x") or (int(word, 16) ^ int(got[name], 16)) & mask:
            return False
    return True


def _last(stderr: str) -> str:
    lines = [line for line in stderr.splitlines() if "dma-buf" not in line]
    return " / ".join(lines[-3:])[-400:]
