# SPDX-License-Identifier: Apache-2.0
"""Fuzz every reader, or those named, each in a process of its own; totals as JSON (``make fuzz N=100000``).

What is found lies in ``build/fuzz-run/NAME``; mended, it becomes a case in ``tools/fuzz/cases/NAME``, which
the tests run. The corpus of a reader is kept there, too, and the next run begins with it.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[2]
CASES: Final = Path(__file__).with_name("cases")
#: Bounds on one input: an answer within seconds, and what the whole process may take.
SECONDS: Final = 5
MEBIBYTES: Final = 1024
_STATISTIC: Final = re.compile(r"^stat::(\w+): +(\d+)$", re.MULTILINE)
_KINDS: Final = ("crash-", "timeout-", "oom-", "leak-")


def main() -> int:
    """Run, and write the totals; 1 if anything was found."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--inputs", type=int, default=100_000, help="for each reader")
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--directory", type=Path, default=ROOT / "build" / "fuzz-run")
    options.add_argument("--write", type=Path, help="file for the totals; those of other readers stay in it")
    options.add_argument("readers", nargs="*")
    asked = options.parse_args()
    from fuzz.readers import READERS

    file = asked.write or asked.directory / "results.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    found: dict[str, Any] = json.loads(file.read_bytes()) if file.exists() else {}
    for name in asked.readers or READERS:
        found[name] = fuzz(name, READERS[name].seeds, asked)
        sys.stdout.write(f"{name}: {found[name]}\n")
        sys.stdout.flush()
        file.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n", encoding="ascii")
    return 1 if any(entry["findings"] for entry in found.values()) else 0


def fuzz(name: str, seeds: tuple[bytes, ...], asked: argparse.Namespace) -> dict[str, Any]:
    """Fuzz one reader until it has had its inputs, or the first finding."""
    place = asked.directory / name
    corpus, scratch = place / "corpus", place / "scratch"
    for folder in (corpus, scratch):
        folder.mkdir(parents=True, exist_ok=True)
    for old in findings(place):
        old.unlink()
    for number, seed in enumerate((*seeds, *(case.read_bytes() for case in cases(name)))):
        (corpus / f"seed-{number}").write_bytes(seed)
    words = [
        sys.executable, "-m", "fuzz.one", name, str(corpus), f"-runs={asked.inputs}", f"-seed={asked.seed}",
        f"-timeout={SECONDS}", f"-rss_limit_mb={MEBIBYTES}", f"-artifact_prefix={place}/",
        f"-dict={Path(__file__).with_name('words.dict')}", "-print_final_stats=1", "-verbosity=0",
    ]  # fmt: skip
    environment = {**os.environ, "VSMMU_FUZZ_SCRATCH": str(scratch), "VSMMU_RUN_DIR": str(scratch)}
    taken = scratch / "taken"
    taken.unlink(missing_ok=True)
    began = time.monotonic()
    done = subprocess.run(
        words,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        errors="replace",
        check=False,
    )
    (place / "output").write_text(done.stdout, encoding="utf-8")
    numbers = dict(_STATISTIC.findall(done.stdout))
    return {
        "inputs": int(numbers.get("number_of_executed_units", 0)),
        "taken": int(taken.read_text()) if taken.exists() else 0,
        "seconds": round(time.monotonic() - began),
        "slowest_seconds": int(numbers.get("slowest_unit_time_sec", 0)),
        "peak_mebibytes": int(numbers.get("peak_rss_mb", 0)),
        "findings": [path.name for path in findings(place)] or ([] if done.returncode == 0 else ["?"]),
    }


def findings(place: Path) -> list[Path]:
    """Inputs that ended a run."""
    return sorted(path for path in place.iterdir() if path.name.startswith(_KINDS))


def cases(name: str) -> list[Path]:
    """What was found before."""
    folder = CASES / name
    return sorted(folder.iterdir()) if folder.is_dir() else []


if __name__ == "__main__":
    sys.exit(main())
