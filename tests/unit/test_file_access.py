# SPDX-License-Identifier: Apache-2.0
"""Which group or user may open a file: by its mode or a folder's, and only where that forbids it."""

from __future__ import annotations

import grp
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from vsmmu.file_access import who_may

if TYPE_CHECKING:
    from pathlib import Path

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="changes owners")
GROUP = grp.getgrall()[5]


@needs_root
@pytest.mark.parametrize("want", [os.R_OK, os.R_OK | os.W_OK])
def test_a_group_that_may_is_named(tmp_path: Path, want: int) -> None:
    path = tmp_path / "iommu"
    path.touch()
    os.chown(path, 0, GROUP.gr_gid)
    path.chmod(0o660)
    said = who_may(str(path), want)
    assert said.startswith(f"be in the group {GROUP.gr_name} ({path} is root:{GROUP.gr_name}, mode 0660)")
    assert f"usermod -aG {GROUP.gr_name} USER" in said


@needs_root
def test_a_group_that_may_not_write_is_not_named_for_writing(tmp_path: Path) -> None:
    path = tmp_path / "iommu"
    path.touch()
    os.chown(path, 0, GROUP.gr_gid)
    path.chmod(0o640)
    assert who_may(str(path), os.R_OK | os.W_OK).startswith("run as root")


def test_root_alone_is_named_and_what_all_may_is_no_matter_of_the_mode(tmp_path: Path) -> None:
    path = tmp_path / "facts.json"
    path.touch()
    path.chmod(0o600)
    assert who_may(str(path)).startswith("run as ")
    path.chmod(0o644)
    assert who_may(str(path)) == ""
    assert who_may(str(tmp_path / "missing")) == ""
    assert who_may("0009:01:00.0") == ""


def test_a_file_to_be_made_is_a_matter_of_its_folder(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    assert f"({tmp_path} is " in who_may(str(tmp_path / "new.json"), os.W_OK)


@needs_root
def test_a_folder_that_may_not_be_entered_is_the_one_named(tmp_path: Path) -> None:
    """As nobody, told by vsmmu itself."""
    closed = tmp_path / "closed"
    (closed / "deeper").mkdir(parents=True)
    (closed / "deeper" / "facts.json").write_text("{}")
    os.chown(closed, 0, GROUP.gr_gid)
    closed.chmod(0o750)
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_mode & 1 == 0:
            folder.chmod(folder.stat().st_mode | 1)
    code = (
        "import os, sys; from vsmmu.cli.main import run; import vsmmu.host.files, vsmmu.cli.show; "
        "os.setgroups([]); os.setgid(65534); os.setuid(65534); sys.exit(run(sys.argv[1:]))"
    )
    words = [sys.executable, "-c", code, "show", "--host", str(closed / "deeper" / "facts.json")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 4, done.stderr
    assert f"be in the group {GROUP.gr_name} ({closed} is root:{GROUP.gr_name}, mode 0750)" in done.stderr
