# SPDX-License-Identifier: Apache-2.0
"""The bounded reader of configuration files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vsmmu.errors import InputRefused, PermissionRefused
from vsmmu.machine.limits import MAX_CONFIG_BYTES
from vsmmu.monitor.readconfig import read_config_file


def test_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.cfg").write_bytes(b"[machine]\n")
    assert read_config_file(str(tmp_path / "a.cfg")) == b"[machine]\n"
    monkeypatch.chdir(tmp_path)
    assert read_config_file("a.cfg") == b"[machine]\n"


def test_reads_no_more_than_the_limit_and_a_byte(tmp_path: Path) -> None:
    (tmp_path / "a.cfg").write_bytes(b"#" * (2 * MAX_CONFIG_BYTES))
    assert len(read_config_file(str(tmp_path / "a.cfg"))) == MAX_CONFIG_BYTES + 1


@pytest.mark.parametrize("name", ["nosuch", "fifo", "directory", "/dev/zero", "a\0b"])
def test_refuses_what_is_no_regular_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkfifo("fifo")
    Path("directory").mkdir()
    with pytest.raises(InputRefused) as caught:
        read_config_file(name)
    assert caught.value.code == "config-unreadable"
    assert caught.value.why


def test_permission(monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("vsmmu.monitor.readconfig.os.open", denied)
    with pytest.raises(PermissionRefused, match="cannot read"):
        read_config_file("a.cfg")
