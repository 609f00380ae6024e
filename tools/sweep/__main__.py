# SPDX-License-Identifier: Apache-2.0
"""Sweep every job: each call fails with each errno, or is the last one; totals as JSON (``make sweep``).

Every call is tried, or each so manieth (``--every``, and ``--stride`` for readers). After a writer's run with
a failure, or a kill, the same program runs undisturbed: it must come to its end, nothing may be left over,
and every driver must be where it was. ``--sample`` draws a few calls of each job, with more kinds of errors.

Processes side by side take the calls of a job in small pieces; its totals are written down as soon as the
last of them is in, so that ``--resume`` goes on behind a sweep that was ended.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import importlib
import json
import multiprocessing
import os
import pkgutil
import random
import sys
import tempfile
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import vsmmu

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future

    from sweep.jobs import Job

    _Part = tuple[Counter[str], list[str]]

_WRITING: Final = ("writer", "probe", "hook")
_PIECE: Final = 6
_SOURCES: Final = (Path(vsmmu.__file__).parent, Path(__file__).parent)
#: A file system in memory: a sweep syncs files ten thousands of times.
_MEMORY: Final = "/dev/shm"  # noqa: S108


def main() -> int:
    """Run the jobs, and print each finding; 1 if there is any."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument(
        "--stride", type=int, default=1, help="of readers only each so manieth call is tried"
    )
    options.add_argument("--every", type=int, default=1, help="of the others only each so manieth is tried")
    options.add_argument("--sample", type=int, metavar="N", help="only N failures and a kill of each job")
    options.add_argument("--seed", type=int, default=1, help="of the sample")
    options.add_argument("--kind", action="append", help="reader, writer, probe or hook; default: all")
    options.add_argument("-k", default="", metavar="TEXT", help="only jobs with this in their name")
    options.add_argument("--write", type=Path, help="file for the totals; those of other jobs stay in it")
    options.add_argument(
        "--resume", action="store_true", help="not the jobs whose totals are in it of the same code"
    )
    options.add_argument(
        "-j", type=int, default=len(os.sched_getaffinity(0)), metavar="N", help="how many side by side"
    )
    asked = options.parse_args()
    import_all()
    from sweep.jobs import JOBS

    chosen = [job for job in JOBS if asked.k in job.name and (not asked.kind or job.kind in asked.kind)]
    code = _code()
    if asked.resume:
        chosen = [job for job in chosen if not _is_noted(asked.write, job, code, _every(job, asked))]
    findings: list[str] = []
    memory = _MEMORY if os.access(_MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="vsmmu-sweep-", dir=memory) as scratch:
        for job, totals, found in _swept(chosen, asked, scratch):
            findings += found
            sys.stdout.write(f"{job.name}: {json.dumps(totals)}\n")
            sys.stdout.flush()
            if asked.write:
                _note(asked.write, job, {"every": _every(job, asked), "code": code, **totals, "found": found})
    for finding in findings:
        sys.stdout.write(f"FOUND {finding}\n")
    return 1 if findings else 0


def _every(job: Job, asked: argparse.Namespace) -> int:
    every: int = asked.every if job.kind in _WRITING else asked.stride
    return every


def _swept(
    jobs: list[Job], asked: argparse.Namespace, scratch: str
) -> Iterator[tuple[Job, Counter[str], list[str]]]:
    """The totals and findings of each job, in order."""
    from sweep.runs import Sweep

    if asked.sample:
        for job in jobs:
            sweep = Sweep(job, Path(scratch) / "job")
            sweep.sample(asked.sample, random.Random(asked.seed))  # noqa: S311
            yield job, sweep.totals, sweep.findings
        return
    gc.freeze()
    with ProcessPoolExecutor(asked.j, multiprocessing.get_context("fork")) as pool:
        counted = [(job, pool.submit(_piece, job.name, scratch)) for job in jobs]
        pieces: list[tuple[Job, list[Future[_Part]]]] = []
        for job, first in counted:
            numbers = range(1, first.result()[0]["calls"] + 1, _every(job, asked))
            parts = [numbers[at : at + _PIECE] for at in range(0, len(numbers), _PIECE)]
            pieces.append((job, [first, *(pool.submit(_piece, job.name, scratch, part) for part in parts)]))
        try:
            for job, futures in pieces:
                done = [future.result() for future in futures]
                yield (
                    job,
                    sum((part[0] for part in done), Counter()),
                    [text for part in done for text in part[1]],
                )
        finally:
            pool.shutdown(cancel_futures=True)


def _piece(name: str, scratch: str, numbers: range | None = None) -> _Part:
    """Some calls of a job, in a folder of this process'; without numbers, how many there are."""
    from sweep.jobs import JOBS
    from sweep.runs import Sweep

    sweep = Sweep(next(job for job in JOBS if job.name == name), Path(scratch) / str(os.getpid()) / "job")
    if numbers is None:
        sweep.calls()
    for nth in numbers or ():
        sweep.at(nth)
    return sweep.totals, sweep.findings


def _code() -> str:
    """What is swept, and how: a digest of the sources."""
    files = sorted(path for folder in _SOURCES for path in folder.rglob("*.py"))
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in files)).hexdigest()[:12]


def _is_noted(file: Path, job: Job, code: str, every: int) -> bool:
    row = _noted(file).get(job.name)
    return row is not None and (row.get("code"), row["every"]) == (code, every)


def _noted(file: Path) -> dict[str, Any]:
    noted: dict[str, Any] = json.loads(file.read_bytes()) if file.exists() else {}
    return noted


def _note(file: Path, job: Job, row: dict[str, Any]) -> None:
    """Write down what a job came to, beside what others did that are still swept."""
    from sweep.jobs import JOBS

    before = _noted(file)
    noted = {other.name: before[other.name] for other in JOBS if other.name in before}
    noted[job.name] = {"kind": job.kind, **row}
    file.write_text(json.dumps(noted, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def import_all() -> None:
    """What a verb would import late is no call of its own then."""
    for module in pkgutil.walk_packages(vsmmu.__path__, "vsmmu."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)


if __name__ == "__main__":
    sys.exit(main())
