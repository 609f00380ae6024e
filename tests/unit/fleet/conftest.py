# SPDX-License-Identifier: Apache-2.0
"""A pool on disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fleet_examples import GRACE, OLD, lines

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def facts(tmp_path: Path) -> Path:
    """Three nodes of one kind and an older one, as JSON Lines."""
    path = tmp_path / "hosts.jsonl"
    path.write_bytes(lines(*GRACE, OLD))
    return path
