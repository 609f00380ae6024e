# SPDX-License-Identifier: Apache-2.0
"""Running VMs are found among the processes of this machine; each here is a real process called like QEMU."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from fake_qemu import PLAIN, FakeVm, listening

from vsmmu.cli.main import run
from vsmmu.host.builtin import builtin_host
from vsmmu.monitor.running_vms import RunningVm, hides_processes, running_vms

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

GB200 = builtin_host("gb200")
REGISTERS = (
    PLAIN.replace("IDR0.ATS", 1).replace("IDR3.RIL", 0).replace("IDR1.SSIDSIZE", 20).replace("IDR5.OAS", 5)
)
GPU, SMMU = "0009:01:00.0", "smmu3.0x0000000012000000"
VM = (
    "-M virt -accel kvm -nodefaults -object iommufd,id=i0 -device pxb-pcie,id=pcie.s,bus_nr=8,bus=pcie.0 "
    f"-device arm-smmuv3,primary-bus=pcie.s,id=s{{accel}} -device pcie-root-port,id=s-a,bus=pcie.s,chassis=1 "
    f"-device vfio-pci,host={GPU},bus=s-a,iommufd=i0"
)


@contextmanager
def process(directory: Path, *more: str, accel: str = ",accel=on") -> Iterator[int]:
    """Something that runs under the command line of a QEMU, and does nothing."""
    (directory / "waiting.py").write_text("import sys; print(flush=True); sys.stdin.read()")
    # Python takes the first -m for a module; QEMU, for a size.
    words = ["qemu-system-aarch64", "-m", "waiting", *VM.format(accel=accel).split(), *more]
    running = subprocess.Popen(
        words,
        executable=sys.executable,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(directory)},
    )
    assert running.stdout is not None
    running.stdout.readline()
    try:
        yield running.pid
    finally:
        running.communicate()


def found(pid: int) -> RunningVm | None:
    """The entry of one process; others may run on this machine, too."""
    return next((vm for vm in running_vms(GB200, 20, "test:///none").vms if vm.pid == pid), None)


def test_a_process_is_read_back_through_its_socket(tmp_path: Path) -> None:
    with (
        listening(tmp_path / "qmp", FakeVm({"s": REGISTERS}, {"s-a": GPU}).serve) as path,
        process(tmp_path, "-qmp", f"unix:{path},server=on", "-name", "guest=g1") as pid,
    ):
        vm = found(pid)
    assert vm is not None
    assert (vm.name, vm.vsmmus, vm.functions, vm.host_smmus) == ("g1", ("s",), (GPU,), (SMMU,))
    assert (vm.drift, vm.diagnostics) == (False, ())
    assert vm.inspection is not None


def test_drift_is_seen(tmp_path: Path) -> None:
    registers = REGISTERS.replace("IDR3.RIL", 1)
    with (
        listening(tmp_path / "qmp", FakeVm({"s": registers}, {"s-a": GPU}).serve) as path,
        process(tmp_path, "-qmp", f"unix:{path},server=on") as pid,
    ):
        vm = found(pid)
    assert vm is not None
    assert vm.drift is True


def test_without_a_monitor_its_command_line_is_what_is_known(tmp_path: Path) -> None:
    with process(tmp_path) as pid:
        vm = found(pid)
    assert vm is not None
    assert (vm.vsmmus, vm.functions, vm.host_smmus, vm.drift) == (("s",), (GPU,), (SMMU,), None)
    assert [entry.code for entry in vm.diagnostics] == ["no-monitor"]


@pytest.mark.parametrize("accel", ["", ",accel=off"])
def test_a_vm_without_an_accelerated_vsmmu_is_not_listed(tmp_path: Path, accel: str) -> None:
    with process(tmp_path, accel=accel) as pid:
        assert found(pid) is None


def test_a_global_accelerates_too(tmp_path: Path) -> None:
    with process(tmp_path, "-global", "arm-smmuv3.accel=on", accel="") as pid:
        assert found(pid) is not None


def test_a_process_that_only_speaks_of_the_device_is_none(tmp_path: Path) -> None:
    (tmp_path / "waiting.py").write_text("import sys; print(flush=True); sys.stdin.read()")
    words = [
        sys.executable,
        str(tmp_path / "waiting.py"),
        "qemu-system-aarch64",
        "-device",
        "arm-smmuv3,accel=on",
    ]
    running = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert running.stdout is not None
    running.stdout.readline()
    try:
        assert found(running.pid) is None
    finally:
        running.communicate()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_what_another_user_may_not_ask_is_said(tmp_path: Path) -> None:
    with (
        listening(tmp_path / "qmp", FakeVm({"s": REGISTERS}, {"s-a": GPU}).serve) as path,
        process(tmp_path, "-qmp", f"unix:{path},server=on") as pid,
    ):
        os.chmod(path, 0o700)  # noqa: PTH101
        read, write = os.pipe()
        child = os.fork()
        if not child:
            os.setgroups([])
            os.setuid(65534)
            vm = found(pid)
            said = "" if vm is None else f"{vm.drift} {[entry.code for entry in vm.diagnostics]}"
            os.write(write, said.encode())
            os._exit(0)
        os.close(write)
        os.waitpid(child, 0)
        with socket.socket(socket.AF_UNIX) as client:  # somebody has to come, or the listener waits for ever
            client.connect(path)
        assert os.read(read, 1000).decode() == "None ['monitor-permission']"
        os.close(read)


@pytest.mark.parametrize(
    ("line", "hides"),
    [
        ("22 27 0:20 / /proc rw,nosuid - proc proc rw", False),
        ("22 27 0:20 / /proc rw,nosuid shared:5 - proc proc rw,hidepid=2", True),
        ("22 27 0:20 / /proc rw - proc proc rw,gid=4,hidepid=invisible", True),
        ("22 27 0:20 / /proc rw - proc proc rw,hidepid=off", False),
        ("22 27 0:20 / /proc rw - proc proc rw,hidepid=0", False),
        ("22 27 0:20 / /other/proc rw - proc proc rw,hidepid=2", False),
    ],
)
def test_a_proc_that_hides_processes_is_known(line: str, hides: bool) -> None:
    assert hides_processes(f"1 1 0:1 / / rw - ext4 x rw\n{line}\n2 1 0:1 / /sys rw - sysfs s rw\n") is hides


def test_the_verb_lists_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    from vsmmu.cli.schemas import schema_of

    with process(tmp_path, "-name", "g2") as pid:
        run(["inspect", "--host", "builtin:gb200"])
        rows = [line.split() for line in capsys.readouterr().out.splitlines()]
        run(["inspect", "--host", "builtin:gb200", "-o", "json"])
    assert rows[0] == ["NAME", "PID", "VSMMUS", "HOST", "SMMUS", "FUNCTIONS", "DRIFT"]
    assert ["g2", str(pid), "s", SMMU, GPU, "?"] in rows
    document = json.loads(capsys.readouterr().out)
    jsonschema.Draft202012Validator(schema_of("running")).validate(document)
    assert pid in [vm["pid"] for vm in document["vms"]]


@pytest.mark.parametrize("words", [["--pin"], ["--hotplug", GPU], ["--function", f"a={GPU}"]])
def test_what_is_about_one_vm_needs_its_name(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["inspect", *words]) == 2
    assert "[no-vm]" in capsys.readouterr().err
