# SPDX-License-Identifier: Apache-2.0
"""The probe's lock: one probe at a time on a machine."""

from __future__ import annotations

import fcntl
import os
import stat
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from vsmmu.errors import HostLacks, Negative, PermissionRefused

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["PATIENCE", "exclusive"]

#: Seconds to wait for another probe, which takes less than one for each function.
PATIENCE: Final = 30.0
_INTERVAL: Final = 0.02


@contextmanager
def exclusive(directory: str, patience: float = PATIENCE) -> Iterator[None]:
    """Hold the lock of a run directory, which is made if its parent exists. The kernel frees it when we die.

    :raise Negative: ``probe-busy`` after ``patience`` seconds.
    :raise PermissionRefused: ``no-permission``; ``unsafe-directory`` where others could write what we act on.
    :raise HostLacks: ``no-run-directory``.
    """
    path = f"{directory}/lock"
    try:
        Path(directory).mkdir(mode=0o755, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except PermissionError as error:
        raise PermissionRefused(
            "no-permission",
            "may not probe",
            where=path,
            why=os.strerror(error.errno or 0),
            next="run as root; without, show and resolve use what root has probed",
        ) from None
    except OSError as error:
        raise HostLacks(
            "no-run-directory",
            "cannot make the lock file",
            where=path,
            why=os.strerror(error.errno or 0),
            next="run as root, or set VSMMU_RUN_DIR to a folder of yours",
        ) from None
    try:
        _check_owner(directory)
        _acquire(descriptor, path, patience)
        yield
    finally:
        os.close(descriptor)


def _check_owner(directory: str) -> None:
    """What the journal says is done as root: nobody else may be able to write it."""
    status = Path(directory).stat()
    if status.st_uid not in (0, os.geteuid()) or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise PermissionRefused(
            "unsafe-directory",
            "others may write to the run directory",
            where=directory,
            why=f"owner {status.st_uid}, mode {stat.S_IMODE(status.st_mode):o}",
            next="let VSMMU_RUN_DIR name a directory of yours that only you may write to",
        )


def _acquire(descriptor: int, path: str, patience: float) -> None:
    deadline = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise Negative(
                    "probe-busy",
                    f"another probe has not ended for {patience:.0f} seconds",
                    where=path,
                    next="see who holds the file (fuser), and try again",
                ) from None
            time.sleep(_INTERVAL)
        else:
            return
