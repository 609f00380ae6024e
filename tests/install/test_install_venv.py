# SPDX-License-Identifier: Apache-2.0
"""requirements/make-venv installs what the lock pins, also where newer releases have been published since.

A small checkout with a lock of its own, an index that is a folder, and the real script. The packages need
each other as ours do: one needs another with an extra, of which pip before 23.3 makes a requirement that the
pin does not answer.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest
from interpreters import ROOT, Interpreter, clean_environment, interpreters

_PLUGIN = {"Requires-Dist": ("measured[toml]>=1",)}
_MEASURED = {"Provides-Extra": ("toml", "xml"), "Requires-Dist": ()}
_TAGS = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
_OURS = "Metadata-Version: 2.1\nName: ours\nVersion: 0\nRequires-Dist: plugin>=1\n"
_BUILDER = f"""
import zipfile
TAGS, METADATA = {_TAGS!r}, {_OURS!r}
def get_requires_for_build_editable(config_settings=None):
    return []
def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
    with zipfile.ZipFile(wheel_directory + "/ours-0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("ours.py", "builder = 'VERSION'")
        wheel.writestr("ours-0.dist-info/METADATA", METADATA)
        wheel.writestr("ours-0.dist-info/WHEEL", TAGS)
        wheel.writestr("ours-0.dist-info/RECORD", "")
    return "ours-0-py3-none-any.whl"
"""
_PROJECT = """
[build-system]
requires = ["builder>=1"]
build-backend = "builder"
[project]
name = "ours"
version = "0"
"""


def _wheel(index: Path, name: str, version: str, more: dict[str, tuple[str, ...]], code: str = "") -> str:
    """Publish a wheel of one module; gives its hash."""
    path = index / f"{name}-{version}-py3-none-any.whl"
    about = f"{name}-{version}.dist-info"
    fields = [f"{field}: {value}" for field, values in more.items() for value in values]
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(f"{name}.py", code)
        head = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
        wheel.writestr(f"{about}/METADATA", "\n".join([*head, *fields, ""]))
        wheel.writestr(f"{about}/WHEEL", _TAGS)
        wheel.writestr(f"{about}/RECORD", "")
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _publish(index: Path, version: str) -> dict[str, str]:
    return {
        "plugin": _wheel(index, "plugin", version, _PLUGIN),
        "measured[toml,xml]": _wheel(index, "measured", version, _MEASURED),
        "builder": _wheel(index, "builder", version, {}, _BUILDER.replace("VERSION", version)),
    }


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout whose lock pins 1.0 of everything; the index beside it has 2.0 as well."""
    index = tmp_path / "index"
    index.mkdir()
    hashes = _publish(index, "1.0")
    _publish(index, "2.0")
    where = tmp_path / "checkout"
    (where / "requirements").mkdir(parents=True)
    shutil.copy(ROOT / "requirements" / "make-venv", where / "requirements" / "make-venv")
    pinned = "".join(f"{name}==1.0 \\\n    --hash=sha256:{value}\n" for name, value in hashes.items())
    (where / "requirements" / "lock.txt").write_text(pinned, encoding="utf-8")
    (where / "pyproject.toml").write_text(_PROJECT, encoding="utf-8")
    return where


def make_venv(
    checkout: Path, interpreter: Interpreter | None = None, **more: str
) -> subprocess.CompletedProcess[str]:
    index = checkout.parent / "index"
    only_there = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(index), "PIP_CONFIG_FILE": "/dev/null"}
    command = ["sh", "requirements/make-venv", "venv", "requirements/lock.txt"]
    chosen = {"PYTHON": str(interpreter.path)} if interpreter is not None else {}
    environment = clean_environment(**chosen, **only_there, **more)
    return subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, check=False)


def installed(checkout: Path) -> dict[str, str]:
    code = (
        "import ours; from importlib.metadata import version\n"
        "print(*(version(name) for name in ('plugin', 'measured', 'builder')), ours.builder)"
    )
    done = subprocess.run(
        [checkout / "venv/bin/python", "-I", "-c", code], capture_output=True, text=True, check=True
    )
    return dict(zip(("plugin", "measured", "builder", "built with"), done.stdout.split(), strict=True))


@pytest.mark.parametrize("interpreter", interpreters(), ids=lambda it: f"{it.version}, pip {it.pip}")
def test_locked_versions_are_installed_beside_newer_ones(checkout: Path, interpreter: Interpreter) -> None:
    done = make_venv(checkout, interpreter)
    assert (done.returncode, done.stderr) == (0, "")
    assert set(installed(checkout).values()) == {"1.0"}


def test_incomplete_lock_is_refused_and_not_filled_up(checkout: Path) -> None:
    lock = checkout / "requirements" / "lock.txt"
    lines = lock.read_text(encoding="utf-8").splitlines(keepends=True)
    start = next(number for number, line in enumerate(lines) if line.startswith("measured"))
    lock.write_text("".join(lines[:start] + lines[start + 2 :]), encoding="utf-8")
    done = make_venv(checkout, interpreters()[0])
    assert done.returncode == 5
    assert "plugin 1.0 requires measured, which is not installed." in done.stderr
    assert "make clean" in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts VMs for others")
@pytest.mark.parametrize("others", ["", "/usr/bin"])
def test_root_takes_a_python_that_others_can_run(checkout: Path, tmp_path: Path, others: str) -> None:
    """Not the first in PATH, which lies in a closed folder; with a note, if there is no other."""
    closed, tools = tmp_path / "closed", tmp_path / "tools"
    closed.mkdir(mode=0o700)
    tools.mkdir()
    system = Path("/usr/bin/python3")
    if system not in [entry.path for entry in interpreters()]:
        pytest.skip("the system's Python is older, or makes no virtual environments")
    shutil.copy(system.resolve(), closed / "python3")
    for name in ("sh", "id", "dirname"):
        (tools / name).symlink_to(str(shutil.which(name)))
    script = checkout / "requirements" / "make-venv"
    if not others:  # the last resort is a path
        script.write_text(script.read_text().replace(str(system), "/nonexistent"))
    done = make_venv(checkout, PATH=":".join(filter(None, (str(closed), str(tools), others))))
    assert done.returncode == 0, done.stderr
    assert ("only root can run python3" in done.stderr) is (not others)
    base = (checkout / "venv/bin/python").resolve()
    assert base.is_relative_to(closed) is (not others)
