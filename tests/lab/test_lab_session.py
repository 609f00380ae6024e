# SPDX-License-Identifier: Apache-2.0
"""Commands in the lab: what goes in, what comes out, how they end."""

from __future__ import annotations

import json
import os
import signal
import time
from typing import TYPE_CHECKING

import pytest

import vsmmu
from vsmmu.errors import InputRefused
from vsmmu.lab import LabConfig, LabFailed, LabTimeout, Session, session

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.lab

TEN_MEGABYTES = 10_000_000


@pytest.mark.parametrize("status", [0, 1, 124, 255])
def test_the_exit_status_comes_back(lab: Session, status: int) -> None:
    assert lab.run(["sh", "-c", f"exit {status}"]).status == status


def test_a_signal_counts_from_128(lab: Session) -> None:
    assert lab.run(["sh", "-c", "kill -TERM $$"]).status == 128 + signal.SIGTERM


def test_a_command_that_is_not_there(lab: Session) -> None:
    result = lab.run(["no-such-command"])
    assert (result.status, result.stdout) == (127, b"")
    assert b"no-such-command" in result.stderr


def test_standard_output_and_error_stay_apart_byte_for_byte(lab: Session) -> None:
    script = "import os; os.write(1, bytes(range(256)) * 3); os.write(2, bytes(range(255, -1, -1)))"
    result = lab.run(["python3", "-c", script])
    assert result.stdout == bytes(range(256)) * 3
    assert result.stderr == bytes(range(255, -1, -1))


def test_ten_megabytes_on_both(lab: Session) -> None:
    script = f"head -c {TEN_MEGABYTES} /dev/zero & head -c {TEN_MEGABYTES} /dev/urandom >&2; wait"
    result = lab.run(["sh", "-c", script])
    assert result.status == 0
    assert result.stdout == bytes(TEN_MEGABYTES)
    assert len(result.stderr) == TEN_MEGABYTES


def test_ten_megabytes_in_and_out(lab: Session) -> None:
    data = os.urandom(TEN_MEGABYTES)
    assert lab.run(["cat"], stdin=data).stdout == data


def test_output_arrives_while_the_command_runs(lab: Session) -> None:
    arrived: list[tuple[float, bytes]] = []
    result = lab.run(
        ["sh", "-c", "echo one; sleep 0.5; echo two"],
        on_stdout=lambda data: arrived.append((time.monotonic(), data)),
    )
    assert b"".join(data for _, data in arrived) == b"one\ntwo\n"
    assert arrived[-1][0] - arrived[0][0] > 0.3
    assert result.stdout == b""


def test_environment_and_directory(lab: Session) -> None:
    result = lab.run(["sh", "-c", 'echo "$PWD $NAME"; id -u'], env={"NAME": "a b"}, cwd="/tmp")
    assert result.stdout == b"/tmp a b\n0\n"


def test_the_project_is_importable_and_its_sources_are_today_s(lab: Session) -> None:
    result = lab.run(["python3", "-c", "import vsmmu; print(vsmmu.__version__, vsmmu.__file__)"])
    assert result.stdout.decode().split() == [vsmmu.__version__, "/lab/src/vsmmu/__init__.py"]
    assert lab.run(["sh", "-c", "command -v vsmmu"]).stdout == b"/lab/bin/vsmmu\n"


def test_the_runtime_dependencies_are_there(lab: Session) -> None:
    result = lab.run(["python3", "-c", "import click, jinja2, msgspec"])
    assert (result.status, result.stderr) == (0, b"")


def test_files_go_in_and_come_back(lab: Session, tmp_path: Path) -> None:
    (tmp_path / "in" / "sub").mkdir(parents=True)
    (tmp_path / "in" / "sub" / "data").write_bytes(bytes(range(256)))
    (tmp_path / "in" / "script").write_text("#!/bin/sh\nmkdir /root/back\ncp -r /root/go/sub /root/back\n")
    (tmp_path / "in" / "script").chmod(0o755)
    lab.put({"/root/go": tmp_path / "in", "/root/note": b"note"})
    assert lab.run(["/root/go/script"]).status == 0
    assert lab.get("/root/note") == b"note"
    assert lab.get_tree("/root/back") == {"sub/data": bytes(range(256))}
    lab.download("/root/go", tmp_path / "out")
    lab.download("/root/note", tmp_path / "note")
    assert (tmp_path / "out/sub/data").read_bytes() == bytes(range(256))
    assert (tmp_path / "out/script").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "note").read_bytes() == b"note"


def test_a_batch_goes_in_as_json_and_comes_back_as_json(lab: Session) -> None:
    cases = [{"n": n} for n in range(500)]
    script = b"import json, sys; json.dump([c['n'] ** 2 for c in json.load(sys.stdin)], sys.stdout)"
    lab.put({"/root/batch.py": script})
    result = lab.run(["python3", "/root/batch.py"], stdin=json.dumps(cases).encode())
    assert json.loads(result.stdout) == [n**2 for n in range(500)]


def test_a_file_that_is_not_there(lab: Session, tmp_path: Path) -> None:
    with pytest.raises(LabFailed, match="cannot bring back /root/absent"):
        lab.get("/root/absent")
    with pytest.raises(LabFailed):
        lab.download("/root/absent", tmp_path / "absent")
    with pytest.raises(InputRefused):
        lab.put({"/root/x": tmp_path / "absent"})


def test_a_timeout_kills_and_the_session_goes_on(lab: Session) -> None:
    started = time.monotonic()
    with pytest.raises(LabTimeout) as caught:
        lab.run(["sh", "-c", "echo so far; sleep 601 & sleep 601"], timeout=1)
    assert time.monotonic() - started < 10
    assert caught.value.stdout == b"so far\n"
    assert lab.run(["grep", "-l", "^sleep.601", "-r", "/proc", "--include=cmdline"]).stdout == b""


def test_a_process_left_behind_goes_on(lab: Session) -> None:
    pid = lab.run(["sh", "-c", "sleep 600 & echo $!"]).stdout.decode().strip()
    assert lab.run(["kill", pid]).status == 0


def test_too_long_a_command_is_refused(lab: Session) -> None:
    with pytest.raises(InputRefused, match="too long"):
        lab.run(["echo", "x" * (1 << 21)])
    assert lab.run(["true"]).status == 0


def test_a_guest_that_ends_is_noticed(lab_config: LabConfig) -> None:
    with Session(lab_config) as ending:
        with pytest.raises(LabFailed, match="has ended"):
            ending.run(["busybox", "poweroff", "-f"])
        assert not ending.alive
        with pytest.raises(LabFailed, match="not running"):
            ending.run(["true"])


def test_a_guest_that_hangs_is_killed(lab_config: LabConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "_AGENT_PATIENCE", 1.0)
    with Session(lab_config) as hanging:
        assert hanging._guest is not None
        process = hanging._guest._process
        process.send_signal(signal.SIGSTOP)
        with pytest.raises(LabTimeout, match="does not answer"):
            hanging.run(["true"], timeout=0.5)
        assert process.returncode == -signal.SIGKILL
        assert not hanging.alive


def test_a_machine_that_qemu_refuses_says_so(lab_config: LabConfig) -> None:
    with pytest.raises(LabFailed, match="no-such-device"):
        Session(lab_config.with_devices("no-such-device")).__enter__()


def test_a_boot_that_takes_too_long_is_ended(lab_config: LabConfig) -> None:
    with pytest.raises(LabTimeout, match="did not start"):
        Session(lab_config, boot_timeout=0.05).__enter__()
