# SPDX-License-Identifier: Apache-2.0
"""Completion in real shells on a terminal: words with a colon, files, devices, verbs and options."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import shutil
import subprocess
import sys
import termios
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.xdist_group("completion")
SECONDS = 60
#: Each shell reads nothing of the user's.
START = {
    "bash": ["bash", "--norc", "--noprofile", "-i"],
    "zsh": ["zsh", "-f", "-i"],
    "fish": ["fish", "--no-config", "--interactive"],
}
SETUP = {
    "bash": ". ./script",
    "zsh": "autoload -U compinit; compinit -u -D; . ./script",
    "fish": "source ./script",
}
#: Asked for completions it is vsmmu; started, it writes down its arguments, each with a newline, and a line.
PROGRAM = """#!/bin/sh
[ -z "$_VSMMU_COMPLETE" ] || exec {python} -m vsmmu
{{ printf '%s\\n' "$@"; echo end; }} >> {ran}
"""
CASES = {
    "a verb": ("resol\t vm.sh", ["resolve", "vm.sh"]),
    "an option": ("show --regis\t", ["show", "--registers"]),
    "a choice": ("plan --policy com\t x", ["plan", "--policy", "common", "x"]),
    "a built-in host": ("show --host builtin:qemu\t", ["show", "--host", "builtin:qemu-virt"]),
    "a built-in host, from the colon on": ("compare builtin:th\t", ["compare", "builtin:thunderx2"]),
    "half of what stands before the colon": (
        "compare live b\tth\t",
        ["compare", "live", "builtin:thunderx2"],
    ),
    "an option's value behind =": ("show --host=builtin:qemu\t", ["show", "--host=builtin:qemu-virt"]),
    "a file where a host may stand": ("show --host some-f\t", ["show", "--host", "some-facts.json"]),
    "a file behind a host with a colon": (
        "check --host builtin:gb200 vm-of\t",
        ["check", "--host", "builtin:gb200", "vm-of-mine.sh"],
    ),
    "a function": (
        "show --host builtin:gb200 0009:02\t",
        ["show", "--host", "builtin:gb200", "0009:02:00.0"],
    ),
    "an SMMU": (
        "resolve --host builtin:gb200 --smmu smmu3.0x0000000012\t",
        ["resolve", "--host", "builtin:gb200", "--smmu", "smmu3.0x0000000012000000"],
    ),
    "a version of QEMU": ("check --qemu 10\t vm.sh", ["check", "--qemu", "10.2", "vm.sh"]),
    "a code": ("explain generic-i\t", ["explain", "generic-initiators-missing"]),
    "a file where a code may stand": ("explain vm-of\t", ["explain", "vm-of-mine.sh"]),
    "a schema": ("schema insp\t", ["schema", "inspection"]),
}


class Shell:
    """A shell on a terminal of its own, in a directory with two files."""

    def __init__(self, name: str, directory: Path) -> None:
        self.ran = directory / "ran"
        self.ran.touch()
        program = directory / "bin" / "vsmmu"
        program.parent.mkdir()
        program.write_text(PROGRAM.format(python=sys.executable, ran=self.ran))
        program.chmod(0o755)
        words = [sys.executable, "-m", "vsmmu", "completion", name]
        (directory / "script").write_bytes(subprocess.run(words, capture_output=True, check=True).stdout)
        for file in ("some-facts.json", "vm-of-mine.sh"):
            (directory / file).touch()
        environment = {
            "PATH": f"{program.parent}:{os.environ['PATH']}",
            "HOME": str(directory),
            "TERM": "xterm",
            "LC_ALL": "C.UTF-8",
        }
        self.master, slave = pty.openpty()
        self.process = subprocess.Popen(
            START[name],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            cwd=directory,
            env=environment,
            start_new_session=True,
            preexec_fn=_take_terminal,
        )
        os.close(slave)
        self.shown = b""
        self.run(f"{SETUP[name]}; vsmmu ready", "")

    def run(self, line: str, before: str = "vsmmu ") -> list[str]:
        """Type a line with tabs in it, and return; what the program then was started with."""
        at = self.ran.stat().st_size
        for part in re.split(r"(?<=\t)", f"{before}{line}"):
            os.write(self.master, part.encode())
            self.read(0.1)
        os.write(self.master, b"\r")
        end = time.monotonic() + SECONDS
        while not (found := self.ran.read_text()[at:]).endswith("end\n"):
            if time.monotonic() > end:
                pytest.fail(f"the program was not started; the terminal says {self.shown[-1000:]!r}")
            self.read(0.1)
        return found.splitlines()[:-1]

    def read(self, seconds: float) -> None:
        while select.select([self.master], [], [], seconds)[0]:
            self.shown += os.read(self.master, 65536)
            # fish asks a terminal who it is, and waits for the answer.
            if b"\x1b[0c" in self.shown[-64:] or b"\x1b[c" in self.shown[-64:]:
                os.write(self.master, b"\x1b[?62c")

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.master)


def _take_terminal() -> None:
    """Make it the terminal of this session, without which fish does not start."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


@pytest.fixture(scope="module", params=START)
def shell(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    if shutil.which(request.param) is None:
        assert os.environ.get("CI") != "true", "make system installs it"
        pytest.skip(f"no {request.param} here (make system)")
    running = Shell(request.param, tmp_path_factory.mktemp(request.param))
    yield running
    running.close()


@pytest.mark.parametrize("case", CASES)
def test_a_shell_completes(shell: Shell, case: str) -> None:
    line, expected = CASES[case]
    assert shell.run(line) == expected
