# SPDX-License-Identifier: Apache-2.0
"""``python -m conformance``: run cases in the lab until there are enough, print the table."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vsmmu.errors import VsmmuError
from vsmmu.qemu.versions import LATEST

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conformance.batches import Batch
    from conformance.cases import Outcome, Run
    from conformance.compare import Judgement
    from vsmmu.lab import Session

__all__ = ["command"]

#: The host whose cases are not left to chance.
FIXED = "fixed"
#: Runs of each kind in a batch; together some 440 cases, of which hot-plug is the cheapest.
COUNTS = {"packed": 4, "cold": 8, "first-decides": 3, "hot-plug": 6, "sequence": 3, "resolve": 4}


@click.command()
@click.option("--cases", default=2000, show_default=True, help="Stop when so many different ones were run.")
@click.option(
    "--seed", default=1, show_default=True, help="Of the first batch; the next has the next number."
)
@click.option("--fixed/--no-fixed", default=True, help="Begin with the cases that are not left to chance.")
@click.option("--kernel", type=click.Path(exists=True, path_type=Path), help="A prebuilt kernel for the lab.")
@click.option("--save", type=click.Path(file_okay=False, path_type=Path),
              help="Write QEMU's answers here: of all fixed cases, of others that disagree.")  # fmt: skip
@click.option("--workers", default=2, show_default=True, help="QEMUs at a time.")
def command(cases: int, seed: int, fixed: bool, kernel: Path | None, save: Path | None, workers: int) -> None:
    """Hold the model of QEMU against the real one."""
    from conformance.batches import generate
    from conformance.table import render, tally
    from vsmmu.lab import LabConfig, Session

    judged: dict[tuple[str, ...], Judgement] = {}
    with Session(LabConfig(kernel=kernel)) as lab:
        if fixed:
            for batch in _fixed():
                _run(lab, batch, judged, workers, save)
        while sum(judgement.cases for judgement in judged.values()) < cases:
            _run(lab, generate(seed, COUNTS), judged, workers, save)
            seed += 1
    result = tally(judged.values())
    click.echo(render(result))
    sys.exit(1 if result.complaints else 0)


def _fixed() -> Iterator[Batch]:
    from conformance.batches import of
    from conformance.fixed import builtin_runs, fixed_runs
    from conformance.fixed_host import fixed_host
    from vsmmu.host.builtin import builtin_host, builtin_names

    yield of(fixed_host(), fixed_runs())
    for name in builtin_names():
        host = builtin_host(name)
        yield of(host, builtin_runs(host))


def _run(
    lab: Session, batch: Batch, judged: dict[tuple[str, ...], Judgement], workers: int, save: Path | None
) -> None:
    from conformance import recorded
    from conformance.batches import play

    kept: list[tuple[Run, Outcome]] = []

    def seen(judgement: Judgement, outcome: Outcome) -> None:
        # The same command line on the same host is the same case.
        run = judgement.run
        judged.setdefault((batch.host.name, *run.argv, str(run.steps)), judgement)
        for complaint in judgement.complaints:
            click.echo(f"{run.name}: {complaint}", err=True)
        if judgement.complaints or batch.host.name == FIXED:
            kept.append((run, outcome))

    began = time.monotonic()
    play(lab, batch, workers=workers, seen=seen)
    total = sum(judgement.cases for judgement in judged.values())
    click.echo(f"{batch.host.name}: {total} cases so far, {time.monotonic() - began:.0f} s", err=True)
    if save is not None and kept:
        kept.sort(key=lambda pair: pair[0].name)
        data = recorded.encode(recorded.record(str(LATEST), batch.host, kept))
        (save / f"{batch.host.name}.json").write_bytes(data)


if __name__ == "__main__":
    try:
        command()
    except VsmmuError as error:
        click.echo(f"vsmmu: {error}", err=True)
        sys.exit(error.exit_status)
