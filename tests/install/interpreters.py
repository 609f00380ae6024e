# SPDX-License-Identifier: Apache-2.0
"""The Python interpreters of this machine among those that pyproject.toml promises to do with."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tomllib
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
_ASK = (
    "import ensurepip, json, platform, venv\n"
    "print(json.dumps([platform.python_version(), ensurepip.version()]))"
)


class Interpreter(NamedTuple):
    """An interpreter that can make virtual environments."""

    path: Path
    minor: str
    version: str
    pip: str


def supported() -> tuple[str, ...]:
    """The minor versions that pyproject.toml promises."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    last = [line.rpartition(" ")[2] for line in project["classifiers"] if ":: Python ::" in line]
    return tuple(version for version in last if "." in version)


def clean_environment(**more: str) -> dict[str, str]:
    """This process's environment without what would lead an interpreter back to the checkout."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTHON", "VIRTUAL_", "COV_"))
    }
    return kept | more


@cache
def interpreters() -> tuple[Interpreter, ...]:
    """One of each supported minor version that is there: Debian's, those in PATH and a version manager's."""
    found: dict[str, Interpreter] = {}
    for path in _candidates():
        # A version manager's shim may be there and still fail, so each has to prove itself.
        done = subprocess.run(
            [path, "-I", "-c", _ASK], capture_output=True, text=True, check=False, env=clean_environment()
        )
        if done.returncode == 0:
            version, pip = json.loads(done.stdout)
            minor = ".".join(version.split(".")[:2])
            found.setdefault(minor, Interpreter(path, minor, version, pip))
    return tuple(found[minor] for minor in supported() if minor in found)


def _candidates() -> list[Path]:
    names = ["python3", *(f"python{version}" for version in supported())]
    inside = [Path("/usr/bin", name) for name in names]
    inside += [Path(path) for name in names if (path := shutil.which(name))]
    managed = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv", "versions")
    inside += [path for version in supported() for path in sorted(managed.glob(f"{version}.*/bin/python3"))]
    return [path for path in dict.fromkeys(inside) if os.access(path, os.X_OK)]
