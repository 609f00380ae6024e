# SPDX-License-Identifier: Apache-2.0
"""What building would do, its errors, and the cache that it fills."""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import tempfile
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vsmmu.errors import HostLacks, InputRefused, PermissionRefused
from vsmmu.lab import build, commands, file_transfer, recipe, tools
from vsmmu.lab.cache import Cache, default_directory
from vsmmu.lab.errors import LabFailed, LabTimeout
from vsmmu.lab.progress import Progress

IMAGE = bytes(56) + b"ARM\x64" + bytes(100) + b"Linux version 7.3.4 (vsmmu@lab) "

PACKED = gzip.compress(IMAGE, mtime=0)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cache:
    """An empty cache on an x86_64 machine that has all programs but QEMU."""
    monkeypatch.setattr(build, "system_qemu", lambda: None)
    monkeypatch.setattr(build, "missing", lambda needs: [])
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    return Cache(tmp_path / "cache")


def kinds(operations: list[build.BuildOperation]) -> list[str]:
    return [type(operation).__name__ for operation in operations]


def test_an_empty_cache_needs_everything(cache: Cache) -> None:
    operations, artifacts = build.plan(cache)
    assert kinds(operations) == ["MakeTools", "MakeRootfs", "BuildKernel"]
    assert artifacts.kernel == cache.path(recipe.kernel_recipe().name) / "Image"
    assert not cache.directory.exists(), "planning writes nothing"
    assert all(operation.describe() for operation in operations)


def test_a_full_cache_needs_nothing(cache: Cache) -> None:
    machine = tools.outer_machine()
    for name in (
        recipe.tools_recipe(machine.architecture, with_qemu=True).name,
        recipe.guest_recipe().name,
        recipe.kernel_recipe().name,
    ):
        cache.path(name).mkdir(parents=True)
    assert build.plan(cache)[0] == []


def test_missing_programs_are_installed_first(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        build, "missing", lambda needs: [need for need in needs if need.package == "mmdebstrap"]
    )
    operations, _ = build.plan(cache)
    assert kinds(operations)[0] == "InstallPackages"
    assert operations[0].describe() == "install mmdebstrap"


def test_the_system_s_qemu_is_used_if_new_enough(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "system_qemu", lambda: "/usr/bin/qemu-system-aarch64")
    operations, artifacts = build.plan(cache)
    assert artifacts.tools.qemu() == ["/usr/bin/qemu-system-aarch64"]
    assert "qemu-system-arm" not in operations[0].describe()


def test_a_given_kernel_is_unpacked_remembered_and_later_superseded(cache: Cache, tmp_path: Path) -> None:
    given = tmp_path / "Image.gz"
    given.write_bytes(gzip.compress(IMAGE))
    operations, artifacts = build.plan(cache, given)
    assert kinds(operations)[-1] == "TakeKernel"
    operations[-1].apply()
    assert artifacts.kernel.read_bytes() == IMAGE
    assert artifacts.versions() == {"linux": "7.3.4"}
    assert kinds(build.plan(cache, given)[0]) == ["MakeTools", "MakeRootfs"]
    remembered = build.plan(cache)
    assert kinds(remembered[0]) == ["MakeTools", "MakeRootfs"]
    assert remembered[1].kernel == artifacts.kernel
    assert kinds(build.plan(cache, our_kernel=True)[0])[-1] == "BuildKernel"
    cache.path(recipe.kernel_recipe().name).mkdir()
    assert build.plan(cache)[1].kernel == cache.path(recipe.kernel_recipe().name) / "Image"


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"MZ" + bytes(100), "lab-kernel-not-image"),
        (b"", "lab-kernel-not-image"),
        (gzip.compress(IMAGE, mtime=0)[:-4], "lab-kernel-damaged"),
        (None, "lab-kernel-unreadable"),
    ],
)
def test_what_is_no_kernel_is_refused(cache: Cache, tmp_path: Path, content: bytes | None, code: str) -> None:
    given = tmp_path / "kernel"
    if content is not None:
        given.write_bytes(content)
    with pytest.raises(InputRefused) as caught:
        build.TakeKernel(cache, given).apply()
    assert caught.value.code == code
    assert [path.name for path in cache.directory.glob("kernel*")] == []


@pytest.mark.parametrize("kind", ["fifo", "directory", "/dev/zero", "/dev/full", "/dev/tty"])
def test_a_kernel_that_is_no_file_is_never_waited_for(cache: Cache, tmp_path: Path, kind: str) -> None:
    given = tmp_path / "it" if not kind.startswith("/") else Path(kind)
    if kind == "fifo":
        os.mkfifo(given)
    elif kind == "directory":
        given.mkdir()
    with pytest.raises(InputRefused):
        build.plan(cache, given)
    if kind != "directory":
        with pytest.raises(InputRefused):
            file_transfer.pack({"/x": given})


