# SPDX-License-Identifier: Apache-2.0
"""The real libvirt for tests; where it cannot be had, they are skipped, and with CI=true they fail."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import libvirt_tree
import pytest

from vsmmu.errors import HostLacks, PermissionRefused

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Libvirt = Callable[[str, dict[str, bytes]], libvirt_tree.Run]


@pytest.fixture(scope="session")
def libvirt_directory() -> Path:
    """libvirt 12.8, unpacked."""
    try:
        return libvirt_tree.ensure()
    except (HostLacks, PermissionRefused) as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(f"no libvirt here: {error}")


@pytest.fixture
def libvirt(libvirt_directory: Path, tmp_path: Path) -> Libvirt:
    """Runs a script beside a libvirtd of its own: ``libvirt(script, files)``."""

    def run(script: str, files: dict[str, bytes]) -> libvirt_tree.Run:
        return libvirt_tree.run(libvirt_directory, tmp_path, script, files)

    return run
