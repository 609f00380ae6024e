# SPDX-License-Identifier: Apache-2.0
"""``vsmmu lab`` as a program: statuses, streams, and nothing left behind."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from vsmmu.cli.lab import command
from vsmmu.errors import UsageError
from vsmmu.lab import LabFailed, LabTimeout

if TYPE_CHECKING:
    from vsmmu.lab import LabConfig

pytestmark = pytest.mark.lab

START = [sys.executable, "-m", "vsmmu", "lab"]


@pytest.fixture
def arguments(lab_config: LabConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """``vsmmu lab run`` with the tests' kernel, its temporary files where they can be counted."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    if lab_config.kernel is not None:
        monkeypatch.setenv("VSMMU_LAB_KERNEL", str(lab_config.kernel))
    return [*START, "run"]


def test_run_is_the_command_s_status_and_streams(arguments: list[str], tmp_path: Path) -> None:
    (tmp_path / "in").write_text("handed in")
    call = [
        *arguments,
        "--put",
        f"{tmp_path}/in:/root/in",
        "--get",
        f"/root/out:{tmp_path}/out",
        "-e",
        "A=b=c",
    ]
    script = 'cp /root/in /root/out; printf %s "$A"; cat; echo err >&2; exit 7'
    result = subprocess.run(
        [*call, "-i", "--", "sh", "-c", script], input=b" in", capture_output=True, check=False
    )
    assert (result.returncode, result.stdout, result.stderr) == (7, b"b=c in", b"err\n")
    assert (tmp_path / "out").read_text() == "handed in"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out"]


@pytest.mark.parametrize("status", [0, 4])
def test_a_missing_file_does_not_hide_the_command_s_failure(lab_config: LabConfig, status: int) -> None:
    kernel = ["--kernel", str(lab_config.kernel)] if lab_config.kernel else []
    call = ["run", *kernel, "--get", "/root/absent:/dev/null", "--", "sh", "-c", f"exit {status}"]
    result = CliRunner().invoke(command, call, standalone_mode=False)
    if status:
        assert result.return_value == status
        assert "cannot bring back /root/absent" in result.stderr
    else:
        assert isinstance(result.exception, LabFailed)


def test_a_timeout_is_an_error_with_status_124(lab_config: LabConfig) -> None:
    kernel = ["--kernel", str(lab_config.kernel)] if lab_config.kernel else []
    result = CliRunner().invoke(command, ["run", *kernel, "--timeout", "0.5", "--", "sleep", "600"])
    assert isinstance(result.exception, LabTimeout)
    assert result.exception.exit_status == 124
    assert "sleep did not end within 0.5 s" in str(result.exception)


@pytest.mark.parametrize(
    ("number", "empty"), [(signal.SIGINT, True), (signal.SIGTERM, True), (signal.SIGKILL, False)]
)
def test_a_signal_leaves_no_machine_behind(
    arguments: list[str], tmp_path: Path, number: signal.Signals, empty: bool
) -> None:
    # A script that runs the tests in its background hands them an ignored SIGINT, which they would pass on.
    heeding = ["env", "--default-signal"]
    call = [*heeding, *arguments, "--", "sh", "-c", "echo ready; sleep 600"]
    with subprocess.Popen(call, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        (child,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        descriptor = os.pidfd_open(int(child))
        try:
            process.send_signal(number)
            assert process.wait(20) != 0
            # Readable when the process has ended.
            assert select.select([descriptor], [], [], 20)[0] == [descriptor]
        finally:
            os.close(descriptor)
    if empty:
        assert list(tmp_path.iterdir()) == []


def test_build_has_nothing_to_do_when_all_is_there(lab_config: LabConfig) -> None:
    kernel = ["--kernel", str(lab_config.kernel)] if lab_config.kernel else []
    result = CliRunner().invoke(command, ["build", "--dry-run", *kernel], catch_exceptions=False)
    assert (result.exit_code, result.output) == (0, "")


def test_options_without_their_separator_are_refused() -> None:
    with pytest.raises(UsageError, match="has no ':'"):
        CliRunner().invoke(command, ["run", "--put", "x", "--", "true"], catch_exceptions=False)
    with pytest.raises(UsageError, match="has no '='"):
        CliRunner().invoke(command, ["run", "-e", "x", "--", "true"], catch_exceptions=False)


def test_clean_asks_first(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    env = {"VSMMU_LAB_CACHE": str(cache)}
    assert CliRunner().invoke(command, ["path"], env=env).output == f"{cache}\n"
    assert CliRunner().invoke(command, ["clean"], input="n\n", env=env).exit_code == 1
    assert cache.exists()
    assert CliRunner().invoke(command, ["clean", "--yes"], env=env).exit_code == 0
    assert not cache.exists()


def test_the_prompt_runs_what_is_typed(lab_config: LabConfig) -> None:
    kernel = ["--kernel", str(lab_config.kernel)] if lab_config.kernel else []
    call = [*START, "shell", *kernel]
    seen = b""
    with subprocess.Popen(call, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            # The serial line drops what comes before somebody listens.
            while b"# " not in seen:
                assert select.select([process.stdout], [], [], 60)[0], seen
                seen += os.read(process.stdout.fileno(), 4096)
            process.stdin.write(b"echo $((6 * 7)); uname -m\nexit\n")
            process.stdin.flush()
            seen += process.stdout.read()
            assert process.wait(20) == 0
        finally:
            process.kill()
    lines = seen.decode(errors="replace").replace("\r", "").splitlines()
    assert {"42", "aarch64"} < set(lines)
