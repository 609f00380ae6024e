# SPDX-License-Identifier: Apache-2.0
"""Files that are whole or not there, and what a writer does to targets that are no plain file."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import socket
import stat
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from vsmmu.errors import HostLacks
from vsmmu.host.files import save_bytes
from vsmmu.host.whole_file import write_whole

if TYPE_CHECKING:
    from pathlib import Path

LABEL = f"{sys.executable} -m vsmmu label --host builtin:gb200 --write"
NEW = b"new\n"


def names(directory: Path) -> list[str]:
    return sorted(entry.name for entry in directory.iterdir())


@pytest.mark.parametrize("hops", [1, 3, 39])
@pytest.mark.parametrize("dangling", [False, True])
def test_a_link_stays_and_its_target_is_replaced(tmp_path: Path, hops: int, dangling: bool) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    target = elsewhere / "target"
    if not dangling:
        target.write_bytes(b"old")
    link = target
    for number in range(hops):
        (tmp_path / str(number)).symlink_to(os.path.relpath(link, tmp_path))
        link = tmp_path / str(number)
    write_whole(str(link), NEW)
    assert target.read_bytes() == NEW
    assert all((tmp_path / str(number)).is_symlink() for number in range(hops))
    assert (names(elsewhere), len(names(tmp_path))) == (["target"], hops + 1)


def test_a_link_to_itself(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(HostLacks, match="file-write"):
        save_bytes(NEW, tmp_path / "loop", "labels")
    assert names(tmp_path) == ["loop"]


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o666, 0o444])
def test_permissions_and_owner_stay(tmp_path: Path, mode: int) -> None:
    file = tmp_path / "file"
    file.touch(mode)
    file.chmod(mode)
    owner = (12345, 54321) if os.geteuid() == 0 else (os.getuid(), os.getgid())
    os.chown(file, *owner)
    before = file.stat().st_ino
    write_whole(str(file), NEW)
    now = file.stat()
    assert (stat.S_IMODE(now.st_mode), now.st_uid, now.st_gid) == (mode, *owner)
    assert now.st_ino != before
    write_whole(str(tmp_path / "fresh"), NEW)
    assert stat.S_IMODE((tmp_path / "fresh").stat().st_mode) == 0o644


def test_a_long_name(tmp_path: Path) -> None:
    file = tmp_path / ("ä" * 127)
    write_whole(str(file), NEW)
    assert file.read_bytes() == NEW


def test_a_fifo_is_written_to(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    data = b"x" * 300_000  # more than a pipe holds
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(fifo.read_bytes()))
    reader.start()
    write_whole(str(fifo), data)
    reader.join(10)
    assert read == [data]
    assert stat.S_ISFIFO(fifo.lstat().st_mode)
    assert names(tmp_path) == ["fifo"]


def test_a_socket_is_left_as_it_is(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        with pytest.raises(HostLacks, match="file-write"):
            save_bytes(NEW, tmp_path / "socket", "labels")
    assert stat.S_ISSOCK((tmp_path / "socket").lstat().st_mode)
    assert names(tmp_path) == ["socket"]


def test_a_directory_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "directory").mkdir()
    with pytest.raises(HostLacks, match="file-write"):
        save_bytes(NEW, tmp_path / "directory", "labels")
    assert names(tmp_path) == ["directory"]


def test_a_failure_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"old")
    for name in ("fsync", "fchmod", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(os, name, _full)
            with pytest.raises(HostLacks, match="No space left"):
                save_bytes(NEW, file, "labels")
        assert (file.read_bytes(), names(tmp_path)) == (b"old", ["file"])


def _full(*_: object, **__: object) -> None:
    raise OSError(28, "No space left on device")


# --- a process, and its /dev ---------------------------------------------------------------------------


def shell(script: str, directory: Path, *before: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*before, "sh", "-ec", script], cwd=directory, capture_output=True, text=True, check=False, timeout=60
    )


@pytest.mark.parametrize(
    "script",
    [
        f"{LABEL} /dev/stdout",
        f"{LABEL} /dev/stdout | cat",
        f"{LABEL} /dev/fd/1",
        f"{LABEL} /proc/self/fd/5 5>&1",
        f"ln -s /dev/stdout link; {LABEL} link; test -L link",
        f"{LABEL} /dev/stdout > file; cat file",
    ],
)
def test_an_open_descriptor_is_written_to(tmp_path: Path, script: str) -> None:
    done = shell(f"echo before; {script}; echo after", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    first, *middle, last = done.stdout.splitlines()
    assert (first, last) == ("before", "after")
    assert "vsmmu.ats=on" in "\n".join(middle)


def test_an_open_file_is_written_to_at_its_place(tmp_path: Path) -> None:
    done = shell(f"(echo before; {LABEL} /dev/stdout; echo after) > file; cat file", tmp_path)
    assert done.stdout.startswith("before\n")
    assert done.stdout.endswith("\nafter\n")
    assert "vsmmu.ats=on" in done.stdout


def test_a_socket_as_stdout(tmp_path: Path) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        command = [*LABEL.split(), "/dev/stdout"]
        assert subprocess.run(command, stdout=theirs, check=False, timeout=60).returncode == 0
        assert b"vsmmu.ats=on" in ours.recv(1 << 20)


def has_mount_namespaces() -> bool:
    if os.geteuid() != 0 or not shutil.which("unshare"):
        return False
    script = "mount -t tmpfs none /mnt && mknod /mnt/full c 1 7 && : < /mnt/full"
    return (
        subprocess.run(["unshare", "-m", "sh", "-c", script], capture_output=True, check=False).returncode
        == 0
    )


#: A /dev and a mount namespace of our own: a failing test must not cost the machine its /dev/stdout.
OWN_DEV = """
mkdir dev; mount -t tmpfs none dev; cd dev
ln -s /proc/self/fd fd; ln -s /proc/self/fd/1 stdout; ln -s full link
mknod full c 1 7; mknod null c 1 3; mkfifo fifo
mount --bind . /dev; cd ..
look() { ls -l --time-style=+ /dev | tail -n +2; }
look > before
"""


@pytest.mark.skipif(not has_mount_namespaces(), reason="needs root, and leave to mount")
@pytest.mark.parametrize(
    ("target", "status"), [("stdout", 0), ("fd/1", 0), ("null", 0), ("full", 5), ("link", 5), ("fifo", 0)]
)
def test_as_root_nothing_of_dev_is_replaced(tmp_path: Path, target: str, status: int) -> None:
    reader = "cat /dev/fifo & " if target == "fifo" else ""
    script = f"{OWN_DEV}{reader}{LABEL} /dev/{target} || status=$?; wait; look > after; exit ${{status:-0}}"
    done = shell(script, tmp_path, "unshare", "-m")
    assert done.returncode == status, done.stderr
    assert (tmp_path / "after").read_text() == (tmp_path / "before").read_text()
    assert (tmp_path / "before").read_text().count("\n") == 6
    assert ("vsmmu.ats=on" in done.stdout) == (target in ("stdout", "fd/1", "fifo"))
    assert ("No space left on device" in done.stderr) == (status == 5)


# --- what is left beside a file -----------------------------------------------------------------------------


def write_and_die(path: Path) -> None:
    script = (
        "import os, signal, sys; from vsmmu.host.whole_file import write_whole\n"
        "os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "write_whole(sys.argv[1], b'half')"
    )
    done = subprocess.run([sys.executable, "-c", script, str(path)], check=False, timeout=60)
    assert done.returncode == -9


@pytest.mark.parametrize("name", ["facts.json", "n" * 200, "漢" * 60])
def test_what_killed_writers_left_is_removed_by_the_next(tmp_path: Path, name: str) -> None:
    path, others = (
        tmp_path / name,
        [f".{name[:40]}.previous", ".other.abcdefgh.vsmmu-new", f"{name[:40]}.vsmmu-new"],
    )
    for other in others:
        (tmp_path / other).write_text("a user's")
    path.write_bytes(b"old")
    write_and_die(path)
    write_and_die(path)
    assert path.read_bytes() == b"old"
    assert len(names(tmp_path)) == len(others) + 2  # the second has removed what the first left
    write_whole(str(path), NEW)
    assert names(tmp_path) == sorted([name, *others])
    assert path.read_bytes() == NEW


def test_writers_of_one_file_leave_each_other_alone(tmp_path: Path) -> None:
    path = tmp_path / "facts.json"

    def work(number: int) -> None:
        for _ in range(50):
            write_whole(str(path), b"%d" % number * 1000)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    failures: list[object] = []
    before, threading.excepthook = threading.excepthook, failures.append
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        threading.excepthook = before
    assert failures == []
    assert names(tmp_path) == ["facts.json"]
    assert len(set(path.read_bytes())) == 1


@pytest.mark.parametrize("call", ["flock", "listdir"])
def test_without_locks_or_a_list_it_is_written_all_the_same(
    tmp_path: Path, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    write_and_die(tmp_path / "f")
    monkeypatch.setattr(fcntl if call == "flock" else os, call, refuse)
    write_whole(str(tmp_path / "f"), NEW)
    monkeypatch.undo()
    assert (tmp_path / "f").read_bytes() == NEW
    assert len(names(tmp_path)) == 2


def test_a_folder_that_cannot_be_synced_says_that_the_new_file_is_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    really = os.fsync

    def fsync(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        really(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(HostLacks, match="the new file is in place") as caught:
        save_bytes(NEW, tmp_path / "f", "facts")
    assert caught.value.code == "file-write"
    assert (tmp_path / "f").read_bytes() == NEW


# --- texts in facts -----------------------------------------------------------------------------------------


def test_a_link_that_cannot_be_read_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "link").symlink_to("target")
    (tmp_path / "target").write_bytes(b"old")

    def refuse(_path: str) -> str:
        raise OSError(errno.EIO, "x")

    monkeypatch.setattr("os.readlink", refuse)
    with pytest.raises(OSError, match="x"):
        write_whole(str(tmp_path / "link"), b"new")
    monkeypatch.undo()
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_bytes() == b"old"


def test_links_without_end(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(OSError, match="symbolic links"):
        write_whole(str(tmp_path / "a"), b"new")
