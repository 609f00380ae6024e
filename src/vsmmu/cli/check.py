# SPDX-License-Identifier: Apache-2.0
"""``vsmmu check``: would QEMU start this VM on this host, and if not, what would it say?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from vsmmu.cli import console
from vsmmu.cli.options import Question, VmCommand, parameters

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vsmmu.cli.inputs import Inputs
    from vsmmu.diagnostic import Diagnostic
    from vsmmu.qemu.outcome import Failure, Verdict, VsmmuOutcome

__all__ = ["command"]

_EXAMPLES = """\b
Examples:
  vsmmu check --host builtin:gb200 vm.sh
  vsmmu check --qemu 11.0 --trace < /proc/$(pidof qemu-system-aarch64)/cmdline
  vsmmu check -o json vm.sh | jq -r .failure.text
"""


_AS_WRITTEN: Final = "verdict: would not start as it is written (see the errors above)"


@click.command("check", cls=VmCommand, epilog=_EXAMPLES)
@parameters("check", Question)
def command(question: Question, trace: bool, quiet: bool, output: str) -> int:
    """Predict QEMU's verdict on the VM as it is written, with QEMU's own text and the remedy.

    Nothing is resolved: what is auto is left to QEMU, as at a real start. A libvirt domain is also held
    against what libvirt drops without a word, refuses, or lets through. Exit status 0 only if QEMU certainly
    starts and nothing is known to fail later; --assume-safe accepts what is unknown.
    """
    import msgspec

    from vsmmu.cli.inputs import read_inputs
    from vsmmu.diagnostic import by_severity
    from vsmmu.qemu.process import start

    inputs = read_inputs(question)
    verdict = start(inputs.machine, inputs.host, inputs.qemu, inputs.options.functions)
    startable = verdict.would_start(assume_safe=question.assume_safe)
    found = _lint(inputs)
    misfit = any(entry.severity == "error" for entry in found)
    verdict = msgspec.structs.replace(verdict, diagnostics=by_severity([*found, *verdict.diagnostics]))
    if output == "json":
        from vsmmu.cli.documents import verdict_document

        document = verdict_document(verdict, inputs.host.name, startable=startable and not misfit)
        console.answer(document)
    elif not quiet:
        console.say(*_text(verdict, trace=trace))
        console.say(
            _AS_WRITTEN if misfit and verdict.failure is None else _conclusion(verdict, startable=startable)
        )
    return 0 if startable and not misfit else 1


def _lint(inputs: Inputs) -> tuple[Diagnostic, ...]:
    if inputs.vm.domain is None:
        return ()
    from vsmmu.machine.domain.lint import lint

    return lint(inputs.vm.domain.reading, inputs.options.libvirt, inputs.qemu.version)


def _text(verdict: Verdict, *, trace: bool) -> Iterator[console.Line]:
    if trace:
        for step in verdict.trace:
            yield f"{step.phase:12} {step.device:16} {step.event}"
        yield ""
    for vsmmu in verdict.vsmmus:
        yield from _vsmmu(vsmmu, runs=verdict.failure is None)
    for found in verdict.diagnostics:
        if verdict.failure is None or found.why != verdict.failure.printed:
            yield from console.diagnosis(found)
    if verdict.failure is not None:
        yield from _failure(verdict.failure, verdict.qemu)


def _vsmmu(vsmmu: VsmmuOutcome, *, runs: bool) -> Iterator[console.Line]:
    values = " ".join(f"{name}={value}" for name, value in vsmmu.values.items())
    host = f", host SMMU {vsmmu.host_smmu}" if vsmmu.host_smmu and not vsmmu.host_smmu.startswith("?") else ""
    yield f"{vsmmu.device} on {vsmmu.primary_bus}{host}"
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
    yield f"  next: {failure.remedy} [{failure.code}]"


def _conclusion(verdict: Verdict, *, startable: bool) -> str:
    if startable and verdict.answer == "unknown":
        return "verdict: starts, if the unknown facts are as every known host has them"
    if startable:
        return "verdict: starts"
    if verdict.answer == "unknown":
        return "verdict: unknown (--assume-safe accepts that)"
    return "verdict: would not start" if verdict.answer == "refused" else "verdict: starts, and fails later"
