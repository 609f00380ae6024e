# SPDX-License-Identifier: Apache-2.0
"""Debian package, as make deb makes it: lintian, then installed, used and removed in a fresh Debian 13."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import vsmmu

ROOT = Path(__file__).parents[2]


def _skip(why: str) -> None:
    if os.environ.get("CI") == "true":
        pytest.fail(why)
    pytest.skip(why)


def test_versions_are_one() -> None:
    """docs/releasing.md: the package's, Debian's, and the newest in the changelog where it is released."""
    debian = re.match(r"vsmmu \((\S+)-\S+\) ", (ROOT / "debian/changelog").read_text(encoding="utf-8"))
    assert debian is not None
    assert debian[1] == vsmmu.__version__
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    released = re.findall(r"^## (\d\S*)", changelog, re.MULTILINE)
    assert released[:1] in ([], [vsmmu.__version__])


def test_what_debian_tests_is_there() -> None:
    """The suite builds the package without its tests, which `make deb` runs."""
    rules = (ROOT / "debian/rules").read_text(encoding="utf-8")
    found = re.search(r"^TESTS = (.+)$", rules, re.MULTILINE)
    assert found is not None
    assert [name for name in found[1].split() if not (ROOT / "tests" / name).is_dir()] == []


@pytest.mark.lab
def test_the_debian_package(tmp_path: Path) -> None:
    if os.geteuid() != 0 or shutil.which("mmdebstrap") is None:
        _skip("the Debian package is tried as root, with mmdebstrap")
    subprocess.run(
        [sys.executable, "-m", "build", "--sdist", "--no-isolation", "--outdir", tmp_path, ROOT],
        check=True,
        capture_output=True,
    )
    (sdist,) = tmp_path.glob("*.tar.gz")
    done = subprocess.run(
        [sys.executable, ROOT / "packaging/deb/make.py", sdist, tmp_path / "out"],
        env=os.environ | {"DEB_BUILD_OPTIONS": "nocheck"},  # The suite runs the unit tests already.
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:]
    assert len(list((tmp_path / "out").glob("vsmmu_*_all.deb"))) == 1
    for said in (
        'driver pciBus="1" accel="on" ats="on" ril="off" ssidsize="20" oas="48"',
        "at boot vsmmu-probe.service is started before libvirtd.service",
        "at boot vsmmu-probe.service is started before libvirt-guests.service",
        "removed, and nothing of it is left",
    ):
        assert said in done.stdout
