# SPDX-License-Identifier: Apache-2.0
"""Two hosts compared, and a VM with many hosts."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import jsonschema
import msgspec
import pytest

from fleet_examples import VM, Captured
from vsmmu.cli.main import run
from vsmmu.cli.schemas import schema_of
from vsmmu.host.builtin import builtin_host
from vsmmu.host.files import encode_host

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("a", "b", "status", "word"),
    [
        ("gh200", "gh200", 0, "identical"),
        ("gh200", "gb200", 1, "unknown"),
        ("gh200-no-cmdqv", "gh200", 0, "superset"),
        ("gb200", "gh200", 1, "unknown"),
        ("gb200", "thunderx2", 1, "incompatible"),
        ("fvp-rd-mmu720ae", "gb200", 1, "incompatible"),
    ],
)
def test_compare_two(a: str, b: str, status: int, word: str, capsys: Captured) -> None:
    assert run(["compare", f"builtin:{a}", f"builtin:{b}"]) == status
    assert f"B is {word}" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments", [["builtin:gh200"], ["builtin:gh200"] * 3, ["builtin:a", "builtin:b", "-o", "hosts"]]
)
def test_compare_takes_two(arguments: list[str], capsys: Captured) -> None:
    assert run(["compare", *arguments]) == 2
    assert "--for VM" in capsys.readouterr().err


def test_compare_takes_one_host_from_each(facts: Path, capsys: Captured) -> None:
    assert run(["compare", str(facts), "builtin:gh200"]) == 2
    assert "many-hosts" in capsys.readouterr().err


def test_compare_with_its_past(tmp_path: Path, capsys: Captured) -> None:
    before, after = tmp_path / "before.json", tmp_path / "after.json"
    host = builtin_host("qemu-virt")
    before.write_bytes(encode_host(host))
    smmu = host.smmus[0]
    word = msgspec.structs.replace(smmu.registers["IDR5"], value="0x00000075")
    smmu = msgspec.structs.replace(smmu, registers={**smmu.registers, "IDR5": word})
    kernel = msgspec.structs.replace(host.kernel, release="7.4.0")
    gone = host.functions[:1]
    after.write_bytes(
        encode_host(msgspec.structs.replace(host, smmus=(smmu,), kernel=kernel, functions=gone))
    )
    assert run(["compare", str(before), str(after)]) == 0
    text = capsys.readouterr().out
    assert re.search(r"host +kernel +7\.3\.4 +7\.4\.0", text)
    assert re.search(r"smmu3\S+ +IDR5\.OAS +44-bit +48-bit", text)
    assert re.search(rf"{host.functions[1].address} +function +there +-", text)
    assert len(re.findall(r"(?m)^smmu3", text)) == 1, "nothing else changed"


@pytest.fixture
def vm(tmp_path: Path) -> str:
    path = tmp_path / "vm.sh"
    path.write_text(f"{VM}\n", encoding="utf-8")
    return str(path)


DOMAIN = """<domain type='kvm'>
  <name>vm</name>
  <memory>1048576</memory>
  <os firmware='efi'><type arch='aarch64' machine='virt'>hvm</type></os>
  <features><acpi/></features>
  <iommufd enabled='yes'/>
  <devices>
    <emulator>/usr/bin/qemu-system-aarch64</emulator>
    <controller type='pci' index='0' model='pcie-root'/>
    <controller type='pci' index='1' model='pcie-expander-bus'><target busNr='8'/></controller>
    <controller type='pci' index='2' model='pcie-root-port'>
      <address type='pci' domain='0x0000' bus='0x01' slot='0x00' function='0x0'/>
    </controller>
    <hostdev mode='subsystem' type='pci' managed='no'>
      <driver name='vfio' iommufd='yes'/>
      <source><address domain='0x0009' bus='0x01' slot='0x00' function='0x0'/></source>
      <address type='pci' domain='0x0000' bus='0x02' slot='0x00' function='0x0'/>
    </hostdev>
    <iommu model='smmuv3'>
      <driver pciBus='1' accel='on' ats='on' ril='off' ssidsize='20' oas='48'/>
    </iommu>
  </devices>
</domain>
"""
HOSTS = ("builtin:gb200", "builtin:gh200", "builtin:thunderx2", "builtin:gb10")


def test_which_hosts_can_run_a_vm(vm: str, capsys: Captured) -> None:
    assert run(["compare", "--for", vm, *HOSTS]) == 1
    text = capsys.readouterr().out
    assert re.search(r"starts +gb200", text)
    assert re.search(r"refused +thunderx2 +Host SMMUv3 supports only 44-bit", text)
    assert "1 of 4 can run it" in text
    assert run(["compare", "--for", vm, "-o", "hosts", "--assume-safe", *HOSTS]) == 1
    assert capsys.readouterr().out.split() == ["gb200", "gh200"]
    assert run(["compare", "--for", vm, "builtin:gb200"]) == 0


def test_placement_as_a_document(vm: str, capsys: Captured) -> None:
    run(["compare", "--for", vm, "--pool", "title", "-o", "json", *HOSTS])
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    jsonschema.validate(document, schema_of("placement"))
    assert (document["hosts"], document["fitting"]) == (4, 1)


def test_which_hosts_can_run_a_vm_that_is_written_for_libvirt(tmp_path: Path, capsys: Captured) -> None:
    path = tmp_path / "vm.xml"
    path.write_text(DOMAIN, encoding="utf-8")
    assert run(["compare", "--for", str(path), "-o", "hosts", *HOSTS]) == 1
    assert capsys.readouterr().out.split() == ["gb200"]
