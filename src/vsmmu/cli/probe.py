# SPDX-License-Identifier: Apache-2.0
"""``vsmmu probe``: read the SMMUs' registers from the running kernel and write the facts file."""

from __future__ import annotations

import contextlib
import signal
import sys
from typing import TYPE_CHECKING, NoReturn

import click

from vsmmu.cli import console
from vsmmu.cli.options import parameters

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from vsmmu.host.facts import Host
    from vsmmu.probe.execute import ProbeOutcome, ProbePlan, Report

__all__ = ["command"]

_EPILOG = """\b
Examples:
  vsmmu probe --dry-run             which functions would be asked, and what that does to them
  vsmmu probe                       one idle vfio function for each host SMMU
  vsmmu probe 0000:01:00.0          this one (ATS support is a matter of each function)
  vsmmu probe --bind 0000:01:00.0   take it from its driver for a moment, then give it back

\b
Asking binds the function to an iommufd for some milliseconds, which resets it; a VM that starts with it in
that moment is refused. Functions in use are never touched, drivers are only changed for --bind, and what an
interrupted probe has left is put back by the next. The facts go to /run/vsmmu/host.json (or the directory
VSMMU_RUN_DIR), where show, resolve and check find them.
"""


@click.command(name="probe", epilog=_EPILOG)
@parameters("probe")
def command(devices: tuple[str, ...], bind: tuple[str, ...], dry_run: bool, output: str) -> int:
    """Ask the kernel what its SMMUs are: one idle function on a vfio driver for each of them."""
    from vsmmu.probe.system_root import Tree

    if dry_run:
        from vsmmu.probe.execute import make_plan

        _print_plan(make_plan(Tree(), devices, bind), output)
        return 0
    from vsmmu.probe.execute import probe

    with _termination_undoes():
        report = probe(Tree(), devices, bind)
    _print_report(report, output)
    return _refusals(report)


def _print_plan(plan: ProbePlan, output: str) -> None:
    if output == "json":
        from vsmmu.probe.documents import plan_document

        console.answer(plan_document(plan))
        return
    console.say(*(f"{number:2}. {line}" for number, line in enumerate(plan.describe(), 1)))


def _print_report(report: Report, output: str) -> None:
    for step in report.undone:
        console.remark(f"an interrupted probe was undone: {step.describe_undo()}")
    if output == "json":
        console.answer(report.host)
    else:
        for outcome in report.outcomes:
            _print_outcome(report.host, outcome)
    console.remark(f"wrote {report.facts_path}")


def _print_outcome(host: Host, outcome: ProbeOutcome) -> None:
    if outcome.answer is None:
        return
    from vsmmu.probe.documents import answer_lines

    console.say(*answer_lines(host, outcome.answer))


def _refusals(report: Report) -> int:
    """Show every reason; the first decides the exit status."""
    errors = [outcome.error for outcome in report.outcomes if outcome.error is not None]
    errors += [report.stuck] if report.stuck is not None else []
    for error in errors:
        console.remark(error, "error")
    return errors[0].exit_status if errors else 0


@contextlib.contextmanager
def _termination_undoes() -> Iterator[None]:
    """SIGTERM and SIGHUP end the probe by an exception, so that drivers are put back on the way out."""

    def stop(number: int, _frame: FrameType | None) -> NoReturn:
        sys.exit(128 + number)

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
