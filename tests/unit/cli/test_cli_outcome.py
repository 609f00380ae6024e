# SPDX-License-Identifier: Apache-2.0
"""The end of both programs: outputs that take nothing, calls that fail, and numbers that are none."""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

import vsmmu.host
from domains import golden
from vsmmu.cli.main import run
from vsmmu.errors import HostLacks, PermissionRefused, VsmmuError, error_of

GB200: Final = str(Path(vsmmu.host.__file__).with_name("builtin") / "gb200.json")
VSMMU: Final = [sys.executable, "-m", "vsmmu"]
HOOK: Final = [sys.executable, "-m", "vsmmu.cli.hook", "--vmi", "{}", "--domain"]
DOMAIN: Final = golden("kubevirt").decode()
VM: Final = (
    "qemu-system-aarch64 -M virt,accel=kvm,gic-version=3 -bios AAVMF.fd -object iommufd,id=iommufd0 "
    "-device pxb-pcie,id=pcie.1,bus_nr=8,bus=pcie.0 -device arm-smmuv3,primary-bus=pcie.1,id=smmu,accel=on "
    "-device pcie-root-port,id=rp1,bus=pcie.1,chassis=1 "
    "-device vfio-pci,host=0009:01:00.0,bus=rp1,iommufd=iommufd0"
).split()
#: Each writes its answer in another way: lines, a document, bytes, rows, click's help.
ANSWERS: Final = {
    "lines": [*VSMMU, "show", "--host", GB200],
    "document": [*VSMMU, "show", "--host", GB200, "-o", "json"],
    "bytes": [*VSMMU, "show", "--host", GB200, "-o", "svg"],
    "rows": [*VSMMU, "report", GB200, "-o", "csv"],
    "help": [*VSMMU, "show", "--help"],
    "short": [*VSMMU, "explain", "--", *VM],
    "version": [*VSMMU, "--version"],
    "hook": [*HOOK, DOMAIN],
}
#: Command lines whose program ends without a look back; ``LOOK`` is run in place of the end itself.
QUICK: Final = {
    "vsmmu.cli": [
        ["--version"],
        ["resolve", "--no-such-option"],
        *([verb, "--", *VM] for verb in ("resolve", "check", "explain")),
        ["run", "--qemu", "11.1", "--dry-run", "--", *VM],
    ],
    "vsmmu.cli.hook": [["--vmi", "{}", "--domain", DOMAIN], ["--help"]],
}
LOOK: Final = """
import atexit, os, sys
from {module} import main
leave = os._exit
def look(status):
    task = "/proc/self/task"
    children = open(f"{{task}}/{{os.getpid()}}/children").read().split()
    print("LEFT", len(os.listdir(task)) - 1, atexit._ncallbacks(), len(children), file=sys.stderr, flush=True)
    leave(status)
os._exit = look
main()
"""


def call(argv: list[str], redirect: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "-c", f'"$@" {redirect}', "sh", *argv],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "VSMMU_HOST": GB200, **variables},
    )


@pytest.mark.parametrize("kind", ANSWERS)
def test_a_full_disk_is_said_in_a_line(kind: str) -> None:
    done = call(ANSWERS[kind], ">/dev/full")
    assert done.returncode == 5
    assert all(line.startswith(("vsmmu: ", "  ")) for line in done.stderr.splitlines())
    assert done.stderr.count("No space left on device [") == 1
    assert "[answer-unwritten]" in done.stderr or kind == "help"  # click writes its help itself


@pytest.mark.parametrize("kind", [kind for kind in ANSWERS if kind != "help"])
def test_a_closed_output_is_said_in_a_line(kind: str) -> None:
    done = call(ANSWERS[kind], ">&-")
    assert done.returncode == 5
    assert all(line.startswith(("vsmmu: ", "  ")) for line in done.stderr.splitlines())
    assert done.stderr.count("standard output is closed [answer-unwritten]") == 1


