# SPDX-License-Identifier: Apache-2.0
"""``vsmmu fix`` and what ``check`` says of it: output, exit status, the file that is replaced."""

from __future__ import annotations

import json
import os
import re
import stat
from typing import TYPE_CHECKING

import pytest

import domains
import vsmmu
from vsmmu.cli import fix
from vsmmu.cli.main import run

if TYPE_CHECKING:
    from pathlib import Path

HOST = ["--host", "builtin:gb200"]
VM = """#!/bin/sh
exec qemu-system-aarch64 -M virt -accel kvm -bios fw -nodefaults \\
  -device pxb-pcie,id=pcie.1,bus_nr=8,bus=pcie.0 \\
  -device arm-smmuv3,primary-bus=pcie.1,id=s,accel=on,{values} \\
  -device vfio-pci,host=0009:01:00.0,id=gpu,bus=pcie.1
"""
MENDABLE = VM.format(values="ril=off")
HALF = VM.format(values="ril=on")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "vm.sh"
    path.write_text(MENDABLE)
    path.chmod(0o750)
    return path


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    status = run([*arguments])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_the_whole_vm_comes_out(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = call(capsys, "fix", *HOST, str(file))
    assert status == 0
    assert out.startswith("#!/bin/sh\nexec qemu-system-aarch64 -M virt")
    assert "bus=rp1,iommufd=iommufd0\n" in out
    assert "[qemu-no-iommufd]" in err
    assert file.read_text() == MENDABLE


def test_nothing_comes_out_that_would_not_start(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(HALF)
    status, out, err = call(capsys, "fix", *HOST, str(file))
    assert (status, out) == (1, "")
    assert "left: gpu: " in err
    assert "vsmmu fix --unpin" in err
    assert call(capsys, "fix", *HOST, "--unpin", str(file))[0] == 0


def test_hunks_have_code_and_reason(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = call(capsys, "fix", *HOST, "--diff", str(file))
    assert status == 0
    heads = [line for line in out.splitlines() if line.startswith("# mended: gpu: ")]
    assert [line.partition("[")[2].partition("]")[0] for line in heads] == [
        "qemu-bus-takes-bridges",
        "qemu-no-iommufd",
        "generic-initiators-missing",
    ]
    assert out.count("--- as written\n+++ mended\n") == 3


def test_json(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = call(capsys, "fix", *HOST, "-o", "json", str(file))
    document = json.loads(out)
    assert status == 0
    assert document["schema"] == "vsmmu.fix/1"
    assert (document["answer"], document["startable"], document["left"]) == ("starts", True, [])
    assert all(found["fix"] for found in document["mended"])
    assert document["command_line"][0] == "exec"
    file.write_text(HALF)
    status, out, _ = call(capsys, "fix", *HOST, "-o", "json", str(file))
    document = json.loads(out)
    assert (status, document["command_line"], document["answer"]) == (1, None, "refused")
    assert [found["code"] for found in document["left"]] == ["qemu-ril"]


def test_only(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = call(capsys, "fix", *HOST, "--only", "qemu-no-iommufd", str(file))
    assert (status, out) == (1, "")
    assert "mended: gpu" in err
    assert "left: gpu" in err


def test_in_place_keeps_mode_and_a_backup(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = call(capsys, "fix", *HOST, "--in-place", "--backup", str(file))
    assert (status, out) == (0, "")
    assert "iommufd=iommufd0" in file.read_text()
    backup = file.with_name("vm.sh~")
    assert backup.read_text() == MENDABLE
    assert [stat.S_IMODE(path.stat().st_mode) for path in (file, backup)] == [0o750, 0o750]
    assert sorted(path.name for path in file.parent.iterdir()) == ["vm.sh", "vm.sh~"]
    changed = file.stat()
    assert call(capsys, "fix", *HOST, "--in-place", "--backup", str(file))[0] == 0
    assert file.stat() == changed  # a second run writes nothing


def test_in_place_writes_nothing_that_would_not_start(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(HALF)
    assert call(capsys, "fix", *HOST, "--in-place", str(file))[0] == 1
    assert file.read_text() == HALF


def test_a_backup_without_links(
    file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*paths: object) -> None:
        raise PermissionError(1, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    assert call(capsys, "fix", *HOST, "--in-place", "--backup", str(file))[0] == 0
    backup = file.with_name("vm.sh~")
    assert (backup.read_text(), stat.S_IMODE(backup.stat().st_mode)) == (MENDABLE, 0o750)


def test_in_place_needs_a_file(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["--in-place"], ["--in-place", "--", *MENDABLE.split()[2:]], ["--backup", str(file)]):
        status, out, err = call(capsys, "fix", *HOST, *arguments)
        assert (status, out) == (2, "")
        assert "[usage]" in err or "[no-file]" in err


def test_firmware_of_this_machine_is_for_this_host_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = tmp_path / "fw.fd"
    there.touch()
    monkeypatch.setattr(fix, "_FIRMWARE", (str(tmp_path / "none.fd"), str(there)))
    assert fix._firmware("live") == str(there)
    assert fix._firmware("builtin:gb200") == ""


def test_check_says_where_it_worked_out_only_some_mends(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ports = " ".join(f"-device pcie-root-port,id=q{k},bus=pcie.0,chasis={k}" for k in range(70))
    file.write_text(f"qemu-system-aarch64 -M virt -nodefaults {ports}\n")
    _, out, _ = call(capsys, "check", *HOST, str(file))
    assert re.fullmatch(r"at least \d+ of \d+ can be mended: vsmmu fix", out.splitlines()[-1])


def test_check_counts_what_can_be_mended(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(HALF)
    _, out, _ = call(capsys, "check", *HOST, str(file))
    assert out.splitlines()[-1] == "3 of 4 can be mended: vsmmu fix"
    _, out, _ = call(capsys, "check", *HOST, "-o", "json", str(file))
    found = [entry for entry in json.loads(out)["diagnostics"] if entry["severity"] != "warning"]
    assert [bool(entry["fix"]) for entry in found] == [True, True, False]


FUNCTION = (
    "-M virt,accel=kvm -bios fw -device pxb-pcie,id=p,bus_nr=8,bus=pcie.0 -device pcie-root-port,id=r,bus=p "
    "-device arm-smmuv3,primary-bus=p,accel=on -device vfio-pci,host=0009:01:00.0,bus=r"
)
JSON = """-device '{"driver":"pxb-pcie","bus_nr":8,"id":"p"}'"""


@pytest.mark.parametrize(
    ("vm", "code"),
    [
        (
            "-device pxb-pcie,id=p,bus_nr=8 -device arm-smmuv3,primary-bus=p,accel=on",
            "qemu-kvm",
        ),  # no -machine
        (f"-M virt -device arm-smmuv3,primary-bus=p {JSON}", "qemu-no-primary-bus"),  # JSON is read last
        (f"{FUNCTION},iommufd=i/", "qemu-no-object"),  # no object can be called that
        ("-M virt a b -nodefaults -device pxb-pcie,id=p", "qemu-bus-takes-bridges"),  # both at index 0
    ],
)
def test_check_promises_no_mend_that_fix_cannot_make(
    vm: str, code: str, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text(f"qemu-system-aarch64 {vm}\n")
    _, _, said = call(capsys, "fix", *HOST, str(file))
    assert f"[{code}]" in said
    mended = sum(line.startswith("vsmmu: mended: ") for line in said.splitlines())
    _, out, _ = call(capsys, "check", *HOST, str(file))
    promised = re.search(r"(\d+) of \d+ can be mended: vsmmu fix", out)
    assert mended == int(promised[1] if promised else 0)


@pytest.mark.parametrize("mark", ["\n", "\r", "\v", "\f", "\x1c", "\x85", "\u2028", " "])
def test_lines_are_those_of_diff_and_patch(mark: str) -> None:
    """Else a hunk of a diff has other lines than the file, or stands elsewhere."""
    script = MENDABLE.replace(" -device", f" \\\n  -name 'a{mark}b' -device")
    domain = domains.domain().decode().replace("<devices>", f"\n<!-- a{mark}b -->\n\n<devices>\n\n")
    for text in (script, domain, domain.rstrip("\n")):
        if text == script or mark not in "\v\f\x1c":  # no characters of XML
            lines = vsmmu.read_vm(text).lines()
            assert "".join(lines) == text
            assert len(lines) == text.rstrip("\n").count("\n") + 1


@pytest.mark.parametrize("word", ["`hostname`", "$(hostname)", '"$NAME"'])
def test_a_change_beside_what_a_shell_expands_is_shown(
    word: str, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = MENDABLE.partition("exec ")[2].replace("\\\n", "")  # its words are shown one by one
    file.write_text(line.replace(" -device", f" -name {word} -device", 1))
    status, out, err = call(capsys, "fix", *HOST, str(file))
    assert (status, word in out) == (0, True), err
    assert call(capsys, "fix", *HOST, "--diff", str(file))[0] == 0


def test_a_domain_with_a_plan_in_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "vm.xml"
    path.write_bytes(domains.domain())
    status, out, err = call(capsys, "plan", *HOST, "--domain", str(path), "--merge", "0019:01:00.0")
    assert status == 0
    assert "error" not in err
    assert out.startswith("<domain type='kvm'")
    assert out.count("<acpi nodeset='1-8'/>") == 1
    assert "<pcihole64" in out
    assert out.count("accel='on'") == 2
    status, out, err = call(capsys, "plan", *HOST, "--merge", "0019:01:00.0")
    assert (status, out) == (2, "")
    assert "[merge]" in err
