# SPDX-License-Identifier: Apache-2.0
"""Open files: a call costs the same however many there are, and a closed one is noticed at the next call."""

from __future__ import annotations

import errno
import os
import select
import stat
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from vsmmu.emulate import files
from vsmmu.emulate.files import OpenFile, OpenFiles

if TYPE_CHECKING:
    from collections.abc import Iterator

MANY = 256


def look(found: OpenFiles) -> None:
    """As the supervisor does before each call."""
    if found.notices is not None and select.select([found.notices], [], [], 0)[0]:
        found.take_notices()


@pytest.fixture(params=["bind-mounted", "made anew"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[OpenFiles, dict[int, int]]]:
    """Many open files with their locks, as a program has them: descriptors by token."""
    node = Path("/dev/zero")
    if request.param == "made anew":
        made = tmp_path / "iommu"
        try:
            os.mknod(made, stat.S_IFCHR | 0o600, node.stat().st_rdev)
            made.open("rb").close()
        except PermissionError:
            pytest.skip("no device file can be made here")
        node = made
    found = OpenFiles()
    held = {}
    state = node.stat()
    inode = state.st_dev, state.st_ino
    with node.open("rb") as stand_in:
        found._probe(inode, stand_in.fileno())
    for token in range(1 << 60, (1 << 60) + MANY):
        held[token] = os.open(node, os.O_RDWR)
        files._lock(held[token], token)
        found._files[token] = OpenFile(token, "iommu", inode)
    yield found, held
    found.close()
    for descriptor in held.values():
        os.close(descriptor)


def test_a_closed_file_is_noticed_at_once(opened: tuple[OpenFiles, dict[int, int]]) -> None:
    found, held = opened
    assert list(found.closed()) == []
    for token in list(held)[:3]:
        file = found._files[token]
        found._told = found._looked = time.monotonic()
        time.sleep(2 * files._CLOSING)
        os.close(held.pop(token))
        look(found)
        assert list(found.closed()) == [file], "although it was not time to ask"
    assert list(found.closed()) == []


def test_a_closed_file_is_noticed_by_a_call_that_comes_much_later(
    opened: tuple[OpenFiles, dict[int, int]],
) -> None:
    """The kernel has told of it, and nobody called while it was said to be going on."""
    found, held = opened
    assert list(found.closed()) == []
    for token in list(held)[:3]:
        file = found._files[token]
        found._looked = time.monotonic()
        os.close(held.pop(token))
        look(found)
        time.sleep(2 * files._CLOSING)
        assert list(found.closed()) == [file]


def test_files_are_asked_only_after_one_was_closed(
    opened: tuple[OpenFiles, dict[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    found, _ = opened
    assert found.notices is not None
    os.close(found.notices)
    # In place of the kernel's notices, which tell of every program on the machine.
    found.notices, tell = os.pipe2(os.O_NONBLOCK)
    now, asked = [100.0], []
    monkeypatch.setattr(files.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(OpenFiles, "_is_held", lambda _, file: asked.append(file) or True)

    def asks(seconds: float) -> int:
        now[0] += seconds
        asked.clear()
        look(found)
        assert list(found.closed()) == []
        return len(asked)

    assert asks(0) == MANY, "the first time"
    assert asks(0.1) == asks(0.1) == 0
    os.write(tell, b"x")
    assert asks(0.1) == MANY
    assert asks(0.01) == MANY, "it may still be being closed"
    assert asks(0.1) == 0
    assert asks(2) == MANY, "a notice can be lost"
    assert asks(0.1) == 0
    os.write(tell, bytes(files._NOTICE))
    assert asks(0.1) == asks(0.8) == MANY, "what was told is not found yet"
    assert asks(0.2) == 0, "it was none of ours"
    os.close(tell)
    os.close(found.notices)
    found.notices, found._deaf = None, True
    assert asks(0) == asks(0) == MANY, "a kernel that tells nothing"


def locked(token: int) -> int:
    """A descriptor with the lock of such a file of ours."""
    descriptor = os.open("/dev/zero", os.O_RDWR)
    files._lock(descriptor, token)
    return descriptor


def test_what_a_descriptor_is_is_read_anew_each_time() -> None:
    shown, number = files._Shown(), locked(1 << 60)
    own = os.getpid()
    assert files._token_in(shown.text(own, number)) == 1 << 60
    other = locked(1 << 61)
    os.dup2(other, number)
    assert files._token_in(shown.text(own, number)) == 1 << 61
    os.close(number)
    for _ in range(2):
        with pytest.raises(FileNotFoundError):
            shown.text(own, number)
    os.close(other)
    shown.close()


def test_what_a_process_had_open_is_nobody_elses_when_it_is_gone() -> None:
    shown = files._Shown()
    with subprocess.Popen(["sleep", "60"]) as process:
        assert shown.text(process.pid, 0)
        process.kill()
    for _ in range(2):
        with pytest.raises(OSError, match=os.strerror(errno.ENOENT)):
            shown.text(process.pid, 0)
    shown.close()


def test_only_so_many_descriptors_of_ours_are_kept(opened: tuple[OpenFiles, dict[int, int]]) -> None:
    found, held = opened
    before = len(list(Path("/proc/self/fd").iterdir()))
    for token, descriptor in held.items():
        known = found.find(os.getpid(), descriptor)
        assert known is not None
        assert known.token == token
    assert len(list(Path("/proc/self/fd").iterdir())) <= before + files._KEPT_OPEN
    found._shown.close()
    assert len(list(Path("/proc/self/fd").iterdir())) == before
