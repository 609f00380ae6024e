# SPDX-License-Identifier: Apache-2.0
"""The one VM argument: file, process id, socket, domain; capture; what a script leaves open."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from vsmmu.cli.main import run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

GB200 = ("--host", "builtin:gb200")
VM = (
    "-M virt,accel=kvm,gic-version=3 -cpu host -bios AAVMF.fd -nodefaults -object iommufd,id=fd0 "
    "-device pxb-pcie,id=px1,bus_nr=8,bus=pcie.0 -device arm-smmuv3,primary-bus=px1,id=smmu1,accel=on "
    "-device pcie-root-port,id=port1,bus=px1,chassis=1 "
    "-device vfio-pci,id=gpu,host=0009:01:00.0,bus=port1,iommufd=fd0"
)
DOMAIN = """<domain type='kvm'><name>guest1</name><os firmware='efi'>
<type arch='aarch64' machine='virt-11.1'>hvm</type></os>
<features><acpi/></features><devices/></domain>"""
#: A process that is called like QEMU, and listens on the socket that its last argument names.
PROCESS = """
import socket, sys
server = socket.socket(socket.AF_UNIX)
server.bind(sys.argv[-1].split(":")[1].split(",")[0])
server.listen()
print(flush=True)
sys.stdin.read()
"""


@pytest.fixture
def qemu(tmp_path: Path) -> Iterator[tuple[int, str]]:
    """The process id and the socket of something with a QEMU's command line."""
    path = tmp_path / "qmp"
    (tmp_path / "512.py").write_text(PROCESS)
    # Python takes -m for a module, and QEMU for a size.
    words = ["qemu-system-aarch64", "-m", "512", *VM.split(), "-qmp", f"unix:{path},server=on"]
    process = subprocess.Popen(
        words,
        executable=sys.executable,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )
    assert process.stdout is not None
    assert process.stdin is not None
    process.stdout.readline()
    yield process.pid, str(path)
    process.stdin.close()
    process.wait()
    process.stdout.close()


@pytest.mark.parametrize("verb", ["check", "resolve", "explain"])
def test_a_process_and_its_socket_are_vms(
    verb: str, qemu: tuple[int, str], capsys: pytest.CaptureFixture[str]
) -> None:
    pid, path = qemu
    for target in (str(pid), path):
        run([verb, *GB200, target])
        printed = capsys.readouterr()
        assert "ats" in printed.out
        assert not printed.err.startswith("vsmmu:")


def test_a_file_comes_before_a_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "1").write_text(f"qemu-system-aarch64 {VM}\n")
    assert run(["check", *GB200, "1"]) == 0
    assert "verdict: starts" in capsys.readouterr().out


