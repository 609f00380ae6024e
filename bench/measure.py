# SPDX-License-Identifier: Apache-2.0
"""Measuring programs and functions: CPU time, medians, interleaved, so that a busy moment hits all alike."""

from __future__ import annotations

import compileall
import gc
import json
import os
import platform
import re
import subprocess
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from aims import AIMS, RESULTS

import vsmmu

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["Cost", "best_of", "compare", "machine", "rate", "record", "skip", "version"]


class Cost(NamedTuple):
    """Seconds: CPU time (user and system) and wall time."""

    cpu: float
    wall: float


def _run(command: Sequence[str], stdin: bytes) -> Cost:
    """Run a program to its end, with the CPU time of it and of its children."""
    started = time.perf_counter()
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as child:
        assert child.stdin is not None
        assert child.stderr is not None
        child.stdin.write(stdin)
        child.stdin.close()
        message = child.stderr.read()
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - started
    if child.returncode:
        raise SystemExit(f"{' '.join(command)}: status {child.returncode}: {message.decode()}")
    return Cost(usage.ru_utime + usage.ru_stime, wall)


def compare(commands: Mapping[str, tuple[Sequence[str], bytes]], runs: int) -> dict[str, Cost]:
    """The median cost of each command (with its standard input); they take turns."""
    # Without byte code a start costs twice as much; an environment may forbid programs to write it.
    compileall.compile_dir(Path(vsmmu.__file__).parent, quiet=1)
    costs: dict[str, list[Cost]] = {name: [] for name in commands}
    for turn in range(runs + 1):
        for name, (command, stdin) in commands.items():
            cost = _run(command, stdin)
            if turn:  # the first turn fills caches
                costs[name].append(cost)
    return {
        name: Cost(median(cost.cpu for cost in seen), median(cost.wall for cost in seen))
        for name, seen in costs.items()
    }


def rate(function: Callable[[], object], seconds: float = 2.0) -> float:
    """How often the function can be called in a second of CPU time."""
    count, started = 0, time.process_time()
    while (elapsed := time.process_time() - started) < seconds:
        function()
        count += 1
    return count / elapsed


def best_of(function: Callable[[], object], runs: int = 5) -> float:
    """The CPU seconds of the quickest of some calls, without the cyclic collector, as commands run."""
    times = []
    gc.disable()
    for _ in range(runs):
        started = time.process_time()
        function()
        times.append(time.process_time() - started)
        gc.collect()
    gc.enable()
    return min(times)


def machine() -> str:
    """What this was measured on, without anything that identifies it."""
    models = [
        line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")
    ]
    model = models[0].partition(":")[2].strip() if models else platform.machine()
    count, load = len(os.sched_getaffinity(0)), os.getloadavg()[0]
    return f"{model}, {count} CPUs, Python {platform.python_version()}, load average {load:.1f}"


def record(section: str, figures: object, ratios: Mapping[str, float] | None = None, note: str = "") -> None:
    """Write one section of the results down, and print which aims are met.

    :param ratios: what was measured for the aims of the section; one that is left out was not.
    :param note: what was left out, and why.
    """
    found = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    aims = {name: value for name, value in (ratios or {}).items() if name in AIMS[section]}
    found[section] = {"machine": machine(), "figures": figures, "aims": aims, "note": note}
    RESULTS.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    for name, value in aims.items():
        most = AIMS[section][name]
        print(f"  {name:60} {value:6.2f}  at most {most:g}: {'met' if value <= most else 'MISSED'}")


def skip(section: str, why: str) -> None:
    """Write down that a section was not measured."""
    print(f"{section} is left out: {why}")
    record(section, None, note=why)


def version(*command: str) -> str:
    """The version that a program says, the first in what it prints."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = re.search(r"[0-9]+(?:[.][0-9]+)+", done.stdout + done.stderr)
    return found[0] if found else "of unknown version"
