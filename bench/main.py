# SPDX-License-Identifier: Apache-2.0
"""What a start of vsmmu costs, and a resolution. Prints a table, and writes it down (make bench).

Figures are ratios to something that runs on the same machine, because seconds of one machine say little.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import virt_xml
from measure import Cost, compare, machine, rate, record, version
from sized_vms import vm

from vsmmu.host.builtin import builtin_host
from vsmmu.machine.command_line.argv import read_words
from vsmmu.policy.resolver import resolve_machine
from vsmmu.qemu.versions import LATEST

BARE = "python -I -c pass"


def cold_start(runs: int) -> dict[str, Cost]:
    """A start of vsmmu beside one of its bare interpreter, and of virt-xml."""
    # The binary itself, not the shim of a version manager, which costs more than vsmmu does; and with our own
    # site-packages: those of others may run code at every start.
    python = sys.executable
    script = str(Path(sys.executable).with_name("vsmmu"))
    question = ["--host", "builtin:gb200", "--", *vm(["0009:01:00.0"])]
    commands: dict[str, tuple[list[str], bytes]] = {
        BARE: ([python, "-I", "-c", "pass"], b""),
        "vsmmu resolve": ([sys.executable, script, "resolve", *question], b""),
        "vsmmu check": ([sys.executable, script, "check", *question], b""),
        "vsmmu explain": ([sys.executable, script, "explain", *question], b""),
        "vsmmu --version": ([sys.executable, script, "--version"], b""),
    }
    if virt_xml.is_there():
        commands[f"virt-xml {version('virt-xml', '--version')} --edit --print-diff"] = (
            virt_xml.COMMAND,
            virt_xml.DOMAIN,
        )
    return compare(commands, runs)


def throughput() -> dict[str, float]:
    """Resolutions a second in one process, of a command line in memory."""
    words, host = vm(["0009:01:00.0"]), builtin_host("gb200")
    machine = read_words(words).machine()
    return {
        "read and resolve": rate(lambda: resolve_machine(read_words(words).machine(), host, LATEST)),
        "resolve": rate(lambda: resolve_machine(machine, host, LATEST)),
    }


def report(starts: dict[str, Cost], rates: dict[str, float]) -> list[str]:
    """The table, line by line."""
    bare = starts[BARE].cpu
    lines = ["cold start (medians)               CPU ms   wall ms   x python"]
    for name, cost in starts.items():
        lines.append(f"  {name:30} {cost.cpu * 1e3:8.1f} {cost.wall * 1e3:9.1f} {cost.cpu / bare:10.2f}")
    lines += ["", "in one process            a second of CPU"]
    return lines + [f"  {name:30} {value:8.0f}" for name, value in rates.items()]


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=21, help="starts of each program")
    arguments = parser.parse_args()
    starts, rates = cold_start(arguments.runs), throughput()
    print(machine(), "", *report(starts, rates), "", sep="\n")
    bare = starts[BARE].cpu
    ratios = {
        f"{verb}, of a bare interpreter": starts[f"vsmmu {verb}"].cpu / bare
        for verb in ("resolve", "check", "--version")
    }
    other = [cost.cpu for name, cost in starts.items() if name.startswith("virt-xml")]
    if other:
        ratios["resolve, of virt-xml"] = starts["vsmmu resolve"].cpu / other[0]
    note = "" if other else "virt-xml is not installed (Debian: virtinst)"
    record("start", {"starts": {name: cost._asdict() for name, cost in starts.items()}}, ratios, note)
    record("process", rates)


if __name__ == "__main__":
    main()
