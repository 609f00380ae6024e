# SPDX-License-Identifier: Apache-2.0
"""The archive that the lab takes packages from is apt's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from vsmmu.errors import HostLacks
from vsmmu.lab.mirror import debian_mirror

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def apt_get(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program that stands in for apt-get; it is not apt-get."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.delenv("VSMMU_LAB_MIRROR", raising=False)
    path = tmp_path / "apt-get"
    path.touch(mode=0o755)
    return path


def test_the_first_full_archive_of_apt_is_taken(apt_get: Path) -> None:
    apt_get.write_text(
        "#!/bin/sh\nprintf '%s\\n' http://a/debian-security/ http://b/debian/ http://c/debian/\n"
    )
    assert debian_mirror() == "http://b/debian"


def test_a_named_archive_wins(apt_get: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VSMMU_LAB_MIRROR", "http://mirror.invalid/debian/")
    assert debian_mirror() == "http://mirror.invalid/debian"


@pytest.mark.parametrize("script", ["exit 1", "echo http://a/ubuntu/"])
def test_without_an_archive_the_way_out_is_said(apt_get: Path, script: str) -> None:
    apt_get.write_text(f"#!/bin/sh\n{script}\n")
    with pytest.raises(HostLacks) as caught:
        debian_mirror()
    assert (caught.value.code, "VSMMU_LAB_MIRROR" in caught.value.next) == ("lab-mirror", True)
