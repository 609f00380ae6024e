# SPDX-License-Identifier: Apache-2.0
"""Small reads below a root directory: the machine's own, or a tree that stands for one in tests.

sysfs and proc files vanish, refuse and fail at any moment, and "not there" is an answer: every reader of a
:class:`Tree` gives None (or nothing) instead of raising. Where a change of the machine hangs on the answer,
that is not enough: the readers of :meth:`Tree.strict` raise unless the file is certainly not there.
"""

from __future__ import annotations

import errno
import os
from typing import Final

__all__ = ["StrictTree", "Tree"]

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

    def strict(self) -> StrictTree:
        """The same files, whose readers take nothing but ENOENT for "not there"."""
        return StrictTree(self.root)

    def run_directory(self) -> str:
        """Where probed facts, the lock and the journal live: ``VSMMU_RUN_DIR``, else /run/vsmmu."""
        return os.environ.get("VSMMU_RUN_DIR") or self.path("/run/vsmmu")

    def data(self, path: str, limit: int = _LIMIT) -> bytes | None:
        """At most ``limit`` bytes of a file; None if it cannot be read."""
        try:
            descriptor = os.open(self.root + path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            try:
                return _read(descriptor, limit)
            finally:
                os.close(descriptor)
        except (OSError, ValueError) as error:
            self._without(error)
            return None

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
        except (OSError, ValueError) as error:
            if not isinstance(error, OSError) or error.errno != errno.EINVAL:  # that says: no link
                self._without(error)
            return None

    def link(self, path: str) -> str | None:
        """The last component of a symbolic link's target: sysfs names objects so."""
        target = self.target(path)
        return None if target is None else target.rpartition("/")[2]

    def names(self, path: str) -> list[str]:
        """The entries of a directory, sorted; none if there is no such directory."""
        try:
            return sorted(os.listdir(self.root + path))  # noqa: PTH208 - as above
        except OSError as error:
            self._without(error)
            return []

    def exists(self, path: str) -> bool:
        """Whether there is such a file (a dangling link counts as none)."""
        try:
            os.stat(self.root + path)  # noqa: PTH116 - as above
        except (OSError, ValueError) as error:
            self._without(error)
            return False
        return True

    def _without(self, error: OSError | ValueError) -> None:
        """What a reader answers that met ``error``."""


class StrictTree(Tree):
    """A tree whose readers raise OSError where they cannot tell whether something is there."""

    __slots__ = ()

    def _without(self, error: OSError | ValueError) -> None:
        if not isinstance(error, OSError) or error.errno != errno.ENOENT:
            raise error


def _read(descriptor: int, limit: int) -> bytes:
    """A sysfs attribute comes in one piece, longer files of the kernel a page at a time."""
    data = os.read(descriptor, limit)
    while limit > _LIMIT and len(data) < limit:
        more = os.read(descriptor, limit - len(data))
        if not more:
            break
        data += more
    return data
