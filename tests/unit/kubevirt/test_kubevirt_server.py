# SPDX-License-Identifier: Apache-2.0
"""The gRPC server, asked by a real gRPC client over a unix socket."""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest

import vsmmu.host
from domains import domain, driver, golden

# Before these can be imported.
grpc = pytest.importorskip("grpc", reason="the extra vsmmu[kubevirt] is not installed")

from hook_client import SECONDS, VMI, HookClient  # noqa: E402
from vsmmu.errors import HostLacks, InputRefused  # noqa: E402
from vsmmu.kubevirt import server as server_module  # noqa: E402
from vsmmu.kubevirt.protocol import CALLBACKS, INFO, VERSIONS, message  # noqa: E402
from vsmmu.kubevirt.server import HookServer  # noqa: E402
from vsmmu.kubevirt.settings import HookSettings  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterator

GB200 = str(Path(vsmmu.host.__file__).with_name("builtin") / "gb200.json")


@pytest.fixture
def log() -> list[str]:
    return []


@pytest.fixture
def client(tmp_path: Path, log: list[str]) -> Iterator[HookClient]:
    server = HookServer(HookSettings(facts=GB200), log.append, priority=7)
    server.start(tmp_path / "hooks" / "vsmmu.sock")
    client = HookClient(tmp_path / "hooks" / "vsmmu.sock")
    yield client
    client.channel.close()
    server.stop(0)
    server.wait()


def test_info(client: HookClient) -> None:
    answer = client.call(INFO, "Info/Info", "InfoParams", "InfoResult")
    assert answer.name == "vsmmu"
    assert list(answer.versions) == ["v1alpha3", "v1alpha2", "v1alpha1"]
    assert [(point.name, point.priority) for point in answer.hookPoints] == [("OnDefineDomain", 7)]
    # As virt-launcher's generated code reads it: name 1, hookPoints 3, versions 4.
    assert answer.SerializeToString().startswith(
        b"\x0a\x05vsmmu\x1a\x12\x0a\x0eOnDefineDomain\x10\x07\x22\x08v1alpha3"
    )


@pytest.mark.parametrize("version", VERSIONS)
def test_every_version_does_what_the_program_does(version: str, client: HookClient, log: list[str]) -> None:
    before = golden("kubevirt")
    assert client.define(version, before) == before.replace(b"ssidSize", b"ssidsize")
    assert any("ssidSize" in line for line in log)
    assert client.define(version, domain(iommu="")) == domain(iommu="")


def test_plugin(client: HookClient) -> None:
    before = golden("kubevirt")
    assert client.mutate(before) == before.replace(b"ssidSize", b"ssidsize")
    with pytest.raises(grpc.RpcError) as caught:
        client.mutate(before, "other")
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize(
    ("data", "status", "code"),
    [
        (driver("pciBus='2' accel='on'"), "FAILED_PRECONDITION", "pcibus-no-expander"),
        (b"<domain><iommu model='smmuv3'>", "INVALID_ARGUMENT", "xml-malformed"),
        (b"<domain>smmuv3" + b" " * (5 << 20), "INVALID_ARGUMENT", "input-too-large"),
    ],
)
def test_failure_is_a_status_with_the_reason(
    client: HookClient, log: list[str], data: bytes, status: str, code: str
) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        client.define("v1alpha2", data)
    assert caught.value.code() == grpc.StatusCode[status]
    assert code in caught.value.details()
    assert code in log[0]
    assert client.define("v1alpha2", golden("kubevirt"))  # and it goes on


def test_annotation_reaches_the_hook(client: HookClient) -> None:
    vmi = json.dumps({"metadata": {"annotations": {"vsmmu/hook": "off"}}}).encode()
    with pytest.raises(grpc.RpcError) as caught:
        client.define("v1alpha1", domain(), vmi)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "annotation-denied" in caught.value.details()


def test_a_living_servers_socket_is_not_taken(client: HookClient, tmp_path: Path) -> None:
    path = tmp_path / "hooks" / "vsmmu.sock"
    second = HookServer(HookSettings(facts=GB200), print)
    with pytest.raises(HostLacks, match="another server listens there"):
        second.start(path)
    second.stop(0)
    assert client.define("v1alpha3", golden("kubevirt"), VMI) != golden("kubevirt")


@pytest.mark.parametrize("left", ["bound", "listened"])
def test_a_dead_servers_socket_is_taken(left: str, tmp_path: Path) -> None:
    path = tmp_path / "vsmmu.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
        if left == "listened":
            dead.listen()
    server = HookServer(HookSettings(facts=GB200), print)
    server.start(path)
    client = HookClient(path)
    assert client.define("v1alpha3", golden("kubevirt"), VMI) != golden("kubevirt")
    client.channel.close()
    server.stop(0)
    server.wait()


def test_a_server_that_is_too_busy_to_answer_lives(tmp_path: Path) -> None:
    path = tmp_path / "vsmmu.sock"
    with socket.socket(socket.AF_UNIX) as busy, socket.socket(socket.AF_UNIX) as caller:
        busy.bind(str(path))
        busy.listen(0)
        caller.connect(str(path))  # the queue is full now
        server = HookServer(HookSettings(facts=GB200), print)
        with pytest.raises(HostLacks, match="another server listens there"):
            server.start(path)
        server.stop(0)


