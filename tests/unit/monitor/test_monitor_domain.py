# SPDX-License-Identifier: Apache-2.0
"""inspect of a libvirt domain: through virsh, which here is a script of ours."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from vsmmu.cli.main import run

if TYPE_CHECKING:
    from collections.abc import Callable

    Virsh = Callable[[str], None]

#: As virsh prints a running domain: devices have their aliases.
DOMAIN = """<domain type='kvm'><name>guest1</name><devices>
<hostdev mode='subsystem' type='pci' managed='yes'><driver name='vfio' iommufd='yes'/>
<source><address domain='0x0009' bus='0x01' slot='0x00' function='0x0'/></source><alias name='vfio-s-a'/>
<address type='pci' domain='0x0000' bus='0x02' slot='0x00' function='0x0'/></hostdev>
</devices></domain>"""
UUID = "5cc77a1a-6f3c-43ca-8ad0-8f0ccbd6b0d2"
VM = f"""
DOMAIN = {DOMAIN!r}
import json, sys
sys.path[:0] = [{str(Path(__file__).parent)!r}, {str(Path(__file__).parents[3] / "src")!r}]
from fake_qemu import PLAIN, FakeVm
from vsmmu.monitor.qmp import CommandFailed
FakeVm.query_uuid = lambda self: {{"UUID": {UUID!r}}}
assert sys.argv[1:3] == ["-c", "qemu:///system"], sys.argv
assert sys.argv[4] == "guest1", sys.argv
if sys.argv[3] == "dumpxml":
    print(DOMAIN)
    sys.exit()
assert sys.argv[3] == "qemu-monitor-command", sys.argv
request = json.loads(sys.argv[5])
arguments = {{key.replace("-", "_"): value for key, value in request.get("arguments", {{}}).items()}}
try:
    vm = FakeVm({{"s": PLAIN}}, {{"s-a": ""}})
    print(json.dumps({{"return": vm.execute(request["execute"], **arguments)}}))
except CommandFailed as error:
    print(json.dumps({{"error": {{"class": error.error_class, "desc": error.why}}}}))
"""

#: Seconds; a tenth of it on an idle machine.
BOUND = 20


@pytest.fixture
def virsh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Virsh:
    def install(script: str) -> None:
        path = tmp_path / "virsh"
        path.write_text(script)
        path.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    return install


def test_a_domain_is_read_back(virsh: Virsh, capsys: pytest.CaptureFixture[str]) -> None:
    virsh(f"#!{sys.executable}\n{VM}")
    # The VM has values that the function's SMMU would not give it now: auto would come out differently.
    assert run(["inspect", "guest1", "--host", "builtin:gb200", "--timeout", "60"]) == 1
    said = capsys.readouterr().out
    assert "s on pcie.s for 0009:01:00.0, behind smmu3.0x0000000012000000" in said
    assert said.startswith("domain guest1: QEMU 11.1.3, running")
    assert "IDR0 0x0d44101a" in said


@pytest.mark.parametrize(
    ("script", "code", "status"),
    [
        ("echo 'error: failed to get domain' >&2; exit 1", "no-domain", 5),
        ("echo nonsense", "not-a-monitor", 3),
        ("echo '[]'", "not-a-monitor", 3),
        ("echo '{}'", "not-a-monitor", 3),
        ("exec sleep 30", "monitor-silent", 5),
    ],
)
def test_a_domain_that_does_not_answer(
    virsh: Virsh, script: str, code: str, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    virsh(f"#!/bin/sh\n{script}\n")
    begun = time.monotonic()
    assert run(["inspect", "guest1", "--host", "builtin:gb200", "--timeout", "0.5"]) == status
    assert time.monotonic() - begun < BOUND
    assert f"[{code}]" in capsys.readouterr().err


def test_without_virsh(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert run(["inspect", "guest1", "--host", "builtin:gb200"]) == 5
    assert "[no-virsh]" in capsys.readouterr().err


#: The words by which libvirt names what it starts, of a process that only waits.
PROCESS = [
    sys.executable,
    "-c",
    "import time; print(flush=True); time.sleep(60)",
    "-name",
    "guest=guest1,debug-threads=on",
    "-uuid",
]


@pytest.mark.parametrize("uuid", [UUID, UUID.replace("5", "6")])
def test_a_process_that_libvirt_started_is_its_domain(
    virsh: Virsh, capsys: pytest.CaptureFixture[str], uuid: str
) -> None:
    virsh(f"#!{sys.executable}\n{VM}")
    with subprocess.Popen([*PROCESS, uuid], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            status = run(["inspect", str(process.pid), "--host", "builtin:gb200", "--timeout", "60"])
        finally:
            process.kill()
    said = capsys.readouterr()
    if uuid == UUID:
        assert status == 1, said.err
        assert said.out.startswith(f"process {process.pid}, domain guest1: QEMU 11.1.3, running")
        assert "s on pcie.s for 0009:01:00.0" in said.out
    else:
        assert (status, said.out) == (5, "")
        assert "as domain guest1: the domain guest1 that runs is another VM" in said.err
        assert "[no-monitor]" in said.err
