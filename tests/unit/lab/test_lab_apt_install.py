# SPDX-License-Identifier: Apache-2.0
"""Installing packages while another program holds locks: the real apt-get, in directories of its own."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from vsmmu.lab import commands
from vsmmu.lab.errors import LabFailed
from vsmmu.lab.recipe import Requirement

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Hold = Callable[[Path], subprocess.Popen[str]]

SCRIPT = Path(commands.__file__).with_name("apt-install.sh")
#: What apt-get update and apt-get install lock; only for the last two has apt an option to wait.
LOCKS = ("lists/lock", "cache/archives/lock", "dpkg/lock-frontend", "dpkg/lock")
HOLD = """
import fcntl, sys, time
with open(sys.argv[1], "w") as lock:
    fcntl.lockf(lock, fcntl.LOCK_EX)
    print("held", flush=True)
    time.sleep(600)
"""

pytestmark = pytest.mark.skipif(
    shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None, reason="no apt-get here"
)


@pytest.fixture
def apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """apt's directories, with a source that has one package; dpkg is left out, what it would do is root's."""
    for name in ("lists/partial", "cache/archives/partial", "dpkg", "source", "package/DEBIAN", "parts"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "dpkg/status").touch()
    (tmp_path / "package/DEBIAN/control").write_text(
        "Package: thing\nVersion: 1\nArchitecture: all\nMaintainer: x <x@example.org>\nDescription: x\n"
    )
    deb = tmp_path / "source/thing_1_all.deb"
    subprocess.run(["dpkg-deb", "-b", tmp_path / "package", deb], check=True, capture_output=True)
    index = (tmp_path / "package/DEBIAN/control").read_text()
    (tmp_path / "source/Packages").write_text(
        f"{index}Filename: ./{deb.name}\nSize: {deb.stat().st_size}\n"
        f"SHA256: {hashlib.sha256(deb.read_bytes()).hexdigest()}\n\n"
    )
    (tmp_path / "sources.list").write_text(f"deb [trusted=yes] copy:{tmp_path}/source ./\n")
    settings = {
        "Dir::Etc::main": "/dev/null",
        "Dir::Etc::parts": tmp_path / "parts",
        "Dir::Etc::sourcelist": tmp_path / "sources.list",
        "Dir::Etc::sourceparts": tmp_path / "parts",
        "Dir::Etc::preferencesparts": tmp_path / "parts",
        "Dir::State::lists": tmp_path / "lists",
        "Dir::State::status": tmp_path / "dpkg/status",
        "Dir::State::extended_states": tmp_path / "dpkg/extended",
        "Dir::Cache": tmp_path / "cache",
        "Dir::Log": tmp_path / "cache",
        "Dir::Bin::dpkg": "true",
        "APT::Sandbox::User": "root" if os.geteuid() == 0 else "",
    }
    (tmp_path / "apt.conf").write_text("".join(f'{key} "{value}";\n' for key, value in settings.items()))
    monkeypatch.setenv("APT_CONFIG", str(tmp_path / "apt.conf"))
    return tmp_path


@pytest.fixture
def hold() -> Iterator[Hold]:
    """Let another process hold a lock until it is killed."""
    holders: list[subprocess.Popen[str]] = []

    def start(lock: Path) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", HOLD, str(lock)]
        holders.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        assert holders[-1].stdout is not None
        assert holders[-1].stdout.readline() == "held\n"
        return holders[-1]

    yield start
    for holder in holders:
        holder.kill()
        holder.communicate()


def installing(patience: int, package: str = "thing") -> subprocess.Popen[str]:
    return subprocess.Popen(
        ["sh", SCRIPT, package],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"VSMMU_APT_PATIENCE": str(patience)},
    )


@pytest.mark.parametrize("lock", LOCKS)
def test_a_held_lock_is_waited_for(apt: Path, hold: Hold, lock: str) -> None:
    holder, install = hold(apt / lock), installing(60)
    assert install.stderr is not None
    waiting = install.stderr.readline()
    assert waiting.startswith("Waiting up to 60 s: Could not get lock"), waiting
    assert f"It is held by process {holder.pid} " in waiting
    holder.kill()
    stdout, stderr = install.communicate(timeout=60)
    assert (install.returncode, stderr) == (0, "")
    assert "thing" in stdout


def test_the_wait_is_bounded(apt: Path, hold: Hold) -> None:
    holder, install = hold(apt / LOCKS[0]), installing(1)
    _, stderr = install.communicate(timeout=60)
    assert install.returncode == 100
    assert f"It is held by process {holder.pid} " in stderr
    assert "Waited 1 s for it. End the other program, or set VSMMU_APT_PATIENCE." in stderr


def test_other_failures_are_not_waited_for(apt: Path) -> None:
    install = installing(60, "no-such-package")
    _, stderr = install.communicate(timeout=60)
    assert install.returncode == 100
    assert "Unable to locate package no-such-package" in stderr
    assert "Waiting" not in stderr


def test_the_lab_installs_that_way(apt: Path, hold: Hold, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "require_root", lambda action: None)
    monkeypatch.setenv("VSMMU_APT_PATIENCE", "1")
    commands.install([Requirement("thing", "thing")], apt / "log")
    holder = hold(apt / LOCKS[0])
    with pytest.raises(LabFailed) as caught:
        commands.install([Requirement("thing", "thing")], apt / "log")
    assert f"It is held by process {holder.pid} " in caught.value.why


def test_two_at_once_both_succeed(apt: Path) -> None:
    both = [installing(60), installing(60)]
    said = [process.communicate(timeout=60) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
