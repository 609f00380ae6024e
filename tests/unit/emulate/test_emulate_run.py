# SPDX-License-Identifier: Apache-2.0
"""Real programs under the emulator on this machine."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from emulate_helpers import PROGRAM, WORDS, as_nobody, emulate, fact, host

from vsmmu.host.builtin import builtin_host, builtin_names
from vsmmu.host.facts import Host, HostFunction, ReservedRegion
from vsmmu.host.files import load_host, save_host
from vsmmu.host.judgements import direct_mapped
from vsmmu.smmuv3.fields import FIELDS

if TYPE_CHECKING:
    from collections.abc import Iterator

LAB = Path(__file__).parents[2] / "lab"


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The facts of the test host; without namespaces or seccomp here, there is nothing to test."""
    path = tmp_path_factory.mktemp("emulate") / "host.json"
    save_host(host(), path)
    tried = emulate(["-q", "--host", str(path), "--", "true"])
    if tried.returncode == 5:
        if os.environ.get("CI") == "true":
            pytest.fail(tried.stderr)
        pytest.skip(tried.stderr)
    assert tried.returncode == 0, tried.stderr
    return path


def run(facts: Path, name: str, *options: str) -> Any:
    done = emulate(["-q", "--host", str(facts), *options, "--", sys.executable, PROGRAM, name])
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_registers_come_back(facts: Path) -> None:
    number, data = run(facts, "simple")
    assert number == 1
    words = [int.from_bytes(bytes.fromhex(data)[offset : offset + 4], "little") for offset in range(8, 40, 4)]
    assert words == list(WORDS)


def test_a_function_that_stays_mapped_1_1_is_refused(tmp_path: Path, facts: Path) -> None:
    """Where a region of its group is of type direct; direct-relaxable is no obstacle."""
    shown = load_host(str(facts))
    for kind, answers in (("direct", "EINVAL"), ("direct-relaxable", 1)):
        functions = [
            msgspec.structs.replace(entry, reserved_regions=(ReservedRegion("0x0", "0xfff", kind),))
            for entry in shown.functions
        ]
        save_host(msgspec.structs.replace(shown, functions=tuple(functions)), tmp_path / "host.json")
        assert run(tmp_path / "host.json", "bind") == answers


def test_threads_children_and_duplicates_are_followed(facts: Path) -> None:
    assert run(facts, "family") == [2, 2, 2, "ENOENT", 1]


def test_a_device_is_bound_until_its_last_descriptor_is_closed(facts: Path) -> None:
    assert run(facts, "held_by_a_child") == [2, "ENOENT"]


def test_configuration_space_and_interrupts(facts: Path) -> None:
    assert run(facts, "config") == [4096, "34127856", "00f0ffff", "0f00", 1, "EINVAL"]


def test_an_event_queue_is_readable(facts: Path) -> None:
    assert run(facts, "events") == ["EAGAIN", 0]


def test_the_errnos_of_a_real_kernel(facts: Path, tmp_path: Path) -> None:
    """One table for the real kernel (tests/lab/test_errno_table.py) and for the emulated one."""
    sys.path.insert(0, str(LAB))
    try:
        from test_errno_table import EXPECTED, NESTED
    finally:
        sys.path.remove(str(LAB))
    shown = host()
    functions = tuple(
        msgspec.structs.replace(f, ats_not_supported=fact(1), dirty_tracking=fact(0)) for f in shown.functions
    )
    save_host(msgspec.structs.replace(shown, functions=functions), tmp_path / "host.json")
    answers = run(tmp_path / "host.json", "errno_cases")
    # A read of an unbound file goes to the stand-in, and gives nothing.
    assert answers.pop("read before bind") == ""
    expected = EXPECTED | NESTED
    assert answers == {name: expected[name] for name in answers}
    assert len(answers) > 45


def test_faults(facts: Path) -> None:
    done = emulate(
        ["-q", "--host", str(facts), "--fault", "GET_HW_INFO:EIO", "--", sys.executable, PROGRAM, "simple"]
    )
    assert done.returncode == 1
    assert "[Errno 5]" in done.stderr


