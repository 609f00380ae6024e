# SPDX-License-Identifier: Apache-2.0
"""The prebuilt kernel that is taken is one with every option of the project's fragment."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from vsmmu.lab.recipe import kernel_recipe

FIND = Path(__file__).parents[3] / "requirements/prebuilt-kernel"
OURS = kernel_recipe().fragment


def found(directory: Path) -> str:
    done = subprocess.run([FIND, directory], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout.strip().rpartition("/")[2]


def pair(directory: Path, version: str, name: str, fragment: str) -> None:
    (directory / f"Image-{version}-arm64{name}.gz").touch()
    (directory / f"kernel{name}.config").write_text(fragment)


def test_the_one_that_fits_is_taken_whatever_it_is_called(tmp_path: Path) -> None:
    pair(tmp_path, "7.3.4", "", OURS.replace("CONFIG_NUMA=y\n", ""))
    pair(tmp_path, "7.9.1", "-new", OURS.replace("CONFIG_E1000E=y", "CONFIG_E1000E=n"))
    assert found(tmp_path) == ""
    pair(tmp_path, "7.3.4", "-full", f"{OURS}CONFIG_MORE=y\n")
    assert found(tmp_path) == "Image-7.3.4-arm64-full.gz"
    pair(tmp_path, "7.10.1", "-full", OURS)
    assert found(tmp_path) == "Image-7.10.1-arm64-full.gz"


@pytest.mark.parametrize("missing", ["Image-7.3.4-arm64.gz", "kernel.config"])
def test_half_a_pair_is_none(tmp_path: Path, missing: str) -> None:
    pair(tmp_path, "7.3.4", "", OURS)
    assert found(tmp_path) == "Image-7.3.4-arm64.gz"
    (tmp_path / missing).unlink()
    assert found(tmp_path) == ""


def test_no_directory_is_none(tmp_path: Path) -> None:
    assert found(tmp_path / "absent") == ""
