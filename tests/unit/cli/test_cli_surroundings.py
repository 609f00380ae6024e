# SPDX-License-Identifier: Apache-2.0
"""Surroundings that mean nothing or too much (environment, working directory): an own error, and no bug."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

import pytest

from vsmmu.cli.main import run

if TYPE_CHECKING:
    from pathlib import Path

MARKS: Final = "\x1b[31m\x9b\u202e\x07"
LONG: Final = "7" * 300
#: Variable -> values; None: unset.
VARIABLES: Final[dict[str, tuple[str | None, ...]]] = {
    "HOME": (None, "/dev/null", LONG, MARKS),
    "XDG_CACHE_HOME": ("/dev/null", "/proc", LONG),
    "TMPDIR": ("/nonexistent",),
    "PATH": (None, "", LONG),
    "COLUMNS": ("0", "-5", "abc", "9" * 30),
    "TERM": (None, "\x1b"),
    "VSMMU_HOST": ("", "folder", LONG, MARKS, "builtin:" + MARKS, "/dev/zero", "VM"),
    "VSMMU_QEMU": ("", "folder", "VM", LONG, MARKS, "9" * 400, "11.1\n"),
    "VSMMU_RUN_DIR": ("", "VM", "folder/none", "/dev/null", LONG, MARKS),
    "_VSMMU_COMPLETE": ("bash_complete", "zsh_", "x", MARKS),
}
LINES: Final = (
    "check VM", "resolve VM -o json", "show", "doctor -o json", "probe -n", "plan --list", "label", "inspect",
    "kubevirt capabilities", "bundle VM", "check --all folder", "help",
)  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "VM").write_text(
        "qemu-system-aarch64 -M virt,accel=kvm -bios e -device pxb-pcie,id=a,bus_nr=8,bus=pcie.0 "
        "-device arm-smmuv3,primary-bus=a,id=s,accel=on\n"
    )
    return tmp_path


def harmless(capsys: pytest.CaptureFixture[str]) -> None:
    for line in LINES:
        status = run(line.split())
        said = capsys.readouterr()
        assert status in (0, 1, 2, 3, 4, 5), (line, said.err)
        assert "bug:" not in said.err, line
        assert "\x1b" not in said.out + said.err, line


@pytest.mark.parametrize("variable", VARIABLES)
def test_no_variable_is_a_bug(
    variable: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for value in VARIABLES[variable]:
        with monkeypatch.context() as surroundings:  # pytest looks at COLUMNS, too
            if value is None:
                surroundings.delenv(variable, raising=False)
            else:
                surroundings.setenv(variable, value)
            harmless(capsys)


def test_nor_is_a_directory_that_has_gone(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = folder / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    try:
        harmless(capsys)
    finally:
        os.chdir(folder)