@given(place=st.integers(0, len(PACKED) - 1), byte=st.integers(0, 255))
def test_a_damaged_kernel_is_refused_or_read(place: int, byte: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "Image.gz")
        path.write_bytes(PACKED[:place] + bytes([byte]) + PACKED[place + 1 :])
        with contextlib.suppress(InputRefused):
            build.TakeKernel(Cache(Path(folder, "cache")), path).apply()


def test_another_kind_of_machine_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "s390x")
    with pytest.raises(HostLacks, match="this is s390x"):
        tools.outer_machine()


# Programs of the outer machine.


def test_missing_looks_for_programs_and_files() -> None:
    have = (recipe.Requirement("base", "sh"), recipe.Requirement("base", "/"))
    lack = (recipe.Requirement("x", "no-such-program"), recipe.Requirement("y", "/no/such/file"))
    assert commands.missing((*have, *lack)) == list(lack)


def test_without_apt_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(HostLacks) as caught:
        commands.install(recipe.TREE_REQUIREMENTS, tmp_path / "log")
    assert caught.value.code == "lab-tool-missing"
    assert "mmdebstrap" in caught.value.next


def test_only_root_builds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(PermissionRefused, match="only root can"):
        commands.require_root("do it")


def test_a_failing_program_shows_the_end_of_its_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with pytest.raises(LabFailed) as caught:
        commands.run_logged(["sh", "-c", "echo fine; echo broken >&2; exit 3"], log)
    assert "status 3" in caught.value.what
    assert "broken" in caught.value.why
    assert str(log) in caught.value.next


def test_tail_of_what_is_absent_large_or_binary(tmp_path: Path) -> None:
    file = tmp_path / "file"
    assert commands.tail(file) == ""
    file.write_bytes(b"\xff\x1b[31m\n" * 9999 + b"last\n")
    assert commands.tail(file, 1) == "last"
    assert "\x1b" not in commands.tail(file)


def test_the_exit_statuses_are_those_of_timeout() -> None:
    assert LabTimeout("x").exit_status == 124
    assert LabFailed("lab-x", "x").exit_status == 125


def test_progress_is_one_line_a_step() -> None:
    stream = io.StringIO()
    with Progress(stream).step("make it"):
        pass
    assert stream.getvalue() == "lab: make it … 0.0 s\n"
    with pytest.raises(KeyError), Progress(stream).step("break it"):
        raise KeyError
    assert stream.getvalue().splitlines()[1] == "lab: break it … failed"


# The cache.


@pytest.mark.parametrize(
    ("environ", "directory"),
    [
        ({"VSMMU_LAB_CACHE": "/lab", "XDG_CACHE_HOME": "/xdg"}, "/lab"),
        ({"VSMMU_LAB_CACHE": "", "XDG_CACHE_HOME": "/xdg"}, "/xdg/vsmmu/lab"),
        ({}, "~/.cache/vsmmu/lab"),
    ],
)
def test_where_the_cache_is(environ: dict[str, str], directory: str) -> None:
    assert default_directory(environ) == Path(directory).expanduser()


def test_an_artifact_is_made_once(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    calls: list[Path] = []
    for _ in range(2):
        assert cache.publish("thing", calls.append) == tmp_path / "thing"
    assert len(calls) == 1
    assert cache.has("thing")


def test_what_is_there_can_be_used_without_the_right_to_write(tmp_path: Path) -> None:
    (tmp_path / "thing").mkdir()
    Cache(tmp_path).publish("thing", lambda path: None)
    assert [path.name for path in tmp_path.iterdir()] == ["thing"]


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    cache = Cache(tmp_path)

    def fail(directory: Path) -> None:
        (directory / "half").touch()
        raise OSError

    with pytest.raises(OSError):
        cache.publish("thing", fail)
    assert not cache.has("thing")
    assert list(tmp_path.glob(".making*")) == []


def test_what_a_killed_builder_left_is_removed(tmp_path: Path) -> None:
    left = tmp_path / ".making-thing-abc"
    left.mkdir()
    (left / "half").touch()
    Cache(tmp_path).publish("thing", lambda path: None)
    assert not left.exists()


def test_two_builders_make_it_once(tmp_path: Path) -> None:
    made: list[Path] = []

    def slowly(directory: Path) -> None:
        time.sleep(0.1)
        made.append(directory)

    threads = [threading.Thread(target=Cache(tmp_path).publish, args=("thing", slowly)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1


def test_clean_removes_all_and_may_be_repeated(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    cache.publish("thing", lambda path: None)
    cache.clean()
    cache.clean()
    assert not cache.directory.exists()
