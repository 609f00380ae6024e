# SPDX-License-Identifier: Apache-2.0
"""Failing system calls: any call of a verb or of the hook may fail, in any way, and no outcome is a bug."""

from __future__ import annotations

import builtins
import contextlib
import errno
import io
import itertools
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import vsmmu.host
from domains import golden
from vsmmu.cli import hook
from vsmmu.cli.main import run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BUILTIN = Path(vsmmu.host.__file__).with_name("builtin")
VM = (
    "qemu-system-aarch64 -M virt,accel=kvm -device pxb-pcie,id=a,bus_nr=8,bus=pcie.0 "
    "-device arm-smmuv3,primary-bus=a,id=s,accel=on"
)
#: Words in capitals are files of the folder that each call gets.
VERBS: Final = (
    "show --host HOST -o json",
    "show --host HOST -o svg",
    "show -o json",
    "show --list",
    "check --host HOST VM -o json",
    "resolve --host HOST VM --assume-safe",
    "resolve --host HOST DOMAIN",
    "explain --host HOST VM --assume-safe -o json",
    "plan --host HOST --domain DOMAIN 0009:01:00.0",
    "report FLEET -o json",
    "report FLEET -o csv",
    "report --strict FLEET -o html",
    "baseline FLEET LINES -o json",
    "compare HOST OTHER -o json",
    "compare --for VM FLEET",
    "label --host HOST",
    "label --host HOST --write NEW",
    "label --host HOST --write LINK",
    "label --host HOST --write NOWHERE/new",
    "kubevirt capabilities --host HOST",
    "inspect NOWHERE/socket -o json",
    "inspect 1 --host HOST -o json",
    "doctor -o json",
    "probe -n -o json",
    "schema host",
    "run --dry-run --host HOST --qemu 11.1 VM",
)
#: What Linux says of files, of the host's state, and of a disk.
NUMBERS: Final = (
    "EACCES EPERM ENOENT ENOTDIR EISDIR ENAMETOOLONG ELOOP EIO ENOSPC EDQUOT EROFS EMFILE ENFILE ENOMEM "
    "EBUSY EFBIG ENODEV ENXIO ESTALE EXDEV ETXTBSY EPIPE"
).split()
CALLS: Final = (
    "open stat lstat scandir listdir readlink read write fsync replace rename unlink mkdir makedirs "
    "fstat dup fchmod fchown pread access chmod"
).split()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("inputs")
    host, other = ((BUILTIN / f"{name}.json").read_bytes() for name in ("gb200", "altra"))
    (path / "FLEET" / "deeper").mkdir(parents=True)
    for name, data in {
        "HOST": host, "OTHER": other, "VM": VM.encode(), "DOMAIN": golden("gb200"), "target": b"old",
        "FLEET/a.json": host, "FLEET/deeper/b.json": other,
        "LINES": json.dumps(json.loads(host)).encode() + b"\n" + json.dumps(json.loads(other)).encode(),
    }.items():  # fmt: skip
        (path / name).write_bytes(data)
    (path / "LINK").symlink_to("target")
    return path


@contextlib.contextmanager
def failing(nth: int, number: int) -> Iterator[list[str]]:
    """Let the n-th call from Python to the kernel fail; its name, if there were so many, is in the list."""
    count, failed = 0, list[str]()

    def wrapped(name: str, really: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **more: Any) -> Any:
            nonlocal count
            count += 1
            if count == nth:
                failed.append(name)
                named = arguments[0] if arguments and isinstance(arguments[0], str) else None
                raise OSError(number, os.strerror(number), named)
            return really(*arguments, **more)

        return call

    with pytest.MonkeyPatch.context() as patch:
        for name in CALLS:
            patch.setattr(os, name, wrapped(name, getattr(os, name)))
        opening = wrapped("open", builtins.open)
        patch.setattr(builtins, "open", opening)
        patch.setattr(io, "open", opening)
        yield failed


def words(text: str, folder: Path) -> list[str]:
    names = ("HOST", "OTHER", "VM", "DOMAIN", "FLEET", "LINES", "LINK", "NEW", "NOWHERE/")
    return [f"{folder}/{word}" if word.startswith(names) else word for word in text.split()]


def outcome(call: Callable[[], int], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    capsys.readouterr()
    status = call()
    captured = capsys.readouterr()
    return status, captured.out, captured.err


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(verb=st.sampled_from(VERBS), nth=st.integers(1, 120), number=st.sampled_from(NUMBERS))
@example(verb="report FLEET -o json", nth=1, number="ENAMETOOLONG")
@example(verb="label --host HOST --write NEW", nth=6, number="ENOSPC")
def test_no_failing_call_is_a_bug_of_ours(
    verb: str, nth: int, number: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with failing(nth, getattr(errno, number)) as failed:
        status, out, err = outcome(lambda: run(words(verb, folder)), capsys)
    assert status in (0, 1, 3, 4, 5), (failed, err)
    assert "Traceback" not in err
    if "-o json" in verb:
        document = json.loads(out)
        assert (document["schema"] == "vsmmu.error/1") == (
            status >= 2 or document["schema"] == "vsmmu.error/1"
        )
    if status >= 2:
        assert err.startswith("vsmmu: ")
        assert "\n  next: " in err
    assert (folder / "target").read_bytes().startswith((b"old", b"# Written by vsmmu"))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    nth=st.integers(1, 12),
    number=st.sampled_from(NUMBERS),
    on_failure=st.sampled_from(("fail", "pass-through")),
)
def test_the_hook_answers_whatever_fails(
    nth: int, number: str, on_failure: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    domain = golden("kubevirt").decode()
    variables = {"VSMMU_HOST": f"{folder}/HOST", "VSMMU_ON_FAILURE": on_failure}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        with failing(nth, getattr(errno, number)) as failed:
            status, out, err = outcome(lambda: hook.run(["--vmi", "{}", "--domain", domain]), capsys)
    if not failed:
        assert (status, out == domain) == (0, False)
    elif on_failure == "fail":
        assert status in (4, 5) or (status, out != domain) == (0, True)
        assert (out == "") == (status > 0)
    else:
        assert status == 0
        assert out
    assert "bug" not in err


def test_each_call_is_reached(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The calls that can fail here are not a list that nobody makes."""
    met = set()
    for nth in itertools.count(1):
        with failing(nth, errno.EIO) as failed:
            outcome(lambda: run(words("label --host HOST --write LINK", folder)), capsys)
        if not failed:
            break
        met.update(failed)
    assert met >= {"open", "fstat", "stat", "readlink", "fsync", "fchmod", "replace"}
