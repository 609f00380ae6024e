# SPDX-License-Identifier: Apache-2.0
"""``python -m vsmmu.conformance``: run cases in the lab until there are enough, print the table."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from vsmmu.errors import VsmmuError

if TYPE_CHECKING:
    from vsmmu.conformance.batches import Batch
    from vsmmu.conformance.cases import Outcome
    from vsmmu.conformance.compare import Judgement
    from vsmmu.lab import Session

#: Runs of each kind in a batch; together some 200 cases.
COUNTS = {"packed": 4, "cold": 14, "first-decides": 6, "hot-plug": 2, "sequence": 4, "resolve": 6}


@click.command()
@click.option("--cases", default=2000, show_default=True, help="Stop when so many different ones were run.")
@click.option(
    "--seed", default=1, show_default=True, help="Of the first batch; the next has the next number."
)
@click.option("--fixed/--no-fixed", default=True, help="Begin with the cases that are not left to chance.")
@click.option("--kernel", type=click.Path(exists=True, path_type=Path), help="A prebuilt kernel for the lab.")
@click.option("--record", type=click.Path(path_type=Path), help="Write what disagrees here, as regressions.")
@click.option("--workers", default=2, show_default=True, help="QEMUs at a time.")
def command(
    cases: int, seed: int, fixed: bool, kernel: Path | None, record: Path | None, workers: int
) -> None:
    """Hold the model of QEMU against the real one."""
    from vsmmu.conformance.batches import generate
    from vsmmu.conformance.table import render, tally
    from vsmmu.lab import LabConfig, Session

    judged: dict[tuple[str, ...], Judgement] = {}
    disagreed: list[dict[str, Any]] = []
    with Session(LabConfig(kernel=kernel)) as lab:
        if fixed:
            _run(lab, _fixed(), judged, disagreed, workers)
        while sum(judgement.cases for judgement in judged.values()) < cases:
            _run(lab, generate(seed, COUNTS), judged, disagreed, workers)
            seed += 1
    result = tally(judged.values())
    click.echo(render(result))
    if record is not None and disagreed:
        record.write_bytes(msgspec.json.format(msgspec.json.encode(disagreed), indent=1))
    sys.exit(1 if result.complaints else 0)


def _fixed() -> Batch:
    from vsmmu.conformance.batches import of
    from vsmmu.conformance.fixed import fixed_runs
    from vsmmu.conformance.fixed_host import fixed_host

    return of(fixed_host(), fixed_runs())


def _run(
    lab: Session,
    batch: Batch,
    judged: dict[tuple[str, ...], Judgement],
    disagreed: list[dict[str, Any]],
    workers: int,
) -> None:
    from vsmmu.conformance.batches import play

    def seen(judgement: Judgement, outcome: Outcome) -> None:
        # The same command line on the same host is the same case.
        run = judgement.run
        judged.setdefault((batch.host.name, *run.argv, str(run.steps)), judgement)
        for complaint in judgement.complaints:
            click.echo(f"{run.name}: {complaint}", err=True)
        if judgement.complaints:
            says = judgement.complaints
            disagreed.append({"host": batch.host.name, "run": run, "says": says, "outcome": outcome})

    began = time.monotonic()
    play(lab, batch, workers=workers, seen=seen)
    total = sum(judgement.cases for judgement in judged.values())
    click.echo(f"{batch.host.name}: {total} cases so far, {time.monotonic() - began:.0f} s", err=True)


if __name__ == "__main__":
    try:
        command()
    except VsmmuError as error:
        click.echo(f"vsmmu: {error}", err=True)
        sys.exit(error.exit_status)
