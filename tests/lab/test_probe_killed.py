# SPDX-License-Identifier: Apache-2.0
"""``vsmmu probe --bind`` on a real kernel, killed at its calls: nothing is lost, the next probe restores."""

from __future__ import annotations

import fcntl
import json
import os
import signal
from pathlib import Path

import pytest
from probe_machines import CRASH, DISK, E1000E, SWEEP, WORKS, Machine, machine  # noqa: F401 - a fixture

pytestmark = pytest.mark.lab

#: How many kills for each function; make sweep-lab (0) tries every call, and has the totals written down.
KILLS = int(os.environ.get("VSMMU_LAB_KILLS", "4"))
TOTALS = os.environ.get("VSMMU_LAB_KILLS_TOTALS", "")
#: Whether the calls go on behind those that the totals speak of.
RESUME = bool(os.environ.get("VSMMU_LAB_KILLS_RESUME"))
#: So many are tried with one limit of time, at which nothing hangs on a slow machine either.
PIECE = 20
#: So many of the last calls a probe may not come to, because it makes fewer than the one before.
LEFT_OUT = 5
#: So many calls, at least, a probe makes while it has the function.
MANY = 50


def killed_at(machine: Machine, address: str, where: str) -> dict:  # noqa: F811
    """Kill probes there, and then what crash_probe.py prints."""
    machine.session.put({"/root/crash_probe.py": CRASH, "/root/sweep": SWEEP})
    # On one processor: the supervisor and the probe take turns, and waking another up costs half the time.
    order = f"taskset -c 0 python3 /root/crash_probe.py {address} {where}"
    return json.loads(machine.sh(order, timeout=3600))


def killed_everywhere(machine: Machine, address: str, totals: Totals) -> dict:  # noqa: F811
    """Kill a probe at each of its calls, from the end; what was found until then is noted after each piece.

    It looks through all processes, so it makes now more calls and now fewer: the last piece says how many.
    """
    found = killed_at(machine, address, "1-0")
    first = totals.kills + 1 + LEFT_OUT
    while first <= found["calls"]:
        piece = killed_at(machine, address, f"{first}-{first + PIECE - 1}")
        found["story"] += piece["story"]
        found["calls"] = piece["calls"]
        totals.note(found)
        first += PIECE
    return found


class Totals:
    """What is written down of a function's kills, beside those of the others."""

    def __init__(self, name: str, whole: list[str]) -> None:
        self._name, self._whole = name, whole
        before = json.loads(Path(TOTALS).read_text()) if TOTALS and RESUME else {}
        self._before: dict[str, int] = before.get(name, {})

    @property
    def kills(self) -> int:
        """How many were tried before."""
        return self._before.get("kills", 0)

    def note(self, found: dict) -> dict[str, int]:
        """Write down what was found since, and before; the row."""
        driver, story = self._whole[0], found["story"]
        counted = {
            "kills": len(story),
            "not killed": sum(ended != -signal.SIGKILL for _, ended, _, _ in story),
            "on another driver": sum(now != driver for _, _, (now, *_), _ in story),
            "lost facts": sum(facts != "whole" for _, _, (_, _, facts, *_), _ in story),
            "lost drivers": sum(after[0] != driver for _, _, _, after in story),
            "other findings": sum(after[0] == driver and after != self._whole for _, _, _, after in story),
        }
        row = {name: count + self._before.get(name, 0) for name, count in counted.items()}
        row["calls"] = found["calls"]
        if TOTALS:
            self._write(row)
        return row

    def _write(self, row: dict[str, int]) -> None:
        with Path(TOTALS).open("a+", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # each function may have a process of its own
            file.seek(0)
            rows = {**json.loads(file.read() or "{}"), self._name: row}
            file.truncate(0)
            file.write(json.dumps(rows, indent=1, sort_keys=True) + "\n")


@pytest.mark.parametrize("address", [E1000E, DISK])
def test_killed_at_every_call_that_changes_something(machine: Machine, address: str) -> None:  # noqa: F811
    """Facts are the old or the new, and after the next probe every driver is where it was and works."""
    driver, works = WORKS[address]
    said = machine.sh(f"until {works} 2>/dev/null; do sleep 0.1; done")  # its driver may just be coming
    whole = [driver, "", "whole", "host.json", "lock"]
    totals = Totals(driver, whole)
    found = (
        killed_everywhere(machine, address, totals) if not KILLS else killed_at(machine, address, str(KILLS))
    )
    assert (found["status"], found["before"]) == (0, whole)
    assert found["calls"] > 100
    story, row = found["story"], totals.note(found)
    assert row["kills"] >= (KILLS or found["calls"] - LEFT_OUT)
    assert [call for call, ended, _, _ in story if ended != -signal.SIGKILL] == []
    assert [call for call, _, (_, _, facts, *_), _ in story if facts != "whole"] == []
    assert [call for call, _, _, after in story if after != whole] == []
    # Killed with the function bound to an iommufd, too; a sample may have no such call.
    elsewhere = [call for call, _, (now, *_), _ in story if now != driver]
    assert KILLS or RESUME or any("ioctl" in call for call in elsewhere)
    assert KILLS or row["on another driver"] > MANY
    assert machine.sh(works) == said
    assert machine.open_files() == ""
