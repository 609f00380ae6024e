# SPDX-License-Identifier: Apache-2.0
"""Limit on the memory that this process, and so a QEMU that it would start, may lock."""

from __future__ import annotations

import resource
from pathlib import Path
from typing import Final

__all__ = ["lockable_memory"]

_CAP_IPC_LOCK: Final = 14


def lockable_memory(root: str = "/") -> int | None:
    """RLIMIT_MEMLOCK in bytes; None for no limit, which is so for a process with CAP_IPC_LOCK, too.

    :param root: another directory for ``/proc``.
    """
    limit = resource.getrlimit(resource.RLIMIT_MEMLOCK)[0]
    return None if limit == resource.RLIM_INFINITY or _may_lock_all(root) else limit


def _may_lock_all(root: str) -> bool:
    """Whether CAP_IPC_LOCK is effective; taken to be so where /proc does not say."""
    try:
        status = Path(root, "proc/self/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return True
    words = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    try:
        return bool(int(words["CapEff"], 16) >> _CAP_IPC_LOCK & 1)
    except (KeyError, ValueError):
        return True
