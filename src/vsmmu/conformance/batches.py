# SPDX-License-Identifier: Apache-2.0
"""Run batches in the lab: one boot, one emulated host a batch, many QEMUs on it."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from vsmmu.conformance.cases import Expected, Outcome, Run
from vsmmu.conformance.compare import Judgement, judge
from vsmmu.conformance.generate import Generator
from vsmmu.conformance.hosts import make_host
from vsmmu.conformance.predict import predict
from vsmmu.errors import HostLacks
from vsmmu.host.files import encode_host

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from vsmmu.host.facts import Host
    from vsmmu.lab import Session

__all__ = ["Batch", "generate", "play"]

_DIRECTORY: Final = "/tmp/conformance"  # noqa: S108 - in the lab
_OUTCOMES: Final = msgspec.json.Decoder(list[Outcome])


class Batch(NamedTuple):
    """Runs on one host, with what the model says of each."""

    host: Host
    runs: tuple[Run, ...]
    expected: tuple[Expected, ...]


def generate(seed: int, counts: Mapping[str, int], *, smmus: int = 24) -> Batch:
    """The batch of a seed: so many runs of each kind."""
    source = random.Random(seed)  # noqa: S311 - reproducible on purpose
    host = make_host(source, f"generated-{seed}", smmus)
    generator = Generator(source, host, str(seed))
    runs = [run for kind, count in counts.items() for run in generator.runs(kind, count)]
    return of(host, runs)


def of(host: Host, runs: Iterable[Run]) -> Batch:
    """A batch of given runs."""
    listed = tuple(runs)
    return Batch(host, listed, tuple(predict(run, host) for run in listed))


def play(
    lab: Session, batch: Batch, *, workers: int = 2, timeout: float = 1800.0
) -> list[tuple[Judgement, Outcome]]:
    """Run a batch and judge it."""
    lab.put(
        {
            f"{_DIRECTORY}/host.json": encode_host(batch.host),
            f"{_DIRECTORY}/runs.json": msgspec.json.encode(batch.runs),
        }
    )
    command = ["vsmmu", "emulate", "-q", "--host", f"{_DIRECTORY}/host.json", "--"]
    command += ["python3", "-m", "vsmmu.conformance.guest", f"{_DIRECTORY}/runs.json"]
    result = lab.run([*command, f"{_DIRECTORY}/outcomes.json", str(workers)], timeout=timeout)
    if result.status:
        why = result.stderr.decode(errors="replace")[-600:]
        raise HostLacks("conformance-lab", "the batch could not be run in the lab", why=why)
    outcomes = _OUTCOMES.decode(lab.get(f"{_DIRECTORY}/outcomes.json"))
    return [
        (judge(run, expected, outcome), outcome)
        for run, expected, outcome in zip(batch.runs, batch.expected, outcomes, strict=True)
    ]
