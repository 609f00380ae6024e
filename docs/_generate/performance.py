# SPDX-License-Identifier: Apache-2.0
"""The page of the reference about performance, made of what the benches have written down."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from markdown import code, page, table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["performance"]

BENCH: Final = Path(__file__).parents[2] / "bench"
RESULTS: Final = BENCH / "results.json"
#: bench/aims.py, which is no module of a package.
AIMS: Final[dict[str, dict[str, float]]] = runpy.run_path(str(BENCH / "aims.py"))["AIMS"]
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
QEMU's monitor. QEMU's version is told, because a binary for another architecture has no KVM. Wall time.
"""
_GROWTH: Final = """\
Reading, resolving and editing, in one process: a command line with so many endpoints, eight behind each root
port and all behind one vSMMU, but the most, for which QEMU has bus numbers behind sixteen only; one with so
many vSMMUs of eight endpoints each; and a domain with one vSMMU that is nearly all metadata.
"""
_EMULATE: Final = """\
A trapped call is one `IOMMU_GET_HW_INFO`, made by one loop in C for both; the peer is a responder in C that
does the same work by the same system calls (wait, receive, find the open file by its lock, ask whether the
caller still waits, read and write its memory, answer), with synchronous wake-up as here. A third program
makes these system calls from Python and does nothing else: no emulator in Python can be quicker. Medians of
turns.
"""
_FLEET: Final = """\
Pools of made-up nodes as JSON Lines: *alike*, where hosts of one generation differ in name and kernel
only, *unlike*, where every function of every host says something of its own, and *probed*, where every
evidence says when it was. DuckDB, jq and msgspec alone only compute the minima of four fields, msgspec also
with all members of a record checked by their types, which is what it is compared by; vsmmu checks them
against each other, too, finds the classes and asks the model of QEMU. The best of some turns; memory is that
of the largest process.
"""
_PROBE: Final = """\
In the lab: asking the kernel for one SMMU, beside a C program that makes the same calls.
"""
_AGAIN: Final = """\
```sh
make bench                       # measures, writes bench/results.json and this page; fails if one is missed
.venv/bin/python bench/aims.py   # which aims were met, of what was measured last
```
"""


def performance() -> str:
    """docs/reference/performance.md."""
    results: dict[str, Any] = json.loads(RESULTS.read_text(encoding="utf-8"))
    blocks = [_INTRODUCTION]
    for name, (title, text) in _SECTIONS.items():
        if name in results:
            blocks += [f"## {title}", text, *_body(name, results[name])]
            if results[name].get("note"):
                blocks.append(f"Left out: {results[name]['note']}.")
            blocks.append(f"Measured on {results[name]['machine']}.")
    return page("Performance", *blocks, "## Measure it yourself", _AGAIN)


def _body(name: str, section: dict[str, Any]) -> Iterator[str]:
    figures = section["figures"]
    if figures is None:
        return
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
        rows = (
            (unit, int(count), seconds) for unit, sizes in figures.items() for count, seconds in sizes.items()
        )
        yield table(
            ("", "CPU time", "for each"),
            (
                [f"{count:,} {unit}", f"{seconds * 1e3:.2f} ms", f"{seconds / count * 1e6:.0f} µs"]
                for unit, count, seconds in rows
            ),
        )
    if name == "probe":
        yield _probe(figures)
    if name == "emulate":
        yield table(("", ""), ([key, f"{value:g}"] for key, value in figures.items()))
    if name == "fleet":
        yield _fleet(figures)
    if section.get("aims"):
        yield _aims(AIMS[name], section["aims"])


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


def _probe(figures: dict[str, float]) -> str:
    columns = {
        "asked by vsmmu": "vsmmu ms",
        "by the C program": "c ms",
        "ratio": "ratio",
        "`vsmmu probe`, whole": "vsmmu probe ms",
        "`python3 -c pass`": "python ms",
    }
    devices = dict.fromkeys(key.partition(" ")[0] for key in figures)
    rows = (
        [code(name), *(_cell(key, figures[f"{name} {key}"]) for key in columns.values())] for name in devices
    )
    return table(("device", *columns), rows)


def _cell(key: str, value: float) -> str:
    return f"{value:.0f} ms" if key.endswith(" ms") else f"{value:.2f}"


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


def _aims(aims: dict[str, float], measured: dict[str, float]) -> str:
    return table(
        ("aim", "at most", "measured", ""),
        (
            [name, f"{aims[name]:g}", f"{value:.2f}", "met" if value <= aims[name] else "**missed**"]
            for name, value in measured.items()
        ),
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
