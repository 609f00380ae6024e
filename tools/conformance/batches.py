# SPDX-License-Identifier: Apache-2.0
"""Run batches in the lab: one boot, one emulated host a batch, many QEMUs on it."""

from __future__ import annotations

import random
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from conformance import guest
from conformance.cases import Expected, Outcome, Run
from conformance.compare import Judgement, judge
from conformance.generate import Generator
from conformance.hosts import make_host
from conformance.mended import mended
from conformance.predict import predict
from conformance.written import WrittenVms
from vsmmu.errors import HostLacks
from vsmmu.host.files import encode_host

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from vsmmu.host.facts import Host
    from vsmmu.lab import Session

__all__ = ["MENDED", "WRITTEN", "Batch", "generate", "play"]

#: The kinds that :mod:`conformance.written` makes, as it makes them and after a mend; all others are
#: :mod:`conformance.generate`'s.
WRITTEN: Final = "written"
MENDED: Final = "mended"

_DIRECTORY: Final = "/tmp/conformance"  # noqa: S108 - in the lab
_OUTCOME: Final = msgspec.json.Decoder(Outcome)


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
    own = {kind: count for kind, count in counts.items() if kind not in (WRITTEN, MENDED)}
    runs = [run for kind, count in own.items() for run in generator.runs(kind, count)]
    written = WrittenVms(source, host, str(seed), lab=True)
    runs += [written.run() for _ in range(counts.get(WRITTEN, 0))]
    runs += mended(written, host, counts.get(MENDED, 0))
    return of(host, runs)


def of(host: Host, runs: Iterable[Run]) -> Batch:
    """A batch of given runs."""
    listed = tuple(runs)
    return Batch(host, listed, tuple(predict(run, host) for run in listed))


def play(
    lab: Session,
    batch: Batch,
    *,
    workers: int = 2,
    timeout: float = 3000.0,
    seen: Callable[[Judgement, Outcome], None] | None = None,
) -> list[Judgement]:
    """Run a batch and judge it.

    :param seen: called for each run as soon as it has ended.
    """
    lab.put(
        {
            f"{_DIRECTORY}/guest.py": Path(guest.__file__),
            f"{_DIRECTORY}/host.json": encode_host(batch.host),
            f"{_DIRECTORY}/runs.json": msgspec.json.encode(batch.runs),
        }
    )
    known = {run.name: (run, expected) for run, expected in zip(batch.runs, batch.expected, strict=True)}
    judged: dict[str, Judgement] = {}
    pending = bytearray()

    def receive(data: bytes) -> None:
        pending.extend(data)
        while b"\n" in pending:
            line, _, rest = bytes(pending).partition(b"\n")
            pending[:] = rest
            outcome = _OUTCOME.decode(line)
            judgement = judged[outcome.name] = judge(*known[outcome.name], outcome)
            if seen is not None:
                seen(judgement, outcome)

    command = ["vsmmu", "emulate", "-q", "--host", f"{_DIRECTORY}/host.json", "--"]
    command += ["python3", f"{_DIRECTORY}/guest.py", f"{_DIRECTORY}/runs.json", str(workers)]
    result = lab.run(command, timeout=timeout, on_stdout=receive)
    if result.status or len(judged) < len(known):
        why = result.stderr.decode(errors="replace")[-600:]
        raise HostLacks(
            "conformance-lab",
            "the batch could not be run in the lab",
            why=why,
            next="run it again with one worker; the lab's console may say more",
        )
    return [judged[run.name] for run in batch.runs]
