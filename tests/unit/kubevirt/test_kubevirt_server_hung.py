# SPDX-License-Identifier: Apache-2.0
"""The gRPC server while the facts do not come: time limits, the VMs that need none, and the end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import vsmmu.host
from domains import domain
from vsmmu.cli.hook import run as hook
from vsmmu.errors import HostLacks
from vsmmu.host.files import load_host

# Before these can be imported.
grpc = pytest.importorskip("grpc", reason="the extra vsmmu[kubevirt] is not installed")

from vsmmu.kubevirt.protocol import CALLBACKS, message  # noqa: E402
from vsmmu.kubevirt.server import HookServer  # noqa: E402
from vsmmu.kubevirt.settings import HookSettings  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

GB200 = str(Path(vsmmu.host.__file__).with_name("builtin") / "gb200.json")
VMI = json.dumps({"metadata": {"name": "vm"}}).encode()
CALLS = 64
CONCERNED, OTHER = domain(), b"<domain type='kvm'><name>other</name></domain>"
#: Emulated SMMUs need no facts, though the domain has to be read to know.
EMULATED = CONCERNED.replace(b" accel='on'", b"")


class Client:
    def __init__(self, socket: Path) -> None:
        package = CALLBACKS["v1alpha2"]
        self.request = message(package, "OnDefineDomainParams")
        self.channel = grpc.insecure_channel(f"unix:{socket}")
        self.rpc = self.channel.unary_unary(
            f"/{package}.Callbacks/OnDefineDomain",
            request_serializer=lambda entry: entry.SerializeToString(),
            response_deserializer=message(package, "OnDefineDomainResult").FromString,
        )

    def define(self, data: bytes, timeout: float | None = 30) -> Any:
        return self.rpc.future(self.request(domainXML=data, vmi=VMI), timeout=timeout, wait_for_ready=True)

    def seconds(self, data: bytes) -> float:
        """How long a call takes that gives the domain back as it is."""
        start = time.monotonic()
        assert self.define(data).result().domainXML == data
        return time.monotonic() - start


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Facts come when it is set."""
    event = threading.Event()

    def load(path: str) -> Any:
        event.wait(60)
        return load_host(path)

    monkeypatch.setattr("vsmmu.kubevirt.facts.load_facts", load)
    yield event
    event.set()


def serving(tmp_path: Path, **settings: Any) -> tuple[HookServer, Client]:
    server = HookServer(HookSettings(facts=GB200)._replace(**settings), lambda _line: None)
    server.start(tmp_path / "vsmmu.sock")
    return server, Client(tmp_path / "vsmmu.sock")


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def stop(server: HookServer, client: Client) -> float:
    start = time.monotonic()
    server.stop()
    server.wait()
    client.channel.close()
    return time.monotonic() - start


def test_a_built_in_host_serves_as_well(tmp_path: Path) -> None:
    server, client = serving(tmp_path, facts="builtin:gb200")
    assert b"oas='48'" in client.define(CONCERNED).result().domainXML
    stop(server, client)


@pytest.mark.parametrize("data", [OTHER, EMULATED], ids=["no SMMU", "emulated SMMU"])
def test_a_vm_without_need_of_facts_does_not_wait(tmp_path: Path, gate: threading.Event, data: bytes) -> None:
    server, client = serving(tmp_path, seconds=50)
    client.seconds(data)  # the first connects, and imports
    calls = [client.define(CONCERNED, None) for _ in range(CALLS)]
    until(lambda: threading.active_count() > CALLS)
    took = sorted(client.seconds(data) for _ in range(20))
    assert took[10] < 0.1, took
    assert not any(call.done() for call in calls)
    gate.set()
    assert {call.result().domainXML.count(b"ssidsize='20'") > 0 for call in calls} == {True}
    assert stop(server, client) < 2


def test_the_end_does_not_wait_for_facts(tmp_path: Path, gate: threading.Event) -> None:
    server, client = serving(tmp_path, seconds=50)
    calls = [client.define(CONCERNED, None) for _ in range(CALLS)]
    time.sleep(0.3)
    assert stop(server, client) < 2
    assert all(call.code() is not None for call in calls)
    assert not gate.is_set()


@pytest.mark.parametrize(("seconds", "timeout"), [(0.3, None), (0.3, 20), (20, 0.4)])
def test_time_ends(tmp_path: Path, gate: threading.Event, seconds: float, timeout: float | None) -> None:
    """The setting's or the call's, whichever is less; and the next call finds the server as before."""
    server, client = serving(tmp_path, seconds=seconds)
    start = time.monotonic()
    calls = [client.define(CONCERNED, timeout) for _ in range(8)]
    codes = {call.code() for call in calls}
    assert time.monotonic() - start < 2
    assert codes == {grpc.StatusCode.DEADLINE_EXCEEDED}
    if timeout is None:
        assert "hook-timeout" in calls[0].details()
    gate.set()
    assert b"ssidsize='20'" in client.define(CONCERNED).result().domainXML
    stop(server, client)


