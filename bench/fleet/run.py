# SPDX-License-Identifier: Apache-2.0
"""What a fleet costs: pools of made-up nodes, vsmmu beside DuckDB, msgspec and jq on the same file.

    python bench/fleet/run.py [--sizes 1000,100000,1000000] [--runs 3]

DuckDB is looked for in this interpreter (pip install duckdb); jq is a program (apt-get install jq). They, and
msgspec alone, only compute the minima of the four fields and count, one of msgspec's with all members of a
record checked by their types; vsmmu also checks them against each other, finds the classes, asks the model of
QEMU, and says which hosts cost what. There are three kinds of pools: *alike*, where
hosts of one generation differ in name and kernel only, *unlike*, where every function of every host says
something of its own, and *probed*, where every evidence says when it was. Programs take turns. Prints a
table, and writes it down.
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
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))

import msgspec
from measure import record, version

from vsmmu.host.builtin import builtin_host, builtin_names

#: How many of a thousand hosts are of which kind; the rest of the kinds once in a while.
WEIGHTS = {"gb200": 430, "gh200": 400, "kunpeng920": 80, "altra": 40, "thunderx2": 20, "rk3588": 10}
POOLS = ("alike", "unlike", "probed")
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
#: The four fields alone, and all members of a record, each checked by its type as vsmmu does.
MSGSPEC = """
import sys, msgspec
from vsmmu.host.facts import Evidence, HostFunction, HostSmmu, Kernel
class Fact(msgspec.Struct): value: int | None = None
class Smmu(msgspec.Struct): fields: dict[str, Fact] = {}
class Few(msgspec.Struct): smmus: list[Smmu] = []
class All(msgspec.Struct):
    schema: str
    name: str
    title: str = ""
    taken_at: str = ""
    kernel: Kernel = Kernel()
    synthetic: tuple[str, ...] = ()
    smmus: tuple[HostSmmu, ...] = ()
    functions: tuple[HostFunction, ...] = ()
    evidence: dict[str, Evidence] = {}
keys, none = ("IDR0.ATS", "IDR3.RIL", "IDR1.SSIDSIZE", "IDR5.OAS"), Fact()
decode, count, minima = msgspec.json.Decoder({"few": Few, "all": All}[sys.argv[2]]).decode, 0, [99] * 4
for line in open(sys.argv[1], "rb"):
    for smmu in decode(line).smmus:
        count += 1
        minima = [min(least, smmu.fields.get(key, none).value or 0) for key, least in zip(keys, minima)]
