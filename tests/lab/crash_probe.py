# SPDX-License-Identifier: Apache-2.0
"""Runs inside the lab: ``probe --bind ADDRESS`` in a process that is killed (SIGKILL), at every point.

Points lie before and after each journal record, each write to sysfs, each removal of the journal, and each
ioctl, those with the function bound to an iommufd among them.

``crash_probe.py ADDRESS``: after each crash probe again, as the next call would. Prints JSON: for each point
the state after the crash and the state after the next call. ``crash_probe.py ADDRESS N``: die at point N.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import vsmmu.uapi.ioctl as ioctl_module
from vsmmu.probe.execute import probe
from vsmmu.probe.journal import Journal
from vsmmu.probe.steps import SysfsWriter, current_override
from vsmmu.probe.system_root import Tree

if TYPE_CHECKING:
    from collections.abc import Callable

TREE = Tree()
ENOUGH = 200


class Countdown:
    """Kills this process at the given point."""

    def __init__(self, left: int) -> None:
        self.left = left

    def reach(self) -> None:
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        self.left -= 1

    def around(self, function: Callable[..., object]) -> Callable[..., object]:
        def wrapped(*args: object) -> object:
            self.reach()
            result = function(*args)
            self.reach()
            return result

        return wrapped


def crash(address: str, point: int) -> int:
    """Probe, and die at ``point``; 0 once there are no more points."""
    countdown = Countdown(point)
    for owner, name in ((SysfsWriter, "write"), (Journal, "record"), (Journal, "clear")):
        setattr(owner, name, countdown.around(getattr(owner, name)))
    ioctl_module.fcntl.ioctl = countdown.around(ioctl_module.fcntl.ioctl)
    report = probe(TREE, bind=[address])
    return int(any(outcome.error for outcome in report.outcomes))


def state(address: str) -> list[str]:
    driver = TREE.link(f"/sys/bus/pci/devices/{address}/driver") or ""
    files = sorted(path.name for path in Path(TREE.run_directory()).iterdir())
    return [driver, current_override(TREE, address).decode(), *files]


def in_child(function: Callable[[], int]) -> int:
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    status = 70
    try:
        status = function()
    finally:
        os._exit(status)


def main() -> int:
    address = sys.argv[1]
    if len(sys.argv) > 2:
        return crash(address, int(sys.argv[2]))
    story = []
    for point in range(ENOUGH):
        ended = in_child(lambda point=point: crash(address, point))
        after_crash = state(address)
        in_child(lambda: int(probe(TREE).stuck is not None))
        story.append([ended, after_crash, state(address)])
        if ended == 0:
            break
    print(json.dumps(story))
    return 0


if __name__ == "__main__":
    sys.exit(main())
