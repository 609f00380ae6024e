# SPDX-License-Identifier: Apache-2.0
"""The browser of a test module."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from chromium import PROGRAM, Chromium

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    assert PROGRAM is not None, "apt-get install chromium"
    running = Chromium(PROGRAM, tmp_path_factory.mktemp("profile"))
    yield running
    running.close()
