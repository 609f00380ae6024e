# SPDX-License-Identifier: Apache-2.0
"""The outer machine's QEMU: the system's, or Debian's run from a directory.

A program of the unpacked tree is started through the tree's own dynamic loader with the tree's own libraries.
That needs neither root nor mounts, and every path means the same inside and outside.
"""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vsmmu.errors import HostLacks
from vsmmu.lab.recipe import QEMU_MINIMUM

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["OuterMachine", "Tools", "outer_machine", "system_qemu"]

QEMU = "qemu-system-aarch64"


@dataclass(frozen=True, slots=True)
class OuterMachine:
    """Debian's name for this machine's architecture, and where its packages have loader and libraries."""

    architecture: str
    loader: str
    libraries: str


_MACHINES = {
    "x86_64": OuterMachine("amd64", "usr/lib64/ld-linux-x86-64.so.2", "usr/lib/x86_64-linux-gnu"),
    "aarch64": OuterMachine("arm64", "usr/lib/ld-linux-aarch64.so.1", "usr/lib/aarch64-linux-gnu"),
}


def outer_machine() -> OuterMachine:
    """This machine.

    :raise HostLacks: on one that Debian's packages of QEMU have not been tried on.
    """
    name = platform.machine()
    if name not in _MACHINES:
        raise HostLacks(
            "lab-machine",
            f"the lab runs on x86_64 and aarch64, this is {name}",
            next="use a machine of one of these kinds",
        )
    return _MACHINES[name]


@dataclass(frozen=True, slots=True)
class Tools:
    """The unpacked tree of tools, and the QEMU to use."""

    tree: Path
    machine: OuterMachine
    #: A QEMU of the system, or None for the one in the tree.
    system_qemu: str | None = None

    def program(self, path: str) -> list[str]:
        """The start of a command line that runs the tree's *path*, a program with shared libraries."""
        loader, libraries = self.tree / self.machine.loader, self.tree / self.machine.libraries
        return [str(loader), "--inhibit-cache", "--library-path", str(libraries), str(self.tree / path)]

    def qemu(self) -> list[str]:
        """The start of QEMU's command line."""
        if self.system_qemu is not None:
            return [self.system_qemu]
        return [*self.program(f"usr/bin/{QEMU}"), "-L", str(self.tree / "usr/share/qemu")]

    @property
    def firmware(self) -> Path:
        """UEFI for the lab host."""
        return self.tree / "usr/share/AAVMF/AAVMF_CODE.no-secboot.fd"


def qemu_version(text: str) -> tuple[int, ...]:
    """The version in what ``qemu-system-aarch64 --version`` prints; empty if there is none."""
    found = re.search(r"\bversion (\d+)\.(\d+)(?:\.(\d+))?", text)
    return tuple(int(part) for part in found.groups(default="0")) if found else ()


def system_qemu() -> str | None:
    """The system's QEMU, if it is new enough."""
    path = shutil.which(QEMU)
    if path is None:
        return None
    result = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
    return path if qemu_version(result.stdout) >= QEMU_MINIMUM else None
