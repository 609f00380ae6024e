# SPDX-License-Identifier: Apache-2.0
"""A probe against a C program that makes the same system calls on the same device, in the lab, in one run.

Needs what the lab needs, an arm64 cross compiler, and the kernel's headers (``--headers``, or where the tests
of the uAPI have put them). ``measure()`` gives the figures to other programs.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from measure import record, skip

from vsmmu.lab import LabConfig, Session

HERE = Path(__file__).parent
COMPILER = "aarch64-linux-gnu-gcc"
DEVICES = {"e1000e": "0000:00:05.0", "nvme": "0000:00:06.0"}


def default_headers() -> Path:
    """Where tests/unit/uapi/test_uapi_structs.py keeps the headers of trixie-backports."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "vsmmu" / "kernel-headers" / "trixie-backports"


def build_peer(headers: Path, target: Path) -> None:
    """Compile the C program, without libraries that the lab might lack."""
    include = headers / "usr/include"
    subprocess.run(
        [COMPILER, "-O2", "-Wall", "-Werror", "-static", "-isystem", include / "aarch64-linux-gnu",
         "-isystem", include, "-o", target, HERE / "peer.c"],
        check=True,
    )  # fmt: skip


def measure(headers: Path | None = None, kernel: Path | None = None, turns: int = 5) -> dict[str, float]:
    """Medians in milliseconds, and ratios to the C program.

    :param kernel: a prebuilt kernel for the lab.
    """
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as scratch, Session(LabConfig(kernel=kernel)) as lab:
        peer = Path(scratch) / "peer"
        build_peer(headers or default_headers(), peer)
        lab.put({"/root/peer": peer, "/root/inside.py": HERE / "inside.py"})
        lab.run(["chmod", "+x", "/root/peer"])
        for name, address in DEVICES.items():
            done = lab.run(["python3", "/root/inside.py", address, str(turns), "3"], timeout=300)
            if done.status:
                sys.exit(done.stderr.decode())
            medians = {key: statistics.median(value) / 1e6 for key, value in json.loads(done.stdout).items()}
            figures |= {f"{name} {key} ms": round(value, 2) for key, value in medians.items()}
            figures[f"{name} ratio"] = round(medians["vsmmu"] / medians["c"], 3)
            whole = (medians["vsmmu probe"] - medians["python"]) / medians["c"]
            figures[f"{name} whole command ratio"] = round(whole, 3)
    return figures


def main() -> None:
    """Print the figures, and write them down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--headers", type=Path, default=None)
    parser.add_argument("--kernel", type=Path, default=os.environ.get("VSMMU_LAB_KERNEL"))
    parser.add_argument("--turns", type=int, default=5)
    options = parser.parse_args()
    missing = [name for name in (COMPILER,) if shutil.which(name) is None]
    if missing or os.geteuid():
        skip("probe", f"needs root and {COMPILER} (Debian: gcc-aarch64-linux-gnu)")
        return
    figures = measure(options.headers, options.kernel, options.turns)
    for name, value in figures.items():
        print(f"{name:32} {value:10.3f}")
    ratios = [value for name, value in figures.items() if name.endswith(" ratio") and "command" not in name]
    record("probe", figures, {"asking, of a C program": max(ratios)})


if __name__ == "__main__":
    main()
