# SPDX-License-Identifier: Apache-2.0
"""Whole VMs after ``vsmmu fix``: those of which the model says that they start now, to be started."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import msgspec

from vsmmu.errors import VsmmuError
from vsmmu.machine.command_line.argv import read_words
from vsmmu.mend.mending import Wishes, mend
from vsmmu.qemu.versions import LATEST
from vsmmu.smmuv3.properties import PROPERTIES

if TYPE_CHECKING:
    from conformance.cases import Run
    from conformance.written import WrittenVms
    from vsmmu.host.facts import Host
    from vsmmu.machine.command_line.argv import CommandLine

__all__ = ["mended", "read_run"]

#: Every other VM is made accelerated, as ``vsmmu fix --accelerate --unpin`` does.
_WISHES = (Wishes(), Wishes(accelerate=True, unpin=frozenset(PROPERTIES)))


def read_run(run: Run) -> CommandLine:
    """The VM of a run.

    :raise InputRefused: for words that describe no VM.
    """
    return read_words(run.argv, partial(_file, run))


def _file(run: Run, name: str) -> bytes:
    return run.files[name].encode()


def mended(source: WrittenVms, host: Host, count: int) -> list[Run]:
    """Make ``count`` VMs and mend them; those that the model then says start."""
    runs = (_mended(source.run(), host, _WISHES[number % len(_WISHES)]) for number in range(count))
    return [run for run in runs if run is not None]


def _mended(run: Run, host: Host, wishes: Wishes) -> Run | None:
    try:
        mending = mend(read_run(run), host, LATEST, wishes=wishes)
    except VsmmuError:  # words that are no VM, or functions that cannot have a vSMMU on this host
        return None
    line = mending.vm.command_line
    if line is None or mending.verdict.answer != "starts":
        return None
    done = "as it was" if not mending.applied else "accelerated" if wishes.accelerate else "mended"
    name = run.name.replace("written", "mended")
    return msgspec.structs.replace(run, name=name, kind=f"fix: {done}", argv=line.words)