def test_too_late_may_mean_unchanged(tmp_path: Path, gate: threading.Event) -> None:
    server, client = serving(tmp_path, on_failure="pass-through")
    # A tenth of it is what a busy machine has for the way back.
    assert client.define(CONCERNED, 6).result().domainXML == CONCERNED
    assert not gate.is_set()
    stop(server, client)


def test_more_calls_than_may_wait_are_refused(
    tmp_path: Path, gate: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vsmmu.kubevirt.server._WAITING", 4)
    server, client = serving(tmp_path)
    calls = [client.define(CONCERNED) for _ in range(12)]
    until(lambda: sum(call.done() for call in calls) == 8)
    assert {call.code() for call in calls if call.done()} == {grpc.StatusCode.RESOURCE_EXHAUSTED}
    assert client.seconds(OTHER) < 0.5
    gate.set()
    assert sum(call.code() is grpc.StatusCode.OK for call in calls) == 4
    stop(server, client)


# --- a FIFO as facts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("writer", [False, True])
def test_a_fifo_is_no_facts_file(tmp_path: Path, writer: bool) -> None:
    fifo = tmp_path / "host.json"
    os.mkfifo(fifo)
    held = os.open(fifo, os.O_RDWR) if writer else None
    with pytest.raises(HostLacks, match="no regular file"):
        load_host(str(fifo))
    server, client = serving(tmp_path, facts=str(fifo))
    assert client.define(CONCERNED).code() is grpc.StatusCode.UNAVAILABLE
    stop(server, client)
    for verb in (["show", "--host"], ["compare", "builtin:gb200"], ["baseline"], ["report"]):
        done = subprocess.run(
            [sys.executable, "-m", "vsmmu", *verb, str(fifo)],
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
        assert (done.returncode, "no regular file" in done.stderr) == (5, True), done.stderr
    if held is not None:
        os.close(held)


def test_a_fifo_does_not_hold_the_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo(tmp_path / "host.json")
    monkeypatch.setenv("VSMMU_HOST", str(tmp_path / "host.json"))
    start = time.monotonic()
    assert hook(["--vmi", VMI.decode(), "--domain", CONCERNED.decode()]) == 5
    assert time.monotonic() - start < 5
    assert "no regular file" in capsys.readouterr().err


def test_the_pipe_of_a_shell_is_read() -> None:
    script = f"{sys.executable} -m vsmmu show --host <(sleep 0.2; cat {GB200}) -o json"
    done = subprocess.run(["bash", "-c", script], capture_output=True, timeout=20, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["smmus"]


# --- a file system that hangs -------------------------------------------------------------------------------

#: A FUSE file system whose server never says a word: whatever asks for a file waits.
HUNG = """
import ctypes, os, sys
fuse = os.open("/dev/fuse", os.O_RDWR)
os.set_inheritable(fuse, True)
options = f"fd={fuse},rootmode=40000,user_id=0,group_id=0".encode()
if ctypes.CDLL(None, use_errno=True).mount(b"fuse", sys.argv[1].encode(), b"fuse", 0, options):
    sys.exit(77)
os.execv(sys.argv[2], sys.argv[2:])
"""


def can_hang(tmp_path: Path) -> bool:
    if os.geteuid() != 0 or not Path("/dev/fuse").exists():
        return False
    command = ["unshare", "-m", sys.executable, "-c", HUNG, str(tmp_path), "/bin/true"]
    return subprocess.run(command, capture_output=True, check=False, timeout=20).returncode == 0


def test_64_calls_on_a_hung_file_system(tmp_path: Path) -> None:
    directory = tmp_path / "hung"
    directory.mkdir()
    if not can_hang(directory):
        pytest.skip("needs root, /dev/fuse and leave to mount")
    serve = [sys.executable, "-m", "vsmmu", "kubevirt", "serve", "--socket", str(tmp_path / "vsmmu.sock")]
    command = ["unshare", "-m", sys.executable, "-c", HUNG, str(directory), *serve]
    environment = {**os.environ, "VSMMU_HOST": str(directory / "host.json"), "VSMMU_TIMEOUT": "50"}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE) as process:
        try:
            client = Client(tmp_path / "vsmmu.sock")
            client.seconds(OTHER)
            client.seconds(EMULATED)
            calls = [client.define(CONCERNED, None) for _ in range(CALLS)]
            late = client.define(CONCERNED, 0.5)
            assert late.code() is grpc.StatusCode.DEADLINE_EXCEEDED
            took = sorted(client.seconds(OTHER) for _ in range(20))
            assert took[10] < 0.1, took
            assert not any(call.done() for call in calls)
            start = time.monotonic()
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
            assert time.monotonic() - start < 2
            client.channel.close()
        finally:
            process.kill()
