# SPDX-License-Identifier: Apache-2.0
"""The lab for tests: one boot for each configuration and test process, shared by all tests that want it.

The kernel is the one that VSMMU_LAB_KERNEL names, else a prebuilt kernel found in ../shared/lab, if there is
one, else what ``vsmmu lab build`` makes. Where the lab cannot be built, its tests are skipped; with CI=true
they fail.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from vsmmu.errors import HostLacks, PermissionRefused
from vsmmu.lab import LabConfig, Session
from vsmmu.lab.build import ensure
from vsmmu.lab.cache import Cache

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def prebuilt_kernel() -> Path | None:
    """A kernel that need not be compiled first."""
    if given := os.environ.get("VSMMU_LAB_KERNEL"):
        return Path(given)
    found = sorted((Path(__file__).parents[2].parent / "shared" / "lab").glob("Image*"))
    return found[-1] if found else None


@pytest.fixture(scope="session")
def lab_config() -> LabConfig:
    """The default configuration, after making sure that all of it is built."""
    config = LabConfig(kernel=prebuilt_kernel())
    try:
        ensure(Cache.default(), config.kernel)
    except (HostLacks, PermissionRefused) as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(f"no lab here: {error}")
    return config


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
