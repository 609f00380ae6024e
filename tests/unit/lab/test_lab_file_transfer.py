# SPDX-License-Identifier: Apache-2.0
"""Files into the guest and out of it."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

import vsmmu
from vsmmu.errors import InputRefused
from vsmmu.lab import file_transfer as bring


def test_what_is_packed_can_be_unpacked(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_bytes(b"#!/bin/sh\n")
    script.chmod(0o750)
    files = bring.unpack(bring.pack({"/root/data": b"\0\1", "/usr/local/bin/script": script}))
    assert files == {"root/data": (b"\0\1", 0o755), "usr/local/bin/script": (b"#!/bin/sh\n", 0o750)}


def test_a_directory_goes_whole_less_caches(tmp_path: Path) -> None:
    for name in ("a.py", "sub/b.json", "sub/__pycache__/c.pyc", ".mypy_cache/d"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    assert set(bring.unpack(bring.pack({"/cases": str(tmp_path)}))) == {"cases/a.py", "cases/sub/b.json"}


def test_an_empty_directory_arrives_too(tmp_path: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(bring.pack({"/empty": tmp_path}))) as tar:
        (member,) = tar.getmembers()
    assert member.isdir()


def test_all_belongs_to_root_and_keeps_its_time(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("x")
    with tarfile.open(fileobj=io.BytesIO(bring.pack({"/file": file}))) as tar:
        (member,) = tar.getmembers()
    assert (member.uid, member.gid, member.mtime) == (0, 0, int(file.stat().st_mtime))


def test_a_relative_guest_path_is_refused() -> None:
    with pytest.raises(InputRefused, match="not absolute"):
        bring.pack({"data": b""})


def test_a_source_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputRefused, match="cannot hand in"):
        bring.pack({"/data": tmp_path / "absent"})


def test_links_and_devices_in_an_answer_are_left_out() -> None:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name, kind in (
            ("link", tarfile.SYMTYPE),
            ("device", tarfile.CHRTYPE),
            ("pipe", tarfile.FIFOTYPE),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            tar.addfile(info)
    assert bring.unpack(stream.getvalue()) == {}


def test_every_start_brings_agent_sources_and_commands() -> None:
    files = bring.unpack(bring.lab_tar(Path(vsmmu.__file__).parent))
    assert {"agent.py", "bin/vsmmu", "src/vsmmu/__init__.py", "src/vsmmu/errors.py"} <= set(files)
    script, mode = files["bin/vsmmu"]
    assert mode & 0o111
    compile(script, "vsmmu", "exec")
    assert b"from vsmmu.cli import main" in script
