# SPDX-License-Identifier: Apache-2.0
"""``check --all``: what an upgrade would break, over every VM that is defined."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from domains import domain
from vsmmu.cli.main import run
from vsmmu.qemu.versions import parse_version

if TYPE_CHECKING:
    from pathlib import Path

GB200 = ("--host", "builtin:gb200")
SCRIPT = (
    "qemu-system-aarch64 -M {machine},accel=kvm -cpu host -bios fw -nodefaults -object iommufd,id=fd0 "
    "-device pxb-pcie,id=px1,bus_nr=8,bus=pcie.0 -device arm-smmuv3,primary-bus=px1,id=s,accel=on{values} "
    "-device pcie-root-port,id=port1,bus=px1,chassis=1 "
    "-device vfio-pci,id=gpu,host=0009:01:00.0,bus=port1,iommufd=fd0\n"
)
PINNED = ",ats=on,ril=off,ssidsize=20,oas=48"


@pytest.fixture
def vms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATH", "/nowhere")
    directory = tmp_path / "vms"
    directory.mkdir()
    (directory / "auto.sh").write_text(SCRIPT.format(machine="virt", values=""))
    (directory / "pinned.sh").write_text(SCRIPT.format(machine="virt-11.0", values=PINNED))
    (directory / "notes.txt").write_text("three VMs\n")
    (directory / "vm.xml").write_bytes(domain())
    return directory


def test_each_vm_has_its_answer_and_the_first_reason(vms: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check", "--all", *GB200, "--qemu", "11.0", str(vms)]) == 1
    said = capsys.readouterr().out
    rows = {line.split()[0]: line.split()[1:] for line in said.splitlines() if line.startswith(str(vms))}
    assert rows[f"{vms}/pinned.sh"] == ["-", "-", "starts"]
    assert "would not start" in " ".join(rows[f"{vms}/vm.xml"]) or rows[f"{vms}/vm.xml"] == []
    assert f"{vms}/notes.txt" not in rows
    assert "[no-virsh]" in said
    assert "3 VMs on gb200, QEMU 11.0, libvirt 12.8:" in said


def test_all_that_start_is_a_yes(vms: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check", "--all", *GB200, f"{vms}/auto.sh", f"{vms}/pinned.sh"]) == 0
    assert "2 VMs on gb200, QEMU 11.1, libvirt 12.8: 2 starts" in capsys.readouterr().out
    assert run(["check", "--all", "-q", *GB200, str(vms)]) == 0
    assert capsys.readouterr().out == ""


def test_what_starts_with_its_own_qemu_and_not_with_the_next_breaks(
    vms: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    from vsmmu.cli import check_all
    from vsmmu.cli.schemas import schema_of

    monkeypatch.setattr(check_all, "_own_qemu", lambda vm: parse_version("11.1"))
    assert run(["check", "--all", *GB200, "--qemu", "11.0", "-o", "json", str(vms)]) == 1
    document = json.loads(capsys.readouterr().out)
    jsonschema.Draft202012Validator(schema_of("survey")).validate(document)
    breaks = {vm["name"].rpartition("/")[2]: vm["breaks"] for vm in document["vms"]}
    assert breaks == {"auto.sh": True, "pinned.sh": False, "vm.xml": True}
    run(["check", "--all", *GB200, "--qemu", "11.0", str(vms)])
    assert "2 would break by the upgrade" in capsys.readouterr().out


def test_a_file_that_cannot_be_read_is_no_yes(vms: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (vms / "twice.sh").write_text("qemu-system-aarch64 -device e1000e,id=a -device e1000e,id=a\n")
    assert run(["check", "--all", *GB200, str(vms)]) == 1
    said = capsys.readouterr().out
    assert "1 cannot be read" in said
    assert "[duplicate-id]" in said


@pytest.mark.parametrize(
    ("words", "status", "code"),
    [
        (["--all"], 5, "no-virsh"),
        (["--all", "absent"], 5, "file-missing"),
        (["--all", "--", "qemu-system-aarch64"], 2, "two-inputs"),
        (["a.sh", "b.sh"], 2, "two-inputs"),
    ],
)
@pytest.mark.usefixtures("vms")
def test_what_cannot_be_asked_is_refused(
    words: list[str], status: int, code: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["check", *GB200, *words]) == status
    assert f"[{code}]" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("mode", "name", "asked"),
    [
        (0o755, "qemu-system-aarch64", os.geteuid() == 0),
        (0o777, "qemu-system-aarch64", False),
        (0o755, "other", False),
    ],
)
def test_what_a_file_names_is_not_started_unless_root_installed_it(
    tmp_path: Path, mode: int, name: str, asked: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    program = tmp_path / name
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/started\n")
    program.chmod(mode)
    (tmp_path / "vm.sh").write_text(
        SCRIPT.format(machine="virt", values="").replace("qemu-system-aarch64", str(program))
    )
    run(["check", "--all", *GB200, str(tmp_path / "vm.sh")])
    assert (tmp_path / "started").exists() is asked
    assert f"{tmp_path}/vm.sh  -             -    starts" in capsys.readouterr().out


def test_where_nothing_could_be_looked_at_the_answer_is_no_yes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert run(["check", "--all", *GB200, str(tmp_path)]) == 1
    assert "0 VMs" in capsys.readouterr().out
