# SPDX-License-Identifier: Apache-2.0
"""What a fleet costs: pools of made-up nodes, vsmmu beside DuckDB and jq on the same file, time and memory.

    python bench/fleet/run.py [--sizes 10,1000,100000] [--duckdb PYTHON] [--runs 3]

DuckDB is looked for in this interpreter, or in that of ``--duckdb`` (pip install duckdb); jq is a program
(apt-get install jq). Both only compute the minima of the four fields and count; vsmmu also checks every
record, finds the classes, asks the model of QEMU, and says which hosts cost what. There are two kinds of
pools: *alike*, where hosts of one generation differ in name and kernel only, and *unlike*, where every
function of every host says something of its own. Prints a table, and writes it down.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))

import msgspec
from measure import record

from vsmmu.host.builtin import builtin_host, builtin_names

#: How many of a thousand hosts are of which kind; the rest of the kinds once in a while.
WEIGHTS = {"gb200": 430, "gh200": 400, "kunpeng920": 80, "altra": 40, "thunderx2": 20, "rk3588": 10}
MEMBERS = ("schema", "name", "title", "taken_at", "kernel", "synthetic", "smmus", "functions", "evidence")

DUCKDB = """
import sys, duckdb
field = "coalesce(CAST(json_extract(s, '$.fields.\\"{}\\".value') AS INT), 0)"
keys = ("IDR0.ATS", "IDR3.RIL", "IDR1.SSIDSIZE", "IDR5.OAS")
minima = ", ".join(f"min({field.format(key)})" for key in keys)
source = "read_json_objects(?, format='newline_delimited', maximum_object_size=16777216)"
query = f"select count(*), {minima} from (select unnest(json_extract(json, '$.smmus[*]')) s from {source})"
print(duckdb.execute(query, [sys.argv[1]]).fetchall())
"""
JQ = """
reduce inputs as $host ([0, 9, 9, 99, 9]; reduce ($host.smmus[]?.fields // {}) as $fields (.;
  [.[0] + 1, ([.[1], $fields["IDR0.ATS"].value // 0] | min), ([.[2], $fields["IDR3.RIL"].value // 0] | min),
   ([.[3], $fields["IDR1.SSIDSIZE"].value // 0] | min), ([.[4], $fields["IDR5.OAS"].value // 0] | min)]))
"""


class Run(NamedTuple):
    """One program on one file; the best of several runs."""

    pool: str
    hosts: int
    program: str
    seconds: float
    cpu: float
    mebibytes: float


def write_pool(path: Path, hosts: int, *, unlike: bool) -> None:
    """JSON Lines of nodes in a mix of generations; the same bytes in every run."""
    kinds = {name: msgspec.to_builtins(builtin_host(name)) for name in builtin_names()}
    weights = [WEIGHTS.get(name, 1) for name in kinds]
    chance = random.Random(hosts)
    encode = msgspec.json.encode
    with path.open("wb", buffering=1 << 20) as out:
        for number in range(hosts):
            host = dict(chance.choices(list(kinds.values()), weights)[0])
            host["name"] = f"node-{number:07}"
            host["taken_at"] = "2026-11-22T12:00:00Z"
            host["kernel"] = {"release": "7.3.4", "boot_id": f"{chance.getrandbits(128):032x}"}
            if unlike:
                host["functions"] = [{**entry, "label": f"slot {number}"} for entry in host["functions"]]
            out.write(encode({key: host[key] for key in MEMBERS if key in host}) + b"\n")


def measure(pool: str, hosts: int, program: str, words: list[str], runs: int) -> Run:
    """Wall seconds, processor seconds and peak memory of a program; the fastest run."""
    found = []
    for _ in range(runs):
        started = time.monotonic()
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _, _, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - started
        found.append(
            Run(pool, hosts, program, seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)
        )
    return min(found, key=lambda run: run.seconds)


def programs(path: Path, duckdb: str | None) -> dict[str, list[str]]:
    """What is compared: the command line of each program that is there."""
    vsmmu = [sys.executable, str(Path(sys.executable).with_name("vsmmu"))]
    words = {
        "vsmmu baseline": [*vsmmu, "baseline", "-o", "json", str(path)],
        "vsmmu report": [*vsmmu, "report", "-o", "html", str(path)],
    }
    if duckdb is not None:
        words["DuckDB"] = [duckdb, "-c", DUCKDB, str(path)]
    if jq := shutil.which("jq"):
        words["jq"] = [jq, "-n", "-c", JQ, str(path)]
    return words


def find_duckdb(given: str | None) -> str | None:
    for python in (given, sys.executable):
        if (
            python
            and subprocess.run([python, "-c", "import duckdb"], capture_output=True, check=False).returncode
            == 0
        ):
            return python
    return None


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    options.add_argument("--sizes", default="10,1000,100000")
    options.add_argument("--runs", type=int, default=3)
    options.add_argument("--duckdb", metavar="PYTHON")
    options.add_argument("--jq-most", type=int, default=100_000, help="do not make jq wait for more")
    given = options.parse_args()
    duckdb = find_duckdb(given.duckdb)
    found: list[Run] = []
    with tempfile.TemporaryDirectory() as directory:
        for hosts in (int(text) for text in given.sizes.split(",")):
            for pool in ("alike", "unlike"):
                path = Path(directory) / "pool.jsonl"
                write_pool(path, hosts, unlike=pool == "unlike")
                for program, words in programs(path, duckdb).items():
                    if program != "jq" or hosts <= given.jq_most:
                        found.append(
                            measure(pool, hosts, program, words, given.runs if hosts < 500_000 else 1)
                        )
                        print(_line(found[-1]), flush=True)
    record("fleet", [run._asdict() for run in found])


def _line(run: Run) -> str:
    rate = run.hosts / run.seconds
    return (
        f"{run.pool:7} {run.hosts:>9,} {run.program:15} {run.seconds:8.2f} s {run.cpu:8.2f} s CPU "
        f"{run.mebibytes:7.0f} MiB {rate:>10,.0f} hosts/s"
    )


if __name__ == "__main__":
    main()
