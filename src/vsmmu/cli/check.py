# SPDX-License-Identifier: Apache-2.0
"""``vsmmu check``: would QEMU start this VM on this host, and if not, what would it say?"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from vsmmu.cli import console

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from vsmmu.cli.inputs import Inputs
    from vsmmu.cli.plain_form import Question
    from vsmmu.diagnostic import Diagnostic
    from vsmmu.policy.options import Options
    from vsmmu.qemu.outcome import Failure, Verdict, VsmmuOutcome
    from vsmmu.qemu.versions import Qemu

__all__ = ["EXAMPLES", "command"]

EXAMPLES: Final = """\b
Examples:
  vsmmu check --host builtin:gb200 vm.sh
  vsmmu check --qemu 11.0 --trace < /proc/$(pidof qemu-system-aarch64)/cmdline
  vsmmu check -o json vm.sh | jq -r .failure.text
  vsmmu check --all --qemu 11.1 /etc/vms             what an upgrade would break
"""


_ANSWERS: Final = {
    "starts": "starts",
    "fails-later": "starts, and fails later",
    "refused": "would not start",
    "unknown": "unknown (--assume-safe accepts that)",
    "not-judged": "not judged",
}


def command(
    question: Question, more: tuple[str, ...], every: bool, trace: bool, quiet: bool, output: str
) -> int:
    """Predict QEMU's verdict on the VM as it is written, with QEMU's own text and the remedy.

    Nothing is resolved: what is auto is left to QEMU, as at a real start. A libvirt domain is also held
    against what libvirt drops without a word, refuses, or lets through. Exit status 0 only if QEMU certainly
    starts and nothing is known to fail later; --assume-safe accepts what is unknown.

    With --all, before an upgrade: each VM that is defined here, with the QEMU and libvirt to come (--qemu,
    --libvirt; for the next kernel, --host with facts of a host that runs it), beside its own QEMU.
    """
    if every:
        from vsmmu.cli.check_all import check_all

        return check_all(question, more, quiet=quiet, output=output)
    if more:
        from vsmmu.errors import UsageError

        raise UsageError("two-inputs", f"a second VM: {more[0]!r:.80}", next="give one VM, or --all")
    from vsmmu.cli.inputs import read_inputs
    from vsmmu.mend import with_fixes
    from vsmmu.policy.checking import check

    inputs = read_inputs(question)
    options = inputs.options
    if question.host == "live":
        from vsmmu.monitor.memory_lock import lockable_memory

        options = options._replace(lockable=lockable_memory())
    verdict = check(inputs.vm, inputs.host, inputs.qemu, options, with_fixes)
    startable = verdict.would_start(assume_safe=question.assume_safe)
    if output == "json":
        from vsmmu.cli.documents import verdict_document

        console.answer(verdict_document(verdict, inputs.host.name, startable=startable))
    elif not quiet:
        if trace:
            console.say(*_trace(verdict, inputs.qemu))
        console.say(*_text(verdict))
        console.say(*_conclusion(verdict, startable=startable))
        console.say(*_mends(verdict, inputs, options))
    return 0 if startable else 1


def _trace(verdict: Verdict, qemu: Qemu) -> Iterator[console.Line]:
    from vsmmu.qemu.derived_rows import derived_rows

    for step in verdict.trace:
        yield f"{step.phase:12} {step.device:16} {step.event}"
    yield ""
    rows = derived_rows(qemu)
    if rows:
        yield f"not measured for QEMU {verdict.qemu}, but derived:"
        yield from (f"  {row.row}: {row.source}" for row in rows)
        yield ""


def _text(verdict: Verdict) -> Iterator[console.Line]:
    for vsmmu in verdict.vsmmus:
        yield from _vsmmu(vsmmu, runs=verdict.failure is None)
    if verdict.failure is not None:
        yield from _failure(verdict.failure, verdict.qemu)
    for found in _grouped(verdict.diagnostics):
        yield from console.diagnosis(found)


def _grouped(diagnostics: Iterable[Diagnostic]) -> Iterator[Diagnostic]:
    """The diagnostics, with what is unknown of one device for one cause as one: it has one next step."""
    from vsmmu.diagnostic import Diagnostic as Group

    together: dict[tuple[str, str], list[Diagnostic]] = {}
    for found in diagnostics:
        if found.severity == "unknown" and found.needs:
            together.setdefault((found.where, found.next), []).append(found)
        else:
            yield found
    for (where, following), group in together.items():
        needs = list(dict.fromkeys(need for found in group for need in found.needs))
        verb = "are" if len(needs) > 1 else "is"
        what = f"{', '.join(needs)} {verb} not known, so QEMU could refuse"
        why = "\n".join(f"{found.why} [{found.code}]" for found in group)
        yield Group("facts-unknown", what, where, why, following, "unknown")


def _vsmmu(vsmmu: VsmmuOutcome, *, runs: bool) -> Iterator[console.Line]:
    values = " ".join(f"{name}={value}" for name, value in vsmmu.values.items())
    host = f", host SMMU {vsmmu.host_smmu}" if vsmmu.host_smmu and not vsmmu.host_smmu.startswith("?") else ""
    yield f"{vsmmu.device} on {vsmmu.primary_bus or 'no bus'}{host}"
    yield f"  {values}"
    if vsmmu.registers is not None and runs:
        words = " ".join(f"{name} {vsmmu.registers[name]}" for name in ("IDR0", "IDR1", "IDR3", "IDR5"))
        note = f" ({', '.join(vsmmu.uncertain)} may differ)" if vsmmu.uncertain else ""
        yield f"  the guest sees {words}{note}"
    for endpoint in vsmmu.endpoints:
        what = f"{endpoint.device} ({endpoint.function or 'unknown function'})"
        yield f"  {what}: {'accepted' if endpoint.answer == 'starts' else endpoint.answer}"


def _failure(failure: Failure, qemu: str) -> Iterator[console.Line]:
    yield f"QEMU {qemu} would say ({failure.phase}):"
    yield from (console.Styled(f"  {line}", "error") for line in failure.printed.split("\n"))


def _conclusion(verdict: Verdict, *, startable: bool) -> Iterator[console.Line]:
    if verdict.not_judged and verdict.answer != "not-judged":
        yield f"not looked at, or only in part: {', '.join(verdict.not_judged)}"
    if not any(vsmmu.accel for vsmmu in verdict.vsmmus) and verdict.answer == "starts":
        yield "note: this VM has no accelerated vSMMU"
    if startable and verdict.answer == "unknown":
        yield "verdict: starts, if the unknown facts are as every known host has them"
    elif verdict.answer == "fails-later" and verdict.of("unknown"):
        yield "verdict: fails later, if it starts at all: that is unknown"
    else:
        yield f"verdict: {_ANSWERS[verdict.answer]}"


def _mends(verdict: Verdict, inputs: Inputs, options: Options) -> Iterator[console.Line]:
    """How many faults fix mends, which it is asked: not every fix can be written in every form of a VM.

    Of a kind of which there may be more than were worked out it is the number of those that have a fix.
    """
    fixed = [found for found in verdict.diagnostics if found.fix]
    if not fixed:
        return
    from vsmmu.diagnostic import FAULTS
    from vsmmu.mend.mending import mend
    from vsmmu.mend.table import AT_A_TIME

    mended = Counter(found.code for found in fixed)
    most = max(mended.values()) >= AT_A_TIME
    faults = sum(bool(found.fix) or found.severity in FAULTS for found in verdict.diagnostics)
    if not most:
        after = mend(inputs.vm, inputs.host, inputs.qemu, options)
        gone = Counter(found.code for found in verdict.diagnostics)
        gone -= Counter(found.code for found in after.verdict.diagnostics)
        mended &= gone | Counter(step.found.code for step in after.applied)
    if mended:
        yield f"{'at least ' if most else ''}{mended.total()} of {faults} can be mended: vsmmu fix"
