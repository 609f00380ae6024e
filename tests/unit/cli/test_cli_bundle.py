# SPDX-License-Identifier: Apache-2.0
"""``vsmmu bundle`` and ``show --contribute``: shown first, written once somebody said yes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from domains import domain
from vsmmu.cli.main import run
from vsmmu.host.files import decode_host

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "Zq9AliceSecret"
GB200 = ("--host", "builtin:gb200")
VM = (
    f"qemu-system-aarch64 -name {SECRET} -M virt,accel=kvm -cpu host -bios /x/{SECRET} -nodefaults "
    "-object iommufd,id=fd0 -device pxb-pcie,id=px1,bus_nr=8,bus=pcie.0 "
    "-device arm-smmuv3,primary-bus=px1,id=s,accel=on,ril=on "
    "-device pcie-root-port,id=port1,bus=px1,chassis=1 "
    "-device vfio-pci,id=gpu,host=0009:01:00.0,bus=port1,iommufd=fd0\n"
)
LOG = (
    f"Nov 25 19:00:00 {SECRET} kernel: arm-smmu-v3 arm-smmu-v3.0.auto: option mask 0x0\n"
    "2026-11-25T19:00:00Z qemu-system-aarch64: vfio gpu: Failed to set vIOMMU: Host SMMUv3 doesn't support "
    "Range Invalidation\n"
)


@pytest.fixture(autouse=True)
def _files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "vm.sh").write_text(VM)
    (tmp_path / "vm.xml").write_bytes(domain())
    (tmp_path / "a.log").write_text(LOG)


@pytest.mark.parametrize("name", ["vm.sh", "vm.xml"])
def test_a_bundle_says_what_a_report_needs(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    from vsmmu.cli.schemas import schema_of

    assert run(["bundle", *GB200, "--log", "a.log", name]) == 0
    text = capsys.readouterr().out
    assert SECRET not in text
    document = json.loads(text)
    jsonschema.Draft202012Validator(schema_of("bundle")).validate(document)
    assert document["same"] is True
    assert {"vsmmu", "python", "qemu", "kernel"} <= set(document["versions"])
    assert document["kernel"] == ["arm-smmu-v3 arm-smmu-v3.0.auto: option mask 0x0"]
    assert "Range Invalidation" in document["qemu"][0]
    assert decode_host(json.dumps(document["host"]).encode(), "x").name == "host"


def test_the_verdict_can_be_had_again_from_the_bundle(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(["bundle", *GB200, "vm.sh"])
    document = json.loads(capsys.readouterr().out)
    (tmp_path / "facts.json").write_text(json.dumps(document["host"]))
    run(["check", "-o", "json", "--host", "facts.json", "--", *document["vm"]])
    again = json.loads(capsys.readouterr().out)
    codes = [entry["code"] for entry in again["diagnostics"]]
    assert codes[:1] == document["codes"][:1] == ["qemu-ril"]
    assert codes == document["codes"]


def test_nothing_is_written_before_somebody_said_yes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["bundle", *GB200, "--write", "report.json", "vm.sh"]) == 1
    printed = capsys.readouterr()
    assert "[not-confirmed]" in printed.err
    assert not (tmp_path / "report.json").exists()
    assert run(["bundle", *GB200, "--write", "report.json", "--yes", "vm.sh"]) == 0
    assert (tmp_path / "report.json").read_text() == capsys.readouterr().out == printed.out


def test_facts_that_were_made_up_are_no_contribution(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["show", *GB200, "--contribute"]) == 1
    assert "[nothing-to-contribute]" in capsys.readouterr().err
