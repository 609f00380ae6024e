# SPDX-License-Identifier: Apache-2.0
"""The made-up host of the probe's and the doctor's tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fake_host import FakeHost, FakeWriter

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def _no_run_directory_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VSMMU_RUN_DIR", raising=False)


@pytest.fixture
def fake(tmp_path: Path) -> FakeHost:
    """One SMMU; a NIC on its own driver, two functions on vfio-pci, a bridge, an untranslated function."""
    host = FakeHost(tmp_path / "host")
    host.smmu(node=1)
    host.function("0000:00:00.0", kind="60000", ids="1B36:0008", group=0)
    host.function("0000:00:05.0", group=1, driver="e1000e")
    host.function("0000:00:06.0", group=2, driver="vfio-pci", ids="1B36:0010", kind="10802")
    host.function("0000:00:07.0", group=3, driver="vfio-pci", ids="10DE:2941", kind="30200")
    host.function("0001:00:01.0", smmu=None)
    return host


@pytest.fixture
def writer(fake: FakeHost) -> FakeWriter:
    return FakeWriter(fake)
