# SPDX-License-Identifier: Apache-2.0
"""How the tests themselves run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from _pytest.fixtures import FixtureRequest


def test_the_lab_suite_stays_on_one_worker(request: FixtureRequest) -> None:
    """Otherwise every worker boots machines of its own, which takes longer than one after the other."""
    if not request.config.getoption("loadgroup", False):
        pytest.skip("not distributed by group")
    lab = [item for item in request.session.items if item.get_closest_marker("lab")]
    assert [item.nodeid for item in lab if not item.nodeid.endswith("@lab")] == []