def test_the_trace_has_every_call(facts: Path, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    run(facts, "simple", "--trace", str(trace))
    start, bind, info = [json.loads(line) for line in trace.read_text().splitlines()]
    assert start["event"] == "start"
    assert start["smmus"]["smmu3.0x1"]["registers"]["IDR1"] == "0x02730510"
    assert (bind["call"], bind["device"], bind["out"]) == (
        "VFIO_DEVICE_BIND_IOMMUFD",
        "0001:01:00.0",
        {"out_devid": 1},
    )
    assert (info["call"], info["answer"], info["out"]["data_type"]) == ("IOMMU_GET_HW_INFO", 0, 2)


def test_what_is_made_up_is_said() -> None:
    done = emulate(["--host", "builtin:gb200", "--", "true"])
    assert "synthetic bits of smmu3.0x0000000011000000 and 3 more: IDR0:e7fffbff" in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("command", "status"),
    [
        (["sh", "-c", "exit 7"], 7),
        (["sh", "-c", "kill -9 $$"], 137),
        (["/nonexistent"], 127),
        (["/etc/passwd"], 126),
    ],
)
def test_the_exit_status_is_the_programs(facts: Path, command: list[str], status: int) -> None:
    assert emulate(["-q", "--host", str(facts), "--", *command]).returncode == status


def test_without_its_supervisor_a_program_gets_errors(facts: Path) -> None:
    done = emulate(["-q", "--host", str(facts), "--", sys.executable, PROGRAM, "orphan"])
    assert done.returncode == -9
    # The program goes on without it, and has to be waited for.
    assert done.stdout.splitlines()[0] == '"ENOSYS"'


def test_a_program_that_dies_leaves_nothing(facts: Path) -> None:
    before = Path("/proc/self/mounts").read_text()
    command = "exec 3<>/dev/iommu; kill -9 $$"
    assert emulate(["-q", "--host", str(facts), "--", "sh", "-c", command]).returncode == 137
    assert Path("/proc/self/mounts").read_text() == before
    assert run(facts, "mounts") > 0


def test_a_background_program_is_served_to_its_end(facts: Path) -> None:
    command = f"(sleep 0.5; exec {sys.executable} {PROGRAM} simple) & exit 3"
    done = emulate(["-q", "--host", str(facts), "--", "sh", "-c", command])
    assert done.returncode == 3
    assert json.loads(done.stdout)[0] == 1


def test_emulate_inside_emulate_is_refused(facts: Path) -> None:
    code = "import sys; from vsmmu.cli.main import run; sys.exit(run(sys.argv[1:]))"
    inner = [sys.executable, "-c", code, "emulate", "-q", "--host", str(facts), "--", "true"]
    done = emulate(["-q", "--host", str(facts), "--", *inner])
    assert done.returncode == 5
    assert "[emulate-seccomp]" in done.stderr
    assert "supervisor already" in done.stderr


@pytest.fixture
def waiting(facts: Path) -> Iterator[tuple[subprocess.Popen[str], socket.socket]]:
    """A program that waits for a function, and a connection to its control socket."""
    address = f"@vsmmu-test-{os.getpid()}-{time.monotonic_ns()}"
    code = "import sys; from vsmmu.cli.main import run; sys.exit(run(sys.argv[1:]))"
    arguments = ["emulate", "-q", "--host", str(facts), "--control", address, "--"]
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments, sys.executable, PROGRAM, "wait_for_function"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    with process, socket.socket(socket.AF_UNIX) as control:
        assert process.stdout is not None
        assert len(json.loads(process.stdout.readline())) == 4
        control.settimeout(10)
        control.connect("\0" + address[1:])
        yield process, control
        process.kill()


def order(control: socket.socket, document: object) -> Any:
    control.sendall(msgspec.json.encode(document) + b"\n")
    return json.loads(control.makefile().readline())


