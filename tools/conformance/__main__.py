# SPDX-License-Identifier: Apache-2.0
"""``python -m conformance``: run cases in the lab, or with a QEMU binary on this machine; print the table."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from vsmmu.errors import VsmmuError
from vsmmu.qemu.versions import LATEST

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conformance.batches import Batch
    from conformance.cases import Outcome, Run
    from conformance.compare import Judgement
    from vsmmu.host.facts import Host
    from vsmmu.lab import Session

__all__ = ["command"]

#: The host whose cases are not left to chance.
FIXED = "fixed"
#: Runs of each kind in a batch; together some 480 cases, of which hot-plug is the cheapest.
COUNTS = {
    "packed": 4,
    "cold": 8,
    "first-decides": 3,
    "hot-plug": 6,
    "sequence": 3,
    "resolve": 4,
    "written": 40,
}
#: What ``--only`` chooses.
_ONLY = {"written": {"written": 100}, "mended": {"mended": 200}}


class _Wish(NamedTuple):
    """The options of the command."""

    cases: int
    seed: int
    fixed: bool
    only: str | None
    kernel: Path | None
    save: Path | None
    workers: int
    qemu: str
    table: Path | None
    answers: tuple[Path, ...]


@click.command()
@click.option("--cases", default=2000, show_default=True, help="Stop when so many different ones were run.")
@click.option(
    "--seed", default=1, show_default=True, help="Of the first batch; the next has the next number."
)
@click.option("--fixed/--no-fixed", default=True, help="Begin with the cases that are not left to chance.")
@click.option("--only", type=click.Choice(list(_ONLY)), default=None,
              help="Whole VMs as operators write them, or those that start after a fix.")  # fmt: skip
@click.option("--kernel", type=click.Path(exists=True, path_type=Path), help="A prebuilt kernel for the lab.")
@click.option("--save", type=click.Path(file_okay=False, path_type=Path),
              help="Write QEMU's answers here: of all fixed cases, of others that disagree.")  # fmt: skip
@click.option("--workers", default=2, show_default=True, help="QEMUs at a time.")
@click.option("--qemu", default="", metavar="BINARY",
              help="A binary of this machine: no lab, and nothing behind the need for KVM.")  # fmt: skip
@click.option("--table", type=click.Path(dir_okay=False, path_type=Path),
              help="A page of the manual into which the table is put.")  # fmt: skip
@click.option("--answers", multiple=True, type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="Saved answers that the model is judged by again, before anything is run.")  # fmt: skip
def command(**options: Any) -> None:
    """Hold the model of QEMU against the real one."""
    from conformance.table import into_page, render, tally

    wish = _Wish(**options)
    judged: dict[tuple[str, ...], Judgement] = {}
    for path in wish.answers:
        _again(path, judged)
    if wish.qemu:
        _here(wish, judged)
    elif wish.cases or not wish.answers:
        _in_lab(wish, judged)
    result = tally(judged.values())
    click.echo(render(result))
    if wish.table is not None:
        into_page(wish.table, result, "here" if wish.qemu else "lab")
    sys.exit(1 if result.complaints else 0)


def _again(path: Path, judged: dict[tuple[str, ...], Judgement]) -> None:
    """Judge the model by what a QEMU once answered."""
    from conformance import recorded
    from conformance.compare import judge
    from conformance.predict import predict

    record = recorded.decode(path.read_bytes())
    for answer in record.answers:
        run, outcome = answer.run, answer.outcome
        key = (record.host.name, *run.argv, str(run.steps), str(run.files))
        judged.setdefault(key, judge(run, predict(run, record.host), outcome))


def _in_lab(wish: _Wish, judged: dict[tuple[str, ...], Judgement]) -> None:
    """Run batches until there are enough cases."""
    from conformance.batches import generate
    from vsmmu.lab import LabConfig, Session

    seed = wish.seed
    with Session(LabConfig(kernel=wish.kernel)) as lab:
        for batch in _fixed() if wish.fixed else ():
            _run(lab, batch, judged, wish)
        while sum(judgement.cases for judgement in judged.values()) < wish.cases:
            _run(lab, generate(seed, _ONLY[wish.only] if wish.only else COUNTS), judged, wish)
            seed += 1


def _fixed() -> Iterator[Batch]:
    from conformance.batches import of
    from conformance.fixed import builtin_runs, fixed_runs
    from conformance.fixed_host import fixed_host
    from vsmmu.host.builtin import builtin_host, builtin_names

    yield of(fixed_host(), fixed_runs())
    for name in builtin_names():
        host = builtin_host(name)
        yield of(host, builtin_runs(host))


def _run(lab: Session, batch: Batch, judged: dict[tuple[str, ...], Judgement], wish: _Wish) -> None:
    from conformance.batches import play

    kept: list[tuple[Run, Outcome]] = []

    def seen(judgement: Judgement, outcome: Outcome) -> None:
        # The same command line on the same host is the same case.
        run = judgement.run
        judged.setdefault((batch.host.name, *run.argv, str(run.steps), str(run.files)), judgement)
        for complaint in judgement.complaints:
            click.echo(f"{run.name}: {complaint}", err=True)
        if judgement.complaints or batch.host.name == FIXED or wish.only:
            kept.append((run, outcome))

    began = time.monotonic()
    play(lab, batch, workers=wish.workers, seen=seen)
    total = sum(judgement.cases for judgement in judged.values())
    click.echo(f"{batch.host.name}: {total} cases so far, {time.monotonic() - began:.0f} s", err=True)
    if wish.save is not None and kept:
        _save(wish.save, batch.host.name, str(LATEST), batch.host, kept)


def _here(wish: _Wish, judged: dict[tuple[str, ...], Judgement]) -> None:
    """Fast mode: the fixed cases and so many whole VMs, with a binary of this machine."""
    from conformance.batches import MENDED
    from conformance.here import NOBODY, fast_runs, play_here
    from vsmmu.monitor.binary_cache import find
    from vsmmu.monitor.binary_probe import ask

    binary = find(wish.qemu)
    installed = ask(binary)
    runs = fast_runs(wish.seed, wish.cases, fixed=wish.fixed and not wish.only, mend=wish.only == MENDED)
    kept: list[tuple[Run, Outcome]] = []
    for judgement, outcome in play_here(binary, runs, installed.qemu, wish.workers):
        run = judgement.run
        judged.setdefault((NOBODY.name, *run.argv, str(run.steps), str(run.files)), judgement)
        for complaint in judgement.complaints:
            click.echo(f"{run.name}: {complaint}", err=True)
        if judgement.complaints or wish.only:
            kept.append((run, outcome))
    if wish.save is not None and kept:
        _save(wish.save, f"here-{wish.seed}", installed.version, NOBODY, kept)


def _save(directory: Path, name: str, qemu: str, host: Host, kept: list[tuple[Run, Outcome]]) -> None:
    from conformance import recorded

    kept.sort(key=lambda pair: pair[0].name)
    (directory / f"{name}.json").write_bytes(recorded.encode(recorded.record(qemu, host, kept)))


if __name__ == "__main__":
    try:
        command()
    except VsmmuError as error:
        click.echo(f"vsmmu: {error}", err=True)
        sys.exit(error.exit_status)