print(count, minima)
"""
JQ = """
reduce inputs as $host ([0, 9, 9, 99, 9]; reduce ($host.smmus[]?.fields // {}) as $fields (.;
  [.[0] + 1, ([.[1], $fields["IDR0.ATS"].value // 0] | min), ([.[2], $fields["IDR3.RIL"].value // 0] | min),
   ([.[3], $fields["IDR1.SSIDSIZE"].value // 0] | min), ([.[4], $fields["IDR5.OAS"].value // 0] | min)]))
"""


OURS = "vsmmu baseline"
PEERS = {"DuckDB": lambda: find_spec("duckdb") is not None, "jq": lambda: shutil.which("jq") is not None}


class Run(NamedTuple):
    """One program on one file; the best of several runs."""

    pool: str
    hosts: int
    program: str
    seconds: float
    cpu: float
    mebibytes: float


def write_pool(path: Path, hosts: int, pool: str) -> None:
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
            if pool == "unlike":
                host["functions"] = [{**entry, "label": f"slot {number}"} for entry in host["functions"]]
            elif pool == "probed":
                host["functions"] = [{**entry, "pasid_exec": {}} for entry in host["functions"]]
                at = f"2026-11-22T12:{number // 60 % 60:02}:{number % 60:02}+00:00"
                evidence = {name: {**entry, "detail": at} for name, entry in host["evidence"].items()}
                host["evidence"] = evidence
            out.write(encode({key: host[key] for key in MEMBERS if key in host}) + b"\n")


def run_once(words: list[str]) -> tuple[float, float, float]:
    """Wall seconds, processor seconds and peak memory in MiB of a program."""
    started = time.monotonic()
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert process.stderr is not None
    said = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.monotonic() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, 1):  # 1: not every host is fit, which is so
        sys.exit(f"{words[:3]}: status {process.returncode}: {said.decode()}")
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def measure(pool: str, hosts: int, path: Path, most: int, runs: int) -> list[Run]:
    """Each program on one file, in turns; the quickest of each.

    :param most: the size up to which peers are asked; jq, which takes minutes, up to a hundredth of it.
    """
    words = {
        name: command
        for name, command in programs(path).items()
        if name == OURS or hosts <= (most // 100 if name.startswith("jq") else most)
    }
    found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in words}
    for _ in range(runs if hosts <= most else 1):
        for name, command in words.items():
            found[name].append(run_once(command))
    return [Run(pool, hosts, name, *min(costs)) for name, costs in found.items()]


def programs(path: Path) -> dict[str, list[str]]:
    """What is compared: the command line of each program that is there, by its name and version."""
    ours = [sys.executable, str(Path(sys.executable).with_name("vsmmu"))]
    words = {
        OURS: [*ours, "baseline", "-o", "json", str(path)],
        "vsmmu report": [*ours, "report", "-o", "html", str(path)],
        f"msgspec {msgspec.__version__}, four fields": [sys.executable, "-c", MSGSPEC, str(path), "few"],
        f"msgspec {msgspec.__version__}, all members": [sys.executable, "-c", MSGSPEC, str(path), "all"],
    }
    if find_spec("duckdb"):
        named = version(sys.executable, "-c", "import duckdb; print(duckdb.__version__)")
        words[f"DuckDB {named}"] = [sys.executable, "-c", DUCKDB, str(path)]
    if jq := shutil.which("jq"):
        words[f"jq {version(jq, '--version')}"] = [jq, "-n", "-c", JQ, str(path)]
    return words


def ratios(found: list[Run], most: int) -> dict[str, float]:
    """What there are aims for, at the largest size at which peers were asked."""
    ours = {(run.pool, run.hosts): run for run in found if run.program == OURS}
    measured = {}
    for run in found:
        mine = ours[run.pool, run.hosts]
        if run.hosts == most and run.program.startswith("DuckDB"):
            measured[f"baseline of {run.pool} hosts, of DuckDB's wall time"] = mine.seconds / run.seconds
        if run.hosts == most and run.program.endswith("all members"):
            measured[f"baseline of {run.pool} hosts, of bare msgspec's CPU time"] = mine.cpu / run.cpu
    largest = ours.get(("alike", 10 * most))
    if largest is not None:
        measured["a host of 1,000,000, of one of 100,000"] = largest.cpu / ours["alike", most].cpu / 10
    return measured


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    options.add_argument("--sizes", default="1000,100000,1000000")
    options.add_argument("--peers-most", type=int, default=100_000, help="do not make peers wait for more")
    options.add_argument("--runs", type=int, default=3)
    given = options.parse_args()
    found: list[Run] = []
    with tempfile.TemporaryDirectory() as directory:
        for hosts in (int(text) for text in given.sizes.split(",")):
            for pool in POOLS if hosts <= given.peers_most else POOLS[:1]:
                path = Path(directory) / "pool.jsonl"
                write_pool(path, hosts, pool)
                costs = measure(pool, hosts, path, given.peers_most, given.runs)
                print(*map(_line, costs), sep="\n", flush=True)
                found += costs
    note = ", ".join(f"{name} is not installed" for name, there in PEERS.items() if not there())
    record("fleet", [run._asdict() for run in found], ratios(found, given.peers_most), note)


def _line(run: Run) -> str:
    rate = run.hosts / run.seconds
    return (
        f"{run.pool:7} {run.hosts:>9,} {run.program:15} {run.seconds:8.2f} s {run.cpu:8.2f} s CPU "
        f"{run.mebibytes:7.0f} MiB {rate:>10,.0f} hosts/s"
    )


if __name__ == "__main__":
    main()
