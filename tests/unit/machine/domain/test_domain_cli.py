# SPDX-License-Identifier: Apache-2.0
"""``resolve``, ``explain`` and ``check`` on domain XML: from files and standard input, in every form."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from domains import GOLDEN, domain, driver, golden
from steps import steps
from vsmmu.host.builtin import builtin_host
from vsmmu.libvirt.lint import lint
from vsmmu.machine.domain.document import read_domain_xml
from vsmmu.policy.resolver import resolve
from vsmmu.qemu.versions import LATEST

if TYPE_CHECKING:
    from pathlib import Path


def vsmmu(verb: str, *arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "vsmmu", verb, "--host", "builtin:gb200", *arguments]
    return subprocess.run(command, input=stdin, capture_output=True, check=False)


@pytest.mark.parametrize("lead", [b"", b"\n \t", b"\xef\xbb\xbf", b"<?xml version='1.0'?>\n", b"<!-- x -->"])
def test_xml_is_recognised(lead: bytes, tmp_path: Path) -> None:
    data = lead + domain()
    (tmp_path / "vm.txt").write_bytes(data)
    for done in (
        vsmmu("resolve", "-", stdin=data),
        vsmmu("resolve", stdin=data),
        vsmmu("resolve", str(tmp_path / "vm.txt")),
    ):
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith(lead + b"<domain")
        assert b"ats='on' ril='off' ssidsize='20' oas='48'" in done.stdout


def test_output_is_the_file_byte_for_byte() -> None:
    done = vsmmu("resolve", "-", stdin=golden("gb200"))
    assert done.stdout == (GOLDEN / "gb200.out.xml").read_bytes()
    windows = golden("gb200").replace(b"\n", b"\r\n").rstrip()
    assert vsmmu("resolve", "-", stdin=windows).stdout.count(b"\r\n") == windows.count(b"\r\n")


def test_diff_has_one_line_for_each_driver_and_none_the_second_time() -> None:
    done = vsmmu("resolve", "--diff", "-", stdin=golden("gb200"))
    assert done.returncode == 1
    lines = done.stdout.decode().splitlines()
    assert (
        sum(line.startswith("+") for line in lines[2:])
        == sum(line.startswith("-") for line in lines[2:])
        == 2
    )
    again = vsmmu("resolve", "--diff", "-", stdin=(GOLDEN / "gb200.out.xml").read_bytes())
    assert (again.returncode, again.stdout) == (0, b"")


def test_spelling_alone_is_a_difference() -> None:
    data = driver("pciBus='1' accel='on' ats='on' ril='off' ssidSize='20' oas='48'")
    done = vsmmu("resolve", "--diff", "-", stdin=data)
    assert done.returncode == 1
    assert (
        b"+    <iommu model='smmuv3'><driver pciBus='1' accel='on' ats='on' ril='off' ssidsize='20'"
        in done.stdout
    )
    assert b"note: corrected at line 15" in done.stderr


def test_json() -> None:
    document = json.loads(vsmmu("resolve", "-o", "json", "-", stdin=domain()).stdout)
    assert document["command_line"] is None
    assert "ssidsize='20'" in document["domain"]
    assert [(entry["property"], entry["value"]) for entry in document["written"]] == [
        ("ats", "on"), ("ril", "off"), ("ssidsize", "20"), ("oas", "48"),
    ]  # fmt: skip
    refused = vsmmu("resolve", "-o", "json", "-", stdin=driver("accel='on'"))
    assert refused.returncode == 1
    document = json.loads(refused.stdout)
    assert document["domain"] is None
    assert document["diagnostics"][0]["code"] == "accel-without-pcibus"


def test_explain_knows_the_device_and_the_register() -> None:
    done = vsmmu("explain", "-", stdin=domain())
    assert done.returncode == 0
    assert b"iommu0 on pci.1 for hostdev0" in done.stdout
    assert b"IDR1.SSIDSIZE[10:6] = 20" in done.stdout


def test_form_for_command_lines_is_refused() -> None:
    done = vsmmu("resolve", "-o", "nul", "-", stdin=domain())
    assert (done.returncode, done.stdout) == (2, b"")


def test_machine_without_smmu_comes_back_as_it_is() -> None:
    data = domain(iommu="")
    assert vsmmu("resolve", "-", stdin=data).stdout == data


@pytest.mark.parametrize(
    "more",
    [
        "<rng model='virtio'/>",
        "<rng model='virtio'><address type='pci' bus='0x02' slot='1'/></rng>",
        "<hostdev mode='subsystem' type='pci'><source><address bus='9'/></source></hostdev>",
        "<controller type='usb' model='qemu-xhci'/>",
    ],
)
def test_work_grows_with_the_number_of_devices_and_not_faster(more: str) -> None:
    def work(count: int) -> int:
        data = domain(more=more * count)

        def read_all() -> None:
            read = read_domain_xml(data, "vm.xml")
            lint(read.reading)
            resolve(read, builtin_host("gb200"), LATEST)

        return steps(read_all)

    assert work(1600) < 16 * 1.2 * work(100)