def test_functions_come_and_go(waiting: tuple[subprocess.Popen[str], socket.socket]) -> None:
    process, control = waiting
    new = HostFunction(address="0003:01:00.0", smmu="smmu3.0x1", driver="vfio-pci", iommu_group=9)
    added: Host = msgspec.structs.replace(host(), functions=(new,))
    assert order(control, {"do": "add", "host": msgspec.to_builtins(added)}) == {
        "ok": True,
        "functions": {"0003:01:00.0": "vfio4"},
    }
    assert order(control, {"do": "remove", "function": "0002:01:00.0"}) == {"ok": True}
    listed = order(control, {"do": "list"})["functions"]
    assert sorted(listed) == ["0001:01:00.0", "0001:02:00.0", "0001:02:00.1", "0003:01:00.0"]
    for nonsense in ({"do": "dance"}, {"do": "remove", "function": "x"}, [], {"do": "add", "host": {}}):
        assert order(control, nonsense)["ok"] is False
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("\n")
    process.stdin.flush()
    devices, nodes, kind = json.loads(process.stdout.readline())
    assert devices == sorted(listed)
    assert nodes == ["vfio0", "vfio1", "vfio2", "vfio4"]
    assert kind == 2
    assert process.wait(10) == 0


@pytest.mark.parametrize("words", [["family"], ["held_by_a_child"], ["config"], ["events"], ["simple"]])
def test_without_privilege(facts: Path, words: list[str]) -> None:
    """A user gets other stand-ins than root, and the same answers."""
    done = as_nobody(words, facts)
    assert json.loads(done.stdout) == run(facts, *words), done.stderr


def test_device_files_are_device_files_without_privilege(facts: Path, tmp_path: Path) -> None:
    """Where command queues are mapped the iommufd is a file: then it can be."""
    assert json.loads(as_nobody(["kinds"], facts).stdout) == [
        "character",
        "not mapped",
        "character",
        "as told",
    ]
    queues = tmp_path / "queues.json"
    save_host(host(cmdqv=fact(1)), queues)
    assert json.loads(as_nobody(["kinds"], queues).stdout) == ["file", "mapped", "character", "as told"]
    assert run(queues, "kinds") == ["character", "mapped", "character", "as told"]


def test_a_probe_of_the_emulated_host_leaves_the_real_ones_facts_alone(facts: Path) -> None:
    real = Path("/run/vsmmu/host.json")
    before = real.read_bytes() if real.exists() else None
    probe = f"{sys.executable} -m vsmmu probe"
    script = f'echo "$VSMMU_RUN_DIR"; {probe} >/dev/null; ls "$VSMMU_RUN_DIR"'
    told, *written = emulate(["-q", "--host", "builtin:gb200", "--", "sh", "-c", script]).stdout.split()
    assert "host.json" in written
    assert not Path(told).exists()
    assert (real.read_bytes() if real.exists() else None) == before


def _place(region: ReservedRegion) -> tuple[str, str, str]:
    return region.start, region.end, region.type


@pytest.mark.parametrize("name", builtin_names())
def test_the_prober_finds_the_facts_again(facts: Path, tmp_path: Path, name: str) -> None:
    """The unchanged prober on every built-in host: what the facts say comes back, the rest is synthetic."""
    shown = builtin_host(name)
    code = "import sys; from vsmmu.cli.main import run; sys.exit(run(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "probe"]
    emulate(["-q", "--host", f"builtin:{name}", "--", *command], VSMMU_RUN_DIR=str(tmp_path))
    found = load_host(str(tmp_path / "host.json"))
    assert [smmu.name for smmu in found.smmus] == sorted(smmu.name for smmu in shown.smmus)
    assert [f.address for f in found.functions] == sorted(f.address for f in shown.functions)
    for function in shown.functions:
        before, probed = function.reserved_regions, found.function(function.address)
        assert probed is not None
        if before is not msgspec.UNSET:
            assert isinstance(probed.reserved_regions, tuple)
            assert [*map(_place, probed.reserved_regions)] == [*map(_place, before)]
    for smmu in shown.smmus:
        again = found.smmu(smmu.name)
        assert again is not None
        behind = [entry for entry in shown.behind(smmu) if not direct_mapped(entry).answer]
        if shown.read(smmu.coherent, "coherent").exact == 0 or not behind:
            # The kernel refuses everything behind it, or nothing is: there is nothing that could be asked.
            assert not again.registers
            continue
        for key in FIELDS:
            reading = shown.read_field(smmu, key)
            assert reading.exact in (None, found.read_field(again, key).exact), key
        nesting = shown.read(smmu.nesting, "nesting").exact
        assert nesting in (None, found.read(again.nesting, "nesting").exact)
