# SPDX-License-Identifier: Apache-2.0
"""Failing system calls and killed programs: a sample of what ``make sweep`` tries, and the rig itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def sweep(*words: str, program: str = "") -> subprocess.CompletedProcess[str]:
    """Run the rig in a process of its own: it forks."""
    command = ["-c", program] if program else ["-m", "sweep", *words]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}/tools:{ROOT}/tests"}
    environment.pop("VSMMU_RUN_DIR", None)
    return subprocess.run(
        [sys.executable, *command], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("kind", "runs"),
    [("reader", 2), ("writer", 12), ("hook", 12), ("probe", 8)],
    ids=lambda value: str(value),
)
def test_no_failing_call_loses_anything_or_is_a_bug(kind: str, runs: int) -> None:
    done = sweep("--kind", kind, "--sample", str(runs))
    assert done.returncode == 0, done.stdout + done.stderr
    assert '"failures"' in done.stdout


#: A program of a test, its job, and the sweep of all of its calls.
RIG = """
import os, sys
from pathlib import Path
from tempfile import TemporaryDirectory
from sweep.__main__ import import_all
import_all()
from sweep.jobs import Job
from sweep.runs import Sweep
def careless(_pause):
    with open("target", "wb") as file:
        file.write(b"# Written by vsmmu {}\\n")
    return 0
def careful(_pause):
    from vsmmu.cli.main import run
    return run(["label", "--host", "HOST", "--write", "target"])
def whole(data):
    return data.startswith(b"# Written by vsmmu") and data.endswith(b"}\\n")
with TemporaryDirectory() as scratch:
    sweep = Sweep(Job("one", "writer", PROGRAM, "target", whole), Path(scratch) / "job")
    sweep.all(STRIDE)
    print(sorted({finding.split(": ")[2].split()[0] for finding in sweep.findings}))
    moments = sweep._undisturbed("again", anew=True)
    print(sorted({moment.name for moment in moments}))
"""


def test_the_rig_finds_a_careless_writer() -> None:
    """One without own errors, whose file is half written when it is killed, and not on disk when it ends."""
    done = sweep(program=RIG.replace("PROGRAM", "careless").replace("STRIDE", "1"))
    assert done.returncode == 0, done.stderr
    found = done.stdout.splitlines()[0]
    assert "'a'" in found  # a traceback
    assert "'neither'" in found  # the old file nor the new one
    assert "'at'" in found  # the end, not certain
    assert "'status'" in found


def test_each_call_of_a_careful_writer_is_reached() -> None:
    """The calls that can fail here are not a list that nobody makes."""
    done = sweep(program=RIG.replace("PROGRAM", "careful").replace("STRIDE", "6"))
    found, met = done.stdout.splitlines()
    assert found == "[]"
    for name in ("openat", "newfstatat", "readlink", "write", "fsync", "fchmod", "rename", "flock"):
        assert f"'{name}'" in met


def test_a_sweep_goes_on_where_one_was_ended(tmp_path: Path) -> None:
    """Pieces side by side make whole totals; those of the same code are not made twice."""
    noted = tmp_path / "results.json"
    words = ("-k", "label --host HOST", "--kind", "reader", "--stride", "5", "-j", "2", "--write", str(noted))
    done = sweep(*words)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = json.loads(noted.read_bytes())
    assert len(rows) == len(done.stdout.splitlines()) > 1
    assert all(row["failures"] == 6 * len(range(0, row["calls"], 5)) for row in rows.values())
    ended, *_ = rows
    rows[ended]["code"] = "another"
    noted.write_text(json.dumps(rows))
    again = sweep(*words, "--resume")
    assert [line.rpartition(": {")[0] for line in again.stdout.splitlines()] == [ended]
    assert json.loads(noted.read_bytes())[ended]["code"] != "another"
