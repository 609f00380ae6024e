# SPDX-License-Identifier: Apache-2.0
"""Small reads below a root directory: the machine's own, or a tree that stands for one in tests.

sysfs and proc files vanish, refuse and fail at any moment, and "not there" is an answer: every reader here
gives None (or nothing) instead of raising.
"""

from __future__ import annotations

import os
from typing import Final

__all__ = ["Tree"]

#: One page: no sysfs attribute is longer.
_LIMIT: Final = 4096


class Tree:
    """A file hierarchy with /sys, /proc, /dev and /run below ``root``."""

    __slots__ = ("root",)

    def __init__(self, root: str = "/") -> None:
        self.root = root.rstrip("/")

    @property
    def is_real(self) -> bool:
        """Whether this is the machine itself and not a tree made for a test."""
        return not self.root

    def path(self, path: str) -> str:
        """Where ``path`` (absolute, as on the machine) lies."""
        return self.root + path

    def run_directory(self) -> str:
        """Where probed facts, the lock and the journal live: ``VSMMU_RUN_DIR``, else /run/vsmmu."""
        return os.environ.get("VSMMU_RUN_DIR") or self.path("/run/vsmmu")

    def data(self, path: str, limit: int = _LIMIT) -> bytes | None:
        """At most ``limit`` bytes of a file; None if it cannot be read."""
        try:
            descriptor = os.open(self.root + path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except (OSError, ValueError):
            return None
        try:
            return os.read(descriptor, limit)
        except OSError:
            return None
        finally:
            os.close(descriptor)

    def text(self, path: str, limit: int = _LIMIT) -> str | None:
        """The same as text without surrounding blanks; bytes that are no ASCII are replaced."""
        data = self.data(path, limit)
        return None if data is None else data.decode("ascii", "replace").strip()

    def number(self, path: str) -> int | None:
        """A file that holds one decimal number; None if it holds anything else."""
        try:
            return int(self.text(path) or "", 10)
        except ValueError:
            return None

    def target(self, path: str) -> str | None:
        """Where a symbolic link points; None if there is none."""
        try:
            return os.readlink(self.root + path)  # noqa: PTH115 - pathlib costs more than the call
        except (OSError, ValueError):
            return None

    def link(self, path: str) -> str | None:
        """The last component of a symbolic link's target: sysfs names objects so."""
        target = self.target(path)
        return None if target is None else target.rpartition("/")[2]

    def names(self, path: str) -> list[str]:
        """The entries of a directory, sorted; none if there is no such directory."""
        try:
            return sorted(os.listdir(self.root + path))  # noqa: PTH208 - as above
        except OSError:
            return []

    def exists(self, path: str) -> bool:
        """Whether there is such a file (a dangling link counts as none)."""
        return os.path.exists(self.root + path)  # noqa: PTH110 - as above
