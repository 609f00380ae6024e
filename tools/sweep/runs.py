# SPDX-License-Identifier: Apache-2.0
"""The runs of one job: undisturbed, with a call that fails, killed at a call; and what was found."""

from __future__ import annotations

import errno
from collections import Counter
from typing import TYPE_CHECKING, Final

from sweep.jobs import faults_of, leftovers, prepare
from sweep.made_up_host import drivers
from sweep.power import uncertain
from sweep.supervise import KILL, Pause, run

if TYPE_CHECKING:
    import random
    from pathlib import Path

    from sweep.jobs import Job
    from sweep.supervise import Ended, Moment

__all__ = ["ERRORS", "Sweep"]

ERRORS: Final = ("ENOENT", "EACCES", "EIO", "ENOSPC", "EMFILE", "EINTR")
#: What Linux says of files, of the host's state, and of a disk; for samples.
_MORE_ERRORS: Final = (
    "ENOENT EACCES EIO ENOSPC EMFILE EINTR EPERM ENOTDIR EISDIR ENAMETOOLONG ELOOP EDQUOT EROFS ENFILE "
    "ENOMEM EBUSY EFBIG ENODEV ENXIO ESTALE EXDEV ETXTBSY EPIPE"
).split()


class Sweep:
    """The runs of one job, and what was found."""

    def __init__(self, job: Job, folder: Path) -> None:
        self.job, self.folder = job, folder
        self.findings: list[str] = []
        self.totals = Counter[str]()

    def all(self, stride: int) -> None:
        """Each failure and each kill."""
        for nth in range(1, self.calls() + 1, stride):
            self.at(nth)

    def at(self, nth: int) -> None:
        """Each failure of one call, and a kill before it."""
        for name in ERRORS:
            self._failing(nth, name)
        if self.job.target:
            self._killed(nth)

    def sample(self, count: int, dice: random.Random) -> None:
        """Some failures, of any kind, and a kill."""
        calls = self.calls()
        for _ in range(count):
            self._failing(dice.randint(1, calls), dice.choice(_MORE_ERRORS))
        if self.job.target:
            self._killed(dice.randint(1, calls))

    def calls(self) -> int:
        """How many calls an undisturbed run makes; their order is looked at."""
        moments = self._undisturbed("first", anew=True)
        self.totals["calls"] = len(moments)
        if self.job.target:
            for text in uncertain(moments, str(self.folder)):
                self._found("power", text)
        return len(moments)

    def _undisturbed(self, after: str, *, anew: bool = False) -> tuple[Moment, ...]:
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
        return drivers(self.folder / "host") != drivers(None)

    def _failing(self, nth: int, name: str) -> None:
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
        return [text for text in faults_of(self.job, self.folder, ended) if not text.startswith("status -9")]

    def _found(self, when: str, what: str, said: str = "") -> None:
        self.totals["findings"] += 1
        self.findings.append(f"{self.job.name}: {when}: {what} {said.strip()[-1500:]}")
