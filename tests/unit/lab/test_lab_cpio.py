# SPDX-License-Identifier: Apache-2.0
"""The cpio archives that the kernel reads."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from vsmmu.lab import cpio

if TYPE_CHECKING:
    from pathlib import Path


def members(archive: bytes) -> list[tuple[str, int, bytes]]:
    """Name, mode and content of each member, by the kernel's description of the format."""
    found: list[tuple[str, int, bytes]] = []
    at = 0
    while True:
        assert at % 4 == 0
        assert archive[at : at + 6] == b"070701"
        fields = [int(archive[at + 6 + 8 * i : at + 14 + 8 * i], 16) for i in range(13)]
        name_size, size = fields[11], fields[6]
        name = archive[at + 110 : at + 110 + name_size - 1].decode()
        assert archive[at + 110 + name_size - 1] == 0
        data_at = -(-(at + 110 + name_size) // 4) * 4
        if name == "TRAILER!!!":
            return found
        found.append((name, fields[1], archive[data_at : data_at + size]))
        at = -(-(data_at + size) // 4) * 4


@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 5])
def test_names_and_content_come_back_whatever_their_length(size: int) -> None:
    data = bytes(range(1, size + 1))
    assert members(cpio.archive({"n" * (size + 1): data})) == [("n" * (size + 1), 0o100644, data)]


def test_parents_come_before_what_is_in_them() -> None:
    names = [name for name, _, _ in members(cpio.archive({"kernel/firmware/acpi/iort.aml": b"x", "a": b"y"}))]
    assert names == [
        "a",
        "kernel",
        "kernel/firmware",
        "kernel/firmware/acpi",
        "kernel/firmware/acpi/iort.aml",
    ]


def test_some_can_be_run() -> None:
    found = members(cpio.archive({"init": b"#!", "data": b""}, executable={"init"}))
    assert [(name, mode) for name, mode, _ in found] == [("data", 0o100644), ("init", 0o100755)]


def test_same_files_give_the_same_bytes() -> None:
    assert cpio.archive({"a": b"1", "b/c": b"2"}) == cpio.archive({"b/c": b"2", "a": b"1"})


@pytest.mark.skipif(shutil.which("cpio") is None, reason="the cpio program is not installed")
def test_cpio_itself_unpacks_it(tmp_path: Path) -> None:
    archive = cpio.archive({"kernel/firmware/acpi/iort.aml": b"table" * 99})
    subprocess.run(["cpio", "-i", "-d", "--quiet"], input=archive, cwd=tmp_path, check=True)
    assert (tmp_path / "kernel/firmware/acpi/iort.aml").read_bytes() == b"table" * 99
