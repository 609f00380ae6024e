# SPDX-License-Identifier: Apache-2.0
"""The cache: every artifact in a directory named after its recipe, complete or absent."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = ["Cache", "default_directory"]

_TEMPORARY = ".making-"


def default_directory(environ: Mapping[str, str]) -> Path:
    """``$VSMMU_LAB_CACHE``, else ``vsmmu/lab`` in the user's cache directory."""
    if given := environ.get("VSMMU_LAB_CACHE"):
        return Path(given).absolute()
    if xdg := environ.get("XDG_CACHE_HOME"):
        return Path(xdg).absolute() / "vsmmu" / "lab"
    return Path("~/.cache/vsmmu/lab").expanduser()


class Cache:
    """A directory of artifacts; safe for builders that run at the same time."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    @classmethod
    def default(cls) -> Cache:
        """The cache that this user's environment names."""
        return cls(default_directory(os.environ))

    def path(self, name: str) -> Path:
        """Where the artifact *name* is or will be."""
        return self.directory / name

    def has(self, name: str) -> bool:
        """Whether the artifact is there; then it is complete."""
        return self.path(name).is_dir()

    def log(self, name: str) -> Path:
        """Where the output of the programs that make *name* goes."""
        return self.directory / f"{name}.log"

    @contextlib.contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        self.directory.mkdir(parents=True, exist_ok=True)
        with (self.directory / f".lock-{name}").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def publish(self, name: str, make: Callable[[Path], None]) -> Path:
        """The artifact *name*, made by ``make(directory)`` unless it is there.

        It is made beside its place and renamed when it is complete. A second caller waits for the first; what
        a killed one has left is removed.
        """
        if self.has(name):  # Needs no lock, hence no right to write.
            return self.path(name)
        with self._locked(name):
            if self.has(name):
                return self.path(name)
            for left in self.directory.glob(f"{_TEMPORARY}{name}-*"):
                shutil.rmtree(left)
            with self._temporary(name) as temporary:
                make(temporary)
                temporary.rename(self.path(name))
            return self.path(name)

    @contextlib.contextmanager
    def _temporary(self, name: str) -> Iterator[Path]:
        temporary = Path(tempfile.mkdtemp(prefix=f"{_TEMPORARY}{name}-", dir=self.directory))
        temporary.chmod(0o755)
        try:
            yield temporary
        finally:
            if temporary.exists():
                shutil.rmtree(temporary)

    def clean(self) -> None:
        """Remove all of it."""
        if self.directory.exists():
            shutil.rmtree(self.directory)
