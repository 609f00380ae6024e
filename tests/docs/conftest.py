# SPDX-License-Identifier: Apache-2.0
"""Examples that need the lab find it built, or are skipped; in CI they fail instead."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vsmmu.errors import HostLacks, PermissionRefused
from vsmmu.lab.build import ensure
from vsmmu.lab.cache import Cache


@pytest.fixture
def lab_built() -> None:
    given = os.environ.get("VSMMU_LAB_KERNEL")
    try:
        ensure(Cache.default(), Path(given) if given else None)
    except (HostLacks, PermissionRefused) as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(f"no lab here: {error}")
