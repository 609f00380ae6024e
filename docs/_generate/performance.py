# SPDX-License-Identifier: Apache-2.0
"""The page of the reference about performance, made of what the benches have written down."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from markdown import code, page, table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["performance"]

RESULTS: Final = Path(__file__).parents[2] / "bench" / "results.json"
_BARE: Final = "python -I -c pass"

_INTRODUCTION: Final = """\
What vsmmu costs, measured with `make bench`. Ratios count; seconds belong to the machine, and to what else
ran on it. This page is made of `bench/results.json`, which the benches write.
"""
_START: Final = """\
vsmmu runs before a VM's start, so a start of vsmmu is compared with a start of its bare interpreter
(the binary itself, in the same environment, no version manager's shim) and, where it is installed, with
Debian's `virt-xml --edit --print-diff`, which also edits a VM's configuration. Medians of starts that
take turns; CPU time is user and system time.
"""
_BYTE_CODE: Final = """\
These are starts with byte code. Where there is none and the user may not write it (`/usr` for anybody
but root, a read-only image, `PYTHONDONTWRITEBYTECODE`), each start compiles what it imports, and takes
two to four times as long. pip and Debian's packages compile what they install; an editable
installation, a copied directory or an image that drops `__pycache__` has none. `vsmmu doctor` says so,
and what to run: `python3 -m compileall -q DIRECTORY`, as the owner.
"""
_HOOK: Final = """\
`onDefineDomain` on a domain of 50 KiB, as an operator leaves it behind. It passes every VM of a node,
and most have no SMMU.
"""
_RUN: Final = """\
QEMU with the values written, and by way of `vsmmu run`: the same VM, by a wrapper that both call, up to
QEMU's monitor. Wall time.
"""
_GROWTH: Final = """\
Reading, resolving and editing a command line with so many endpoints behind one vSMMU, eight behind each
root port.
"""
_EMULATE: Final = """\
A trapped call is one `IOMMU_GET_HW_INFO`; the peer is a responder in C that does the same work
(receive, find the open file by its lock, read and write the program's memory, answer), with synchronous
wake-up as here.
"""
_FLEET: Final = """\
Pools of made-up nodes as JSON Lines: *alike*, where hosts of one generation differ in name and kernel
only, and *unlike*, where every function of every host says something of its own. DuckDB and jq, where
installed, only compute the minima of four fields; vsmmu also checks every record, finds the classes and
asks the model of QEMU. The best of some runs; memory is that of the largest process.
"""
_PROBE: Final = """\
In the lab: asking the kernel for one SMMU, beside a C program that makes the same calls.
"""
_AGAIN: Final = """\
```sh
make bench                                # measures, and writes bench/results.json and this page
.venv/bin/python bench/main.py --gate     # exit status 1 if an aim is missed
```
"""


def performance() -> str:
    """docs/reference/performance.md."""
    results: dict[str, Any] = json.loads(RESULTS.read_text(encoding="utf-8"))
    blocks = [_INTRODUCTION]
    for name, (title, text) in _SECTIONS.items():
        if name in results:
            blocks += [
                f"## {title}",
                text,
                *_body(name, results[name]),
                f"Measured on {results[name]['machine']}.",
            ]
    return page("Performance", *blocks, "## Measure it yourself", _AGAIN)


def _body(name: str, section: dict[str, Any]) -> Iterator[str]:
    figures = section["figures"]
    if name in ("start", "hook", "run"):
        yield _starts(figures["starts"], wall=name == "run")
    if name == "start":
        yield _BYTE_CODE
    if name == "run":
        added, own = figures["added_seconds"], figures["starts"]["QEMU, values written"]["wall"]
        yield f"vsmmu adds {added * 1e3:.0f} ms, {added / own:.2f} of QEMU's own start."
    if name == "process":
        yield table(("", "a second of CPU time"), ([key, f"{value:.0f}"] for key, value in figures.items()))
    if name == "growth":
        rows = ((int(size), seconds) for size, seconds in figures.items())
        yield table(
            ("endpoints", "CPU time", "for each"),
            ([str(size), f"{value * 1e3:.2f} ms", f"{value / size * 1e6:.0f} µs"] for size, value in rows),
        )
    if name in ("emulate", "probe"):
        yield table(("", ""), ([key, f"{value:g}"] for key, value in figures.items()))
    if name == "fleet":
        yield _fleet(figures)
    if section.get("aims"):
        yield _aims(section["aims"])


def _starts(starts: dict[str, dict[str, float]], *, wall: bool) -> str:
    key = "wall" if wall else "cpu"
    bare = next((cost[key] for name, cost in starts.items() if name.startswith("python ")), None)
    return table(
        ("", "wall time" if wall else "CPU time", f"of `{_BARE}`"),
        (
            [code(name), f"{cost[key] * 1e3:.1f} ms", f"{cost[key] / bare:.2f}" if bare else ""]
            for name, cost in starts.items()
        ),
    )


def _fleet(runs: Iterable[dict[str, Any]]) -> str:
    return table(
        ("pool", "hosts", "program", "wall time", "CPU time", "memory"),
        (
            [
                run["pool"],
                f"{run['hosts']:,}",
                run["program"],
                f"{run['seconds']:.2f} s",
                f"{run['cpu']:.2f} s",
                f"{run['mebibytes']:.0f} MiB",
            ]
            for run in runs
        ),
    )


def _aims(aims: dict[str, dict[str, float]]) -> str:
    return table(
        ("aim", "at most", "measured"),
        ([name, f"{aim['at_most']:g}", f"{aim['value']:.2f}"] for name, aim in aims.items()),
    )


#: Section of the results -> heading, and what was measured.
_SECTIONS: Final = {
    "start": ("Start", _START),
    "hook": ("KubeVirt's hook", _HOOK),
    "run": ("vsmmu run", _RUN),
    "process": (
        "In one process",
        "Of a VM with one vSMMU and one function; *read* is a command line in memory.",
    ),
    "growth": ("Growth", _GROWTH),
    "emulate": ("The emulated host", _EMULATE),
    "fleet": ("A fleet", _FLEET),
    "probe": ("The prober", _PROBE),
}