@pytest.mark.parametrize("name", ["p%41 q?#.sock", "@name", os.fsdecode(b"n\xff.sock"), "two\nlines"])
def test_the_socket_is_where_its_name_says(name: str, tmp_path: Path) -> None:
    server = HookServer(HookSettings(facts=GB200), print)
    server.start(tmp_path / name)
    with socket.socket(socket.AF_UNIX) as caller:
        caller.connect(os.fsencode(tmp_path / name))
    server.stop(0)
    server.wait()


def test_a_link_is_no_socket_that_a_server_left(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    server = HookServer(HookSettings(facts=GB200), print)
    with pytest.raises(InputRefused, match="something else"):
        server.start(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    server.stop(0)


def test_of_two_that_start_at_the_same_time_one_serves(tmp_path: Path) -> None:
    path = tmp_path / "vsmmu.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))  # which both would take over
    servers = [HookServer(HookSettings(facts=GB200), print) for _ in range(4)]

    def start(server: HookServer) -> bool:
        try:
            server.start(path)
        except HostLacks:
            return False
        return True

    with ThreadPoolExecutor(len(servers)) as pool:
        assert sum(pool.map(start, servers)) == 1
    for server in servers:
        server.stop(0)


def test_calls_whose_message_does_not_come_hold_no_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "_PATIENCE", 0.1)
    server = HookServer(HookSettings(facts=GB200), print)
    server.start(tmp_path / "vsmmu.sock")
    client = HookClient(tmp_path / "vsmmu.sock")
    released = threading.Event()

    def silent() -> Iterator[bytes]:
        released.wait()
        yield from ()

    rpc = client.channel.stream_unary(f"/{CALLBACKS['v1alpha3']}.Callbacks/OnDefineDomain")
    calls = [rpc.future(silent()) for _ in range(200)]  # more than there are threads
    assert {call.code() for call in calls} <= {
        grpc.StatusCode.CANCELLED, grpc.StatusCode.RESOURCE_EXHAUSTED,
    }  # fmt: skip
    assert client.define("v1alpha3", golden("kubevirt"), VMI) != golden("kubevirt")
    released.set()
    nothing = rpc.future(iter(()), timeout=SECONDS)
    assert nothing.code() is grpc.StatusCode.INVALID_ARGUMENT
    client.channel.close()
    server.stop(0)
    server.wait()


def test_a_call_that_the_kernel_fails_has_a_status(
    client: HookClient, log: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> NoReturn:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(server_module, "mutate", fail)
    with pytest.raises(grpc.RpcError) as caught:
        client.define("v1alpha3", golden("kubevirt"), VMI)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert "Too many open files" in log[0]


def test_calls_at_the_same_time(client: HookClient) -> None:
    before = golden("kubevirt")
    rpc = client.channel.unary_unary(
        f"/{CALLBACKS['v1alpha3']}.Callbacks/OnDefineDomain",
        request_serializer=lambda entry: entry.SerializeToString(),
        response_deserializer=message(CALLBACKS["v1alpha3"], "OnDefineDomainResult").FromString,
    )
    request = message(CALLBACKS["v1alpha3"], "OnDefineDomainParams")(domainXML=before, vmi=VMI)
    answers = [rpc.future(request, timeout=SECONDS) for _ in range(12)]
    assert {answer.result().domainXML for answer in answers} == {before.replace(b"ssidSize", b"ssidsize")}


def _serve(socket: Path) -> subprocess.Popen[bytes]:
    command = [
        sys.executable,
        "-m",
        "vsmmu",
        "kubevirt",
        "serve",
        "--socket",
        str(socket),
        "--version",
        "v1alpha3",
    ]
    return subprocess.Popen(command, stderr=subprocess.PIPE, env={**os.environ, "VSMMU_HOST": GB200})


def test_verb_serves_until_shutdown(tmp_path: Path) -> None:
    socket = tmp_path / "vsmmu.sock"
    with _serve(socket) as process:
        try:
            client = HookClient(socket)
            assert b"ssidsize='20'" in client.define("v1alpha3", domain())
            client.call(CALLBACKS["v1alpha3"], "Callbacks/Shutdown", "ShutdownParams", "ShutdownResult")
            client.channel.close()
            assert process.wait(SECONDS) == 0
        finally:
            process.kill()


def test_verb_stops_at_sigterm_and_takes_an_old_socket_over(tmp_path: Path) -> None:
    socket = tmp_path / "vsmmu.sock"
    for _ in range(2):
        with _serve(socket) as process:
            try:
                client = HookClient(socket)
                client.call(INFO, "Info/Info", "InfoParams", "InfoResult")
                client.channel.close()
                process.send_signal(signal.SIGTERM)
                assert process.wait(SECONDS) == 0
            finally:
                process.kill()


def test_verb_leaves_other_files_alone(tmp_path: Path) -> None:
    path = tmp_path / "vsmmu.sock"
    path.write_text("mine")
    with _serve(path) as process:
        assert process.wait(SECONDS) == 3
    assert path.read_text() == "mine"
