# SPDX-License-Identifier: Apache-2.0
"""The page of the reference with the totals of the last sweeps, fuzzing and load."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any, Final

from markdown import code, page, table

__all__ = ["robustness"]

_ROOT: Final = Path(__file__).resolve().parents[2]
#: Column -> words of a finding of ``tools/sweep`` that belong there.
_LOSSES: Final = {
    "tracebacks": ("a traceback or a bug",),
    "status 70": ("status 70",),
    "lost files": (
        "a file is lost",
        "neither the old",
        "half a",
        "an input is",
        "not certain",
        "the facts are",
    ),
    "lost drivers": ("driver",),
}
_OTHER: Final = "other findings"
_SWEEP: Final = """\
`make sweep` lets every call on a file fail in turn (open, read, write, stat, rename, fsync, ioctl and
their kin, on paths outside the interpreter, after the program's own start) with ENOENT, EACCES, EIO,
ENOSPC, EMFILE and EINTR, and kills the program with SIGKILL before every one. seccomp reports the calls,
so that none is forgotten; a probe finds a made-up host whose kernel reacts. After each run of what writes the
same program runs undisturbed: it must come to its end, every driver must be where it was, and nothing may be
left over. The order of calls is held against a loss of power: data is synced before it is renamed, the
directory after, the probe's journal before a driver is changed. A row names the sample where not every call
was tried."""
_LAB: Final = """\
`make sweep-lab` kills `probe --bind` at each of its calls on a real kernel (arm64 with iommufd, in an
emulated machine) whose own drivers have the device, and probes again: the facts must be whole at every
moment, and afterwards the driver has its device back, which works as before. Reads of the kernel's log, more
each time, are not counted. Calls are tried from the end on: with fewer kills than calls, it was ended early,
and nothing is known of the first ones. `on another driver` says how many kills came while the device was away
from its own."""
_FUZZ: Final = """\
`make fuzz N=100000` mutates inputs of every reader, by bytes, by words and by JSON, guided by coverage
(atheris). A reader may take an input or refuse it with an own error, within 5 seconds and 1 GiB; what it
takes it gives back as it was. Quick and strict readers of fleets must agree."""
_LOAD: Final = """\
`python bench/server/main.py`: clients call OnDefineDomain with an accelerated domain while rotten
connections stay; then VMs that need no facts call beside as many whose facts lie on a file system that
hangs."""


def robustness() -> str:
    """Sweeps, fuzzing and load, each as the tools have written it down."""
    return page(
        "What was tried against it",
        "No VM, file or driver may suffer from vsmmu. Tools try to make that happen, and note what they did.",
        "## Failing calls, kills, loss of power",
        _SWEEP,
        _sweep(_read("tools/sweep/results.json")),
        _LAB,
        _lab(_read("tools/sweep/lab_results.json")),
        "## Fuzzing",
        _FUZZ,
        _fuzz(_read("tools/fuzz/results.json")),
        "## Load",
        _LOAD,
        table(
            ("measure", "value"),
            ((name, f"{value:,.0f}") for name, value in _read("bench/server/results.json").items()),
        ),
    )


def _read(path: str) -> Any:
    return json.loads((_ROOT / path).read_bytes())


def _sweep(results: Any) -> str:
    rows: dict[str, Counter[str]] = {}
    sampled: dict[str, int] = {}
    for job in results.values():
        row = rows.setdefault(job["kind"], Counter())
        row["programs"] += 1
        row.update({key: job.get(key, 0) for key in ("calls", "failures", "kills")})
        row.update(_loss(text) for text in job["found"])
        sampled[job["kind"]] = max(sampled.get(job["kind"], 1), job["every"])
    columns = ("programs", "calls", "failures", "kills", *_LOSSES, _OTHER)
    every = sum(rows.values(), Counter[str]())
    cells = [
        (f"{kind}, one call of {sampled[kind]}" if sampled.get(kind, 1) > 1 else kind, row)
        for kind, row in [*sorted(rows.items()), ("all", every)]
    ]
    return table(
        ("kind", *columns), ((kind, *(f"{row[column]:,}" for column in columns)) for kind, row in cells)
    )


def _lab(results: Any) -> str:
    columns = (
        "calls", "kills", "on another driver", "not killed", "lost facts", "lost drivers", "other findings",
    )  # fmt: skip
    return table(
        ("driver", *columns),
        ((code(name), *(f"{row[column]:,}" for column in columns)) for name, row in sorted(results.items())),
    )


def _loss(finding: str) -> str:
    return next(
        (column for column, words in _LOSSES.items() if any(word in finding for word in words)), _OTHER
    )


def _fuzz(results: Any) -> str:
    return table(
        ("reader", "inputs", "of them taken", "slowest (whole s)", "peak (MiB)", "findings"),
        (
            (
                code(name), f"{row['inputs']:,}", f"{row['taken']:,}", str(row["slowest_seconds"]),
                str(row["peak_mebibytes"]), str(len(row["findings"])),
            )
            for name, row in sorted(results.items())
        ),
    )  # fmt: skip
