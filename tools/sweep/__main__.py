# SPDX-License-Identifier: Apache-2.0
"""Sweep every job: each call fails with each errno, or is the last one; totals as JSON (``make sweep``).

For writers, probes and the hook every call is tried, for readers a sample (``--stride``). After each run with
a failure, or a kill, the same program runs undisturbed: it must come to its end, nothing may be left over,
and every driver must be where it was. ``--sample`` draws a few calls of each job, with more kinds of errors.
"""

from __future__ import annotations

import argparse
import errno
import importlib
import json
import pkgutil
import random
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Final

import vsmmu
from sweep.supervise import KILL, Pause, run

if TYPE_CHECKING:
    from sweep.jobs import Job
    from sweep.supervise import Ended, Moment

ERRORS: Final = ("ENOENT", "EACCES", "EIO", "ENOSPC", "EMFILE", "EINTR")
#: What Linux says of files, of the host's state, and of a disk; for samples.
MORE_ERRORS: Final = (
    "ENOENT EACCES EIO ENOSPC EMFILE EINTR EPERM ENOTDIR EISDIR ENAMETOOLONG ELOOP EDQUOT EROFS ENFILE "
    "ENOMEM EBUSY EFBIG ENODEV ENXIO ESTALE EXDEV ETXTBSY EPIPE"
).split()
_WRITING: Final = ("writer", "probe", "hook")


def main() -> int:
    """Run the jobs, and print each finding; 1 if there is any."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument(
        "--stride", type=int, default=7, help="of readers only each so manieth call is tried"
    )
    options.add_argument("--every", type=int, default=1, help="of the others only each so manieth is tried")
    options.add_argument("--sample", type=int, metavar="N", help="only N failures and a kill of each job")
    options.add_argument("--seed", type=int, default=1, help="of the sample")
    options.add_argument("--kind", action="append", help="reader, writer, probe or hook; default: all")
    options.add_argument("-k", default="", metavar="TEXT", help="only jobs with this in their name")
    options.add_argument("--write", type=Path, help="file for the totals; those of other jobs stay in it")
    asked = options.parse_args()
    import_all()
    from sweep.jobs import JOBS

    findings: list[str] = []
    with tempfile.TemporaryDirectory(prefix="vsmmu-sweep-") as scratch:
        for job in JOBS:
            if asked.k in job.name and (not asked.kind or job.kind in asked.kind):
                sweep = Sweep(job, Path(scratch) / "job")
                every = asked.every if job.kind in _WRITING else asked.stride
                if asked.sample:
                    sweep.sample(asked.sample, random.Random(asked.seed))  # noqa: S311
                else:
                    sweep.all(every)
                findings += sweep.findings
                sys.stdout.write(f"{job.name}: {json.dumps(sweep.totals)}\n")
                sys.stdout.flush()
                if asked.write:
                    _note(asked.write, job, {"every": every, **sweep.totals}, sweep.findings)
    for finding in findings:
        sys.stdout.write(f"FOUND {finding}\n")
    return 1 if findings else 0


def _note(file: Path, job: Job, totals: dict[str, int], findings: list[str]) -> None:
    """Write down what a job came to, beside what others did that are still swept."""
    from sweep.jobs import JOBS

    before = json.loads(file.read_bytes()) if file.exists() else {}
    noted = {other.name: before[other.name] for other in JOBS if other.name in before}
    noted[job.name] = {"kind": job.kind, **totals, "found": findings}
    file.write_text(json.dumps(noted, indent=1, sort_keys=True) + "\n", encoding="utf-8")


class Sweep:
    """The runs of one job, and what was found."""

    def __init__(self, job: Job, folder: Path) -> None:
        self.job, self.folder = job, folder
        self.findings: list[str] = []
        self.totals = Counter[str]()

    def all(self, stride: int) -> None:
        """Each failure and each kill."""
        for nth in range(1, self._calls() + 1, stride):
            for name in ERRORS:
                self._failing(nth, name)
            if self.job.target:
                self._killed(nth)

    def sample(self, count: int, dice: random.Random) -> None:
        """Some failures, of any kind, and a kill."""
        calls = self._calls()
        for _ in range(count):
            self._failing(dice.randint(1, calls), dice.choice(MORE_ERRORS))
        if self.job.target:
            self._killed(dice.randint(1, calls))

    def _calls(self) -> int:
        """How many calls an undisturbed run makes; their order is looked at."""
        from sweep.power import uncertain

        moments = self._undisturbed("first", anew=True)
        self.totals["calls"] = len(moments)
        if self.job.target:
            for text in uncertain(moments, str(self.folder)):
                self._found("power", text)
        return len(moments)

    def _undisturbed(self, after: str, *, anew: bool = False) -> tuple[Moment, ...]:
        from sweep.jobs import faults_of, leftovers, prepare

        if anew:
            prepare(self.folder, self.job)
        pause = Pause()
        ended = run(lambda: self.job.program(pause), self.folder, pause=pause)
        faults = [*faults_of(self.job, self.folder, ended), *leftovers(self.folder)]
        if self.job.kind == "probe" and self._is_displaced():
            faults.append("a driver is not where it was")
        if self.job.target and ended.status:
            faults.append(f"status {ended.status}")
        for fault in faults:
            self._found(f"run after {after}", fault, ended.err)
        return ended.moments

    def _is_displaced(self) -> bool:
        from sweep.made_up_host import drivers

        return drivers(self.folder / "host") != drivers(None)

    def _failing(self, nth: int, name: str) -> None:
        from sweep.jobs import faults_of, prepare

        prepare(self.folder, self.job)
        pause = Pause()
        number = getattr(errno, name)
        ended = run(
            lambda: self.job.program(pause), self.folder, lambda at, _: number if at == nth else 0, pause
        )
        self.totals["failures"] += 1
        if len(ended.moments) < nth:
            self.totals["not reached"] += 1
            return
        moment = ended.moments[nth - 1]
        spoke = not moment.paths[0].endswith(".err")
        faults = faults_of(self.job, self.folder, ended, spoke=spoke)
        for fault in faults:
            self._found(f"{name} of call {nth} {moment}", fault, ended.err)
        if self.job.target:
            self._undisturbed(f"{name} of call {nth} {moment}")

    def _killed(self, nth: int) -> None:
        from sweep.jobs import prepare

        prepare(self.folder, self.job)
        pause = Pause()
        ended = run(
            lambda: self.job.program(pause), self.folder, lambda at, _: KILL if at == nth else 0, pause
        )
        self.totals["kills"] += 1
        if ended.status != -9:
            self._found(f"kill at call {nth}", f"status {ended.status}", ended.err)
        for fault in self._remains(ended):
            self._found(f"kill at call {nth} {ended.moments[-1]}", fault)
        self._undisturbed(f"kill at call {nth} {ended.moments[-1]}")

    def _remains(self, ended: Ended) -> list[str]:
        """What a killed program may not leave: half a file, a driver elsewhere without a journal."""
        from sweep.jobs import faults_of

        return [text for text in faults_of(self.job, self.folder, ended) if not text.startswith("status -9")]

    def _found(self, when: str, what: str, said: str = "") -> None:
        self.totals["findings"] += 1
        self.findings.append(f"{self.job.name}: {when}: {what} {said.strip()[-1500:]}")


def import_all() -> None:
    """What a verb would import late is no call of its own then."""
    for module in pkgutil.walk_packages(vsmmu.__path__, "vsmmu."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)


if __name__ == "__main__":
    sys.exit(main())
