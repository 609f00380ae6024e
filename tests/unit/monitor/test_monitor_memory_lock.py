# SPDX-License-Identifier: Apache-2.0
"""How much memory a process may lock, with and without a limit and the capability."""

from __future__ import annotations

import resource
from typing import TYPE_CHECKING

import pytest

from vsmmu.monitor.memory_lock import lockable_memory

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("status", "limit", "lockable"),
    [
        ("CapEff:\t0000000000000000\n", 8 << 20, 8 << 20),
        ("CapEff:\t0000000000004000\n", 8 << 20, None),
        ("CapEff:\t0000000000000000\n", resource.RLIM_INFINITY, None),
        ("CapEff:\t?\n", 8 << 20, None),
        (None, 8 << 20, None),
    ],
)
def test_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: str | None, limit: int, lockable: int | None
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _kind: (limit, limit))
    if status is not None:
        (tmp_path / "proc/self").mkdir(parents=True)
        (tmp_path / "proc/self/status").write_text(f"Name:\tx\n{status}")
    assert lockable_memory(str(tmp_path)) == lockable


def test_of_this_process() -> None:
    found = lockable_memory()
    assert found in (None, resource.getrlimit(resource.RLIMIT_MEMLOCK)[0])