def test_a_process_that_is_not_qemu(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check", *GB200, str(os.getpid())]) == 3
    assert f"process {os.getpid()}" in capsys.readouterr().err


def test_a_socket_that_nobody_listens_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
    assert run(["check", *GB200, str(path)]) == 5
    assert "[no-monitor]" in capsys.readouterr().err


def install(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


def test_a_domain_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    install(
        tmp_path / "virsh",
        '#!/bin/sh\n[ "$*" = "-c qemu:///system dumpxml --inactive guest1" ] || exit 1\n'
        f'cat <<"EOF"\n{DOMAIN}\nEOF\n',
    )
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.delenv("LIBVIRT_DEFAULT_URI", raising=False)
    assert run(["resolve", *GB200, "guest1"]) == 0
    assert DOMAIN in capsys.readouterr().out
    assert run(["plan", *GB200, "--domain", "guest1", "0009:01:00.0"]) == 0
    assert "<controller" in capsys.readouterr().out
    assert run(["check", *GB200, "guest2"]) == 5
    assert "there is no file 'guest2', nor does libvirt know" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["check", "resolve", "explain", "fix"])
@pytest.mark.parametrize("words", [["sh", "vm.sh"], ["virt-install", "--name", "x", "--hostdev", "9:1:0.0"]])
def test_a_program_that_is_no_qemu_gets_no_sentence_of_qemu(
    verb: str, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([verb, *GB200, "--", *words]) == 3
    printed = capsys.readouterr()
    assert printed.out == ""
    assert f"after --: '{words[0]}' is not QEMU, nor has it QEMU's options [not-a-vm]" in printed.err
    assert "qemu-system" not in printed.err


def test_plan_refuses_what_is_no_vm(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plan", *GB200, "0009:01:00.0", "--", "sh", "vm.sh"]) == 3
    assert "[not-a-vm]" in capsys.readouterr().err
    (tmp_path / "vm.sh").write_text(f"qemu-kvm {VM}")
    assert run(["plan", *GB200, "0009:01:00.0", "--domain", str(tmp_path / "vm.sh")]) == 2
    assert "[not-a-domain]" in capsys.readouterr().err


def test_inspect_takes_the_file_of_a_vm(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "vm.sh").write_text(f"qemu-system-aarch64 {VM} -qmp unix:{tmp_path}/none,server=on\n")
    assert run(["inspect", *GB200, str(tmp_path / "vm.sh")]) == 5
    assert f"{tmp_path}/none" in capsys.readouterr().err


def test_arguments_forwarded_are_resolved_with_a_note_and_unknown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "vm.sh"
    text = f'#!/bin/sh\nexec qemu-system-aarch64 {VM} "$@"\n'
    path.write_text(text)
    assert run(["resolve", *GB200, str(path)]) == 0
    printed = capsys.readouterr()
    assert printed.out == text.replace("accel=on ", "accel=on,ats=on,ril=off,ssidsize=20,oas=48 ")
    assert "note: not known, so not looked at: the options that $@ stands for" in printed.err
    assert run(["check", *GB200, "-o", "json", str(path)]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["answer"] == "unknown"
    assert [entry["code"] for entry in document["diagnostics"] if entry["severity"] != "warning"] == [
        "shell-arguments"
    ]
    assert "vsmmu capture -- sh" in document["diagnostics"][0]["next"]


def test_what_a_log_printed_is_held_against_the_prediction(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def log(smmu: str, message: str) -> str:
        vm = VM.replace("accel=on ", f"accel=on{smmu} ")
        path = tmp_path / "vm.log"
        path.write_text(
            "2026-11-20 09:00:00.000+0000: starting up libvirt version: 12.8.0, qemu version: 11.1.3\n"
            f"LC_ALL=C \\\n/usr/bin/qemu-system-aarch64 \\\n{vm}\n2026-11-20T09:00:01.1Z {message}\n"
        )
        return str(path)

    assert run(["check", *GB200, log("", "qemu-system-aarch64: warning: it's slow")]) == 0
    assert "as-printed" not in capsys.readouterr().out
    assert run(["check", *GB200, log("", "qemu-system-aarch64: cannot allocate memory")]) == 0
    assert "[not-as-printed]" in capsys.readouterr().out
    assert run(["check", *GB200, "-o", "json", log(",ril=on", "")]) == 1
    (refusal, *_) = json.loads(capsys.readouterr().out)["diagnostics"]
    assert run(["check", *GB200, log(",ril=on", refusal["why"].splitlines()[0])]) == 1
    assert "[as-printed]" in capsys.readouterr().out


# --- capture ----------------------------------

SCRIPT = """\
echo progress
gpu=$(echo 0009:01:00.0)
[ "$(qemu-system-aarch64 --version)" = "" ] || qemu-system-aarch64 --version >&2
sudo -u nobody -E A=b qemu-system-aarch64 -M virt -device "vfio-pci,host=$gpu" -name "it's" "$@"
"""


def test_capture_prints_the_words_and_starts_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    script = tmp_path / "vm.sh"
    script.write_text(SCRIPT)
    words = [*"qemu-system-aarch64 -M virt -device vfio-pci,host=0009:01:00.0 -name".split(), "it's", "a b"]
    assert run(["capture", "--", "sh", str(script), "a b"]) == 0
    out, err = capfd.readouterr()
    assert out == "qemu-system-aarch64 -M virt -device vfio-pci,host=0009:01:00.0 -name 'it'\"'\"'s' 'a b'\n"
    assert "progress" in err
    assert run(["capture", "-o", "json", "--", "sh", str(script), "a b"]) == 0
    assert json.loads(capfd.readouterr().out) == {"schema": "vsmmu.capture/1", "commands": [words]}
    assert run(["capture", "-o", "nul", "--", "sh", str(script), "a b"]) == 0
    assert capfd.readouterr().out == "".join(f"{word}\0" for word in words)


def test_capture_covers_a_qemu_that_is_named_by_its_path(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    real = tmp_path / "qemu-system-aarch64"
    install(real, f"#!/bin/sh\necho REAL $* >&2\n[ $1 = --version ] || touch {tmp_path}/started\n")
    script = tmp_path / "vm.sh"
    script.write_text(f"{real} --version\n{real} -M virt\n{real} -S\nexit 7\n")
    status = run(["capture", "--", "sh", str(script)])
    out, err = capfd.readouterr()
    assert not (tmp_path / "started").exists()
    if status == 5:
        assert "[capture-path]" in err  # no mount namespace here
        return
    assert status == 0
    assert out == "qemu-system-aarch64 -M virt\nqemu-system-aarch64 -S\n"
    assert "REAL --version" in err
    assert "ended with status 7" in err
    assert run(["capture", "-o", "nul", "--", "sh", str(script)]) == 1
    assert "[many-commands]" in capfd.readouterr().err


def test_capture_of_what_starts_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for words, status, code in (
        (["--", "true"], 1, "nothing-started"),
        (["--", str(tmp_path / "none")], 5, "capture-program"),
        (["--timeout", "0.2", "--", "sleep", "30"], 1, "nothing-started"),
        (["--"], 2, "no-program"),
        ([], 2, "no-program"),
    ):
        assert run(["capture", *words]) == status
        assert f"[{code}]" in capfd.readouterr().err
    script = tmp_path / "vm.sh"
    script.write_text("/nowhere/qemu-system-aarch64 -S\n")
    assert run(["capture", "--", "sh", str(script)]) == 1
    assert "there is no /nowhere/qemu-system-aarch64 here" in capfd.readouterr().err


def test_capture_leaves_what_is_no_file_to_the_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", f"{'x' * 300}:{os.environ['PATH']}")  # where pathlib may not look
    read, write = os.pipe()
    os.set_inheritable(read, True)
    os.write(write, b"qemu-system-aarch64 -M virt\n")
    os.close(write)
    assert run(["capture", "--", "sh", f"/dev/fd/{read}"]) == 0
    os.close(read)
    assert capfd.readouterr().out == "qemu-system-aarch64 -M virt\n"
    os.mkfifo(tmp_path / "fifo")
    assert run(["capture", "--", "true", str(tmp_path / "fifo")]) == 1