@pytest.mark.parametrize("kind", ANSWERS)
def test_a_reader_that_has_gone_away_hears_nothing(kind: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as gone:
        done = subprocess.run(
            ANSWERS[kind], stdout=gone, stderr=subprocess.PIPE, check=False, timeout=60,
            env={**os.environ, "VSMMU_HOST": GB200},
        )  # fmt: skip
    assert done.returncode == 141
    assert b"\n  next:" not in done.stderr  # no error; the hook says which values it would have written


@pytest.mark.parametrize(
    ("module", "arguments"),
    [(module, arguments) for module, every in QUICK.items() for arguments in every],
    ids=lambda value: value if isinstance(value, str) else value[0],
)
def test_nothing_is_left_to_do_where_a_program_ends_quickly(module: str, arguments: list[str]) -> None:
    done = call([sys.executable, "-I", "-c", LOOK.format(module=module), *arguments], "")
    assert done.stderr.splitlines()[-1] == "LEFT 0 0 0", "threads, callbacks, children"


@pytest.mark.parametrize("redirect", ["2>/dev/full", "2>&-"])
def test_remarks_that_cannot_be_written_do_not_cost_the_answer(redirect: str) -> None:
    done = call(ANSWERS["hook"], redirect)
    assert (done.returncode, done.stdout != DOMAIN) == (0, True)
    passed = call(ANSWERS["hook"], redirect, VSMMU_HOST="/nowhere", VSMMU_ON_FAILURE="pass-through")
    assert (passed.returncode, passed.stdout) == (0, DOMAIN)
    failed = call([*VSMMU, "check", "--hots"], redirect)
    assert (failed.returncode, failed.stdout) == (2, "")


def test_an_error_document_that_cannot_be_written_keeps_its_status() -> None:
    done = call([*VSMMU, "show", "--host", "/nowhere", "-o", "json"], ">/dev/full")
    assert done.returncode == 5
    assert "[file-missing]" in done.stderr


@given(st.sampled_from(sorted(errno.errorcode)), st.none() | st.text(max_size=8))
def test_a_failed_call_is_permission_or_the_host(number: int, path: str | None) -> None:
    error = error_of(OSError(number, os.strerror(number), path))
    assert type(error) is (PermissionRefused if number in (errno.EACCES, errno.EPERM) else HostLacks)
    assert os.strerror(number) in str(error)
    assert error.where == (path or "")


def test_what_is_no_failed_call_is_a_bug_or_itself() -> None:
    mine = HostLacks("code", "what")
    assert error_of(mine) is mine
    for failure in (ValueError("x"), OSError("without a number"), RecursionError()):
        assert error_of(failure).exit_status == VsmmuError.exit_status == 70


@pytest.mark.parametrize("debug", ["", "1"])
def test_debugging_shows_where_a_call_failed(debug: str) -> None:
    done = call([*VSMMU, "show", "x" * 300, "--host", "/proc/self/mem"], "", VSMMU_DEBUG=debug)
    assert done.returncode in (1, 5)
    full = call([*VSMMU, "show", "--help"], ">/dev/full", VSMMU_DEBUG=debug)
    assert ("Traceback" in full.stderr) == bool(debug)


@pytest.mark.parametrize("hours", ["inf", "-inf", "nan", "0", "-1", "1e9", "1e400", "x"])
def test_numbers_that_cannot_be_counted_to_are_usage_errors(
    hours: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["label", "--host", GB200, "--expires", hours]) == 2
    assert run(["inspect", "1", "--timeout", hours, "-o", "json"]) == 2
    assert json.loads(capsys.readouterr().out)["code"] == "usage"


def test_a_name_of_300_characters_is_a_name(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    name = "7" * 300
    for arguments in (
        ["report", name], ["show", "--host", name], ["check", name], ["inspect", f"x{name}"],
        ["baseline", "--for", name], ["check", "--baseline", name], ["plan", "--domain", name, "x"],
        ["label", "--host", GB200, "--write", f"{tmp_path}/{name}"],
    ):  # fmt: skip
        assert run(arguments) in (1, 2, 3, 4, 5), arguments
    assert "bug" not in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["fifo", "socket", "directory", "/dev/zero", "/dev/tty"])
def test_what_is_no_file_is_refused_and_never_waited_for(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)  # a socket's path is short
    path = kind if kind.startswith("/") else "it"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "directory":
        Path(path).mkdir()
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as place:
            place.bind(path)
    signal.signal(signal.SIGALRM, lambda *_: pytest.fail(f"it waits for {arguments}"))
    for arguments in (
        *([verb, path] for verb in ("check", "resolve", "explain", "fix", "bundle", "compare", "baseline")),
        ["check", "--baseline", path, "--", *VM], ["show", "--host", path], ["show", "--kernel-log", path],
        ["show", "--lspci", path], ["bundle", "--host", GB200, "--log", path, "--", *VM], ["report", path],
        ["plan", "--host", GB200, "--domain", path, "0009:01:00.0"], ["inspect", path],
    ):  # fmt: skip
        signal.alarm(30)
        status = run(arguments)
        signal.alarm(0)
        assert status in (1, 2, 3, 4, 5), arguments
    assert "bug" not in capsys.readouterr().err
