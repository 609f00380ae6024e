# SPDX-License-Identifier: Apache-2.0
"""Runs inside the lab: ``vsmmu probe --bind`` killed (SIGKILL) before its n-th call, and the next probe.

``crash_probe.py ADDRESS LIMIT``: at LIMIT of the calls that write, open for writing or ask a device, and at a
call with the function bound to an iommufd. Prints JSON: how many calls there are, the state before, and for
each point the call, how the probe ended, the state after the crash and after the next call.
``crash_probe.py ADDRESS FIRST-LAST``: at each of these calls, counted from the last one, which is 1.
``crash_probe.py ADDRESS TEXT``: only be killed at the first call with TEXT in its path; 137 if it was.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from sweep.supervise import KILL, run
from vsmmu.cli.main import run as vsmmu
from vsmmu.errors import VsmmuError
from vsmmu.host.files import load_host
from vsmmu.probe.steps import current_override
from vsmmu.probe.system_root import Tree

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sweep.supervise import Ended, Moment

TREE = Tree()
#: What changes something, by the call's name; openat only where it opens for writing.
CHANGES = {"write", "pwrite64", "fsync", "fdatasync", "rename", "renameat", "renameat2", "unlink", "unlinkat",
           "mkdir", "mkdirat", "ftruncate", "fchmod", "flock", "ioctl"}  # fmt: skip


def changes(moment: Moment) -> bool:
    """Whether a kill at this call leaves something else than one before it."""
    if moment.name == "openat":
        return bool(moment.arguments[2] & (os.O_WRONLY | os.O_RDWR))
    return moment.name in CHANGES


def is_ioctl(moment: Moment, devices: tuple[str, ...]) -> bool:
    """Whether a device is asked; open(3) of Python asks every file whether it is a terminal."""
    return moment.name == "ioctl" and moment.paths[0].startswith(devices)


def counts(moment: Moment) -> bool:
    """Whether a call has a number: there are as many reads of the kernel's log as lines, more each time."""
    return (moment.name, *moment.paths) != ("read", "/dev/kmsg")


def at_call(number: int) -> Callable[[int, Moment], int]:
    """Kill at the call with this number, from 1."""
    numbers = itertools.count(1)
    return lambda _, moment: KILL if counts(moment) and next(numbers) == number else 0


def points(moments: Sequence[Moment], asked: str) -> list[int]:
    """The numbers of the calls to be killed at, from 1: these, or some of those that change something."""
    if "-" in asked:
        first, last = map(int, asked.split("-"))
        return [number for number in range(len(moments) - last + 1, len(moments) - first + 2) if number > 0]
    limit = int(asked)
    some = [nth for nth, moment in enumerate(moments, 1) if changes(moment)]
    devices = ("/dev/iommu", "/dev/vfio/")
    asked = [nth for nth, moment in enumerate(moments, 1) if is_ioctl(moment, devices)]
    return sorted({some[at * len(some) // limit] for at in range(limit)} | {asked[len(asked) // 2]})


def state(address: str) -> list[str]:
    """Driver, driver_override, whether the facts are whole, and the files beside them."""
    driver = TREE.link(f"/sys/bus/pci/devices/{address}/driver") or ""
    run_directory = Path(TREE.run_directory())
    files = sorted(path.name for path in run_directory.iterdir()) if run_directory.is_dir() else []
    try:
        load_host(str(run_directory / "host.json"))
        facts = "whole"
    except VsmmuError:
        facts = "lost"
    return [driver, current_override(TREE, address).decode(), facts, *files]


def probe(address: str, decide: Callable[[int, Moment], int] = lambda _nth, _moment: 0) -> Ended:
    """A probe that takes the function from its driver, in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="crash-") as scratch:
        folder = Path(scratch) / "job"
        folder.mkdir()
        return run(lambda: vsmmu(["probe", "--bind", address]), folder, decide)


def next_probe() -> None:
    """What anybody calls next, undisturbed."""
    child = os.fork()
    if not child:
        null = os.open("/dev/null", os.O_RDWR)
        os.dup2(null, 1)
        os.dup2(null, 2)
        os._exit(vsmmu(["probe"]))
    os.waitpid(child, 0)


def main() -> int:
    address, asked = sys.argv[1:]
    if not re.fullmatch(r"\d+(-\d+)?", asked):
        ended = probe(address, lambda _, moment: KILL if asked in "".join(moment.paths) else 0)
        return 128 - ended.status if ended.status < 0 else ended.status
    undisturbed = probe(address)
    moments = list(filter(counts, undisturbed.moments))
    before = state(address)
    story = []
    for number in points(moments, asked):
        ended = probe(address, at_call(number))
        crashed = state(address)
        next_probe()
        story.append([str(ended.moments[-1]), ended.status, crashed, state(address)])
    said = {"status": undisturbed.status, "calls": len(moments), "before": before, "story": story}
    print(json.dumps(said))
    return 0


if __name__ == "__main__":
    sys.exit(main())
