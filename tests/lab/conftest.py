# SPDX-License-Identifier: Apache-2.0
"""The lab for tests: one boot for each configuration and test process, shared by all tests that want it.

The kernel is the one that VSMMU_LAB_KERNEL names, which tests/conftest.py sets to a prebuilt one that fits,
else the one that ``vsmmu lab build`` makes. Where the lab cannot be built, its tests are skipped; with
CI=true they fail.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from quoted import MADE_OF
from vsmmu.errors import HostLacks, PermissionRefused
from vsmmu.lab import LabConfig, Session
from vsmmu.lab.build import ensure
from vsmmu.lab.cache import Cache

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from vsmmu.lab.build import Artifacts


@pytest.fixture(scope="session")
def lab_artifacts() -> Artifacts:
    """All that a start needs, built now if it is not there."""
    given = os.environ.get("VSMMU_LAB_KERNEL")
    try:
        return ensure(Cache.default(), Path(given) if given else None)
    except (HostLacks, PermissionRefused) as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(f"no lab here: {error}")


@pytest.fixture(scope="session")
def lab_config(lab_artifacts: Artifacts) -> LabConfig:
    """The default configuration."""
    return LabConfig(kernel=lab_artifacts.kernel)


@pytest.fixture(autouse=True)
def _made_of(request: pytest.FixtureRequest, record_property: Callable[[str, object], None]) -> None:
    """Put the versions of kernel and QEMU into the report of every test that runs in the lab."""
    if "lab_artifacts" in request.fixturenames:
        artifacts: Artifacts = request.getfixturevalue("lab_artifacts")
        record_property(MADE_OF, f"lab: {artifacts.summary()}")


@pytest.fixture(scope="session")
def lab_sessions(lab_config: LabConfig) -> Iterator[Callable[[LabConfig], Session]]:
    """Booted sessions by configuration; a second request for one gives the same session, if it still runs."""
    with ExitStack() as stack:
        running: dict[LabConfig, Session] = {}

        def session(config: LabConfig) -> Session:
            if config not in running or not running[config].alive:
                running[config] = stack.enter_context(Session(config))
            return running[config]

        yield session


@pytest.fixture
def lab(lab_sessions: Callable[[LabConfig], Session], lab_config: LabConfig) -> Session:
    """A lab host with a device tree: the quickest, but the kernel refuses nested translation."""
    return lab_sessions(lab_config)


@pytest.fixture
def lab_acpi(lab_sessions: Callable[[LabConfig], Session], lab_config: LabConfig) -> Session:
    """A lab host with UEFI, ACPI and CANWBS: nested translation works."""
    return lab_sessions(lab_config.with_acpi())
