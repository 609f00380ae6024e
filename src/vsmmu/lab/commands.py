# SPDX-License-Identifier: Apache-2.0
"""Run the programs that build the lab, with their output in a log."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from vsmmu.errors import HostLacks, PermissionRefused
from vsmmu.lab.errors import LabFailed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vsmmu.lab.recipe import Requirement

__all__ = ["install", "missing", "require_root", "run_logged", "tail"]

_TAIL_BYTES = 4096
#: The one way to install packages here; it waits for held locks. Shell, because it also installs Python.
_APT_INSTALL = Path(__file__).with_name("apt-install.sh")


def tail(path: Path, lines: int = 15) -> str:
    """The last *lines* of a file that may be large, binary or absent."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
            data = file.read()
    except FileNotFoundError:
        return ""
    text = "".join(c if c.isprintable() or c == "\n" else "" for c in data.decode(errors="replace"))
    return "\n".join(text.splitlines()[-lines:])


def run_logged(argv: Sequence[str], log: Path, env: dict[str, str] | None = None) -> None:
    """Run a program to its end, its output appended to *log*.

    :raise LabFailed: with the end of the log if the program fails.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        output.write(f"$ {' '.join(argv)}\n".encode())
        output.flush()
        result = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=os.environ | {"LC_ALL": "C.UTF-8"} | (env or {}),
            check=False,
        )
    if result.returncode:
        raise LabFailed(
            "lab-build-failed",
            f"{argv[0]} failed with status {result.returncode}",
            why=tail(log, 3),
            next=f"read {log}",
        )


def missing(requirements: Sequence[Requirement]) -> list[Requirement]:
    """Those of *requirements* that this machine does not have."""
    return [
        need
        for need in requirements
        if not (Path(need.probe).exists() if need.probe.startswith("/") else shutil.which(need.probe))
    ]


def require_root(action: str) -> None:
    """Refuse early what only root can do.

    :raise PermissionRefused: for everybody else.
    """
    if os.geteuid() != 0:
        raise PermissionRefused(
            "lab-needs-root",
            f"only root can {action}",
            next="run it as root; once built, the lab runs without (copy the cache or set VSMMU_LAB_CACHE)",
        )


def install(requirements: Sequence[Requirement], log: Path) -> None:
    """Install Debian packages, after other programs that hold apt's locks.

    :raise HostLacks: where there is no apt-get.
    :raise LabFailed: if it fails, or if a lock is still held after ``$VSMMU_APT_PATIENCE`` seconds (300).
    """
    packages = sorted({need.package for need in requirements})
    if shutil.which("apt-get") is None:
        probes = ", ".join(sorted(need.probe for need in requirements))
        raise HostLacks(
            "lab-tool-missing",
            f"building the lab needs {probes}",
            why="this is no Debian machine, so they cannot be installed here",
            next=f"install what Debian calls {' '.join(packages)}",
        )
    require_root(f"install {' '.join(packages)}")
    run_logged(["sh", str(_APT_INSTALL), *packages], log)
