# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: E501 - a domain in one piece reads better
"""Every lint rule: one domain that breaks it and no other, and none of them on a right domain."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from domains import PARTS, domain, driver, golden
from vsmmu.errors import UsageError
from vsmmu.host.builtin import builtin_host
from vsmmu.libvirt.lint import lint
from vsmmu.libvirt.releases import parse_libvirt_version
from vsmmu.libvirt.rules import RULES
from vsmmu.libvirt.wording import WORDINGS
from vsmmu.machine.domain.document import read_domain_xml
from vsmmu.policy.checking import check as check_vm
from vsmmu.policy.options import Options
from vsmmu.qemu.texts import MESSAGES
from vsmmu.qemu.versions import LATEST

if TYPE_CHECKING:
    from vsmmu.diagnostic import Diagnostic

SMMU = PARTS["iommu"]
SECOND = (
    "<controller type='pci' index='5' model='pcie-expander-bus'><target busNr='200'/>"
    "<address type='pci' bus='0x00' slot='0x05'/></controller>"
)
RNG = "<rng model='virtio'><backend model='random'>/dev/urandom</backend>{}</rng>"
PASSTHROUGH = (
    "<qemu:commandline><qemu:arg value='-device'/><qemu:arg value='arm-smmuv3,accel=on'/></qemu:commandline>"
)


#: Rule -> a domain that breaks it and nothing else.
def celled(cells: str) -> bytes:
    """The right domain with these NUMA cells."""
    return domain(cpu=f"<cpu mode='host-passthrough'><numa>{cells}</numa></cpu>")


BROKEN = {
    "attribute-misspelt": driver("pciBus='1' accel='on' ssidSize='20'"),
    "attribute-unknown": driver("pciBus='1' accel='on' vpasidCapOffset='1'"),
    "attribute-of-other-model": driver("pciBus='1' accel='on' intremap='on'"),
    "model-draft": domain(iommu=SMMU.replace("smmuv3", "smmuv3Dev")),
    "value-auto": driver("pciBus='1' accel='on' oas='auto'"),
    "value-refused": driver("pciBus='1' accel='on' ats='true'"),
    "accel-missing": driver("pciBus='1' ats='on'"),
    "accel-without-pcibus": driver("accel='on'"),
    "pcibus-missing": driver("pciBus='9' accel='on'"),
    "iommu-without-pcibus": domain(iommu=f"{SMMU}<iommu model='smmuv3'/>"),
    "iommu-models-mixed": domain(iommu=f"{SMMU}<iommu model='intel'/>"),
    "hostdev-without-address": domain(hostdev=PARTS["hostdev"].replace("<address type='pci' domain='0x0000' bus='0x02' slot='0x00' function='0x0'/>", ""), more="<controller type='pci' index='256' model='pcie-root-port'/>"),
    "expander-place": domain(more=SECOND.replace("bus='0x00'", "bus='0x02'")),
    "machine-not-virt": domain(os="<os firmware='efi'><type arch='aarch64' machine='sbsa-ref'>hvm</type></os>"),
    "iommufd-fdgroup": domain(iommufd="<iommufd enabled='no' fdgroup='iommu'/>"),
    "iommufd-twice": domain(iommufd="<iommufd/><iommufd/>"),
    "cell-number": celled("<cell memory='1'/><cell id='7' memory='1'/>"),
    "cell-twice": celled("<cell id='0' memory='1'/><cell id='0' memory='1'/>"),
    "cell-memory": celled("<cell id='0'/>"),
    "cell-cpus": celled("<cell id='0' cpus='all' memory='1'/>"),
    "cell-cpu-twice": celled("<cell cpus='0-1' memory='1'/><cell cpus='1' memory='1'/>"),
    "cell-cpu-missing": celled("<cell cpus='0-7' memory='1'/>"),
    "cell-distance": celled("<cell memory='1'><distances><sibling id='0' value='20'/></distances></cell>"),
    "cells-many": celled("<cell memory='1'/>" * 129),
    "commandline-smmu": domain(end=PASSTHROUGH),
    "libvirt-too-old": domain(),
    "qemu-too-old": driver("pciBus='1' accel='on' ats='on' ril='off' ssidsize='20' oas='48' cmdqv='on'"),
    "defaults-fixed": domain(os=PARTS["os"].replace("11.1", "11.0")),
}  # fmt: skip
#: Code of a domain -> a domain of which the model says this; the code of QEMU's refusal is another.
REFUSED = {
    "oas-range": driver("pciBus='1' accel='on' oas='40'"),
    "ssidsize-range": driver("pciBus='1' accel='on' ssidsize='21'"),
    "pcibus-no-expander": driver("pciBus='2' accel='on'"),
    "pcibus-twice": domain(iommu=f"{SMMU}\n{SMMU}"),
    "hostdev-without-iommufd": domain(hostdev=PARTS["hostdev"].replace("<driver iommufd='yes'/>", "")),
    "emulated-behind-accel": domain(hostdev="", more=RNG.format("<address type='pci' bus='0x02' slot='0x00'/>")),
    "no-kvm": domain(type="qemu"),
    "no-acpi": domain(features="<features><gic version='3'/></features>"),
    "board-smmu": domain(iommu="<iommu model='smmuv3'/>"),
    "iommu-models-mixed": domain(
        iommu=f"<iommu model='virtio'><address type='pci' bus='0x00' slot='7'/></iommu>{SMMU}"
    ),
}  # fmt: skip
VERSIONS = {"libvirt-too-old": {"libvirt": (12, 6)}, "qemu-too-old": {"qemu": (11, 0)}}


def findings(data: bytes, **versions: tuple[int, int]) -> tuple[Diagnostic, ...]:
    return lint(read_domain_xml(data, "vm.xml").reading, **versions)


def test_every_rule_has_a_case() -> None:
    assert set(BROKEN) == set(RULES)


@pytest.mark.parametrize("code", RULES)
def test_rule(code: str) -> None:
    found = findings(BROKEN[code], **VERSIONS.get(code, {}))
    assert {finding.code for finding in found} == {code}
    for finding in found:
        assert finding.severity == RULES[code].severity
        assert finding.why
        assert finding.next
        assert "{" not in finding.what + finding.why + finding.next
        _, number, element = finding.where.split()
        line, name = BROKEN[code].decode().splitlines()[int(number) - 1], element.strip("<>")
        assert f"<{name}" in line or f":{name}" in line


@pytest.mark.parametrize(
    "data", [domain(), domain(iommu=""), b"<domain/>", golden("gb200").replace(b"auto", b"1")]
)
def test_right_domain_is_not_blamed(data: bytes) -> None:
    data = data.replace(b"ats='1' ril='1' ssidsize='1' oas='1'", b"ats='on'")
    assert findings(data) == ()


@pytest.mark.parametrize("code", REFUSED)
def test_what_qemu_refuses_stands_at_the_element_in_libvirts_words(code: str) -> None:
    vm = read_domain_xml(REFUSED[code], "vm.xml")
    verdict = check_vm(vm, builtin_host("gb200"), LATEST, Options())
    assert verdict.answer == "refused"
    found = next(entry for entry in verdict.diagnostics if entry.code == code)
    assert found.where.startswith("line ") or code in ("no-kvm", "no-acpi")
    assert "-device" not in found.why
    assert verdict.failure is not None
    assert found.next != verdict.failure.remedy
    # An element is itself, not its line: it is found in XML of one line, too.
    line = re.sub(rb">\s+<", b"><", REFUSED[code])
    again = check_vm(read_domain_xml(line, "vm.xml"), builtin_host("gb200"), LATEST, Options())
    assert [entry.code for entry in again.diagnostics] == [entry.code for entry in verdict.diagnostics]


def test_every_wording_is_of_a_message_or_a_hazard() -> None:
    known = {*MESSAGES, "two-host-smmus", "two-iommufds"}
    assert [row.of for row in WORDINGS if row.of not in known] == []


def test_software_smmu_may_have_emulated_devices() -> None:
    data = domain(
        iommu="<iommu model='smmuv3'><driver pciBus='1'/></iommu>",
        hostdev="",
        more=RNG.format("<address type='pci' bus='0x02' slot='0x00'/>"),
        type="qemu",
        features="",
    )
    assert findings(data) == ()


@pytest.mark.parametrize(
    ("version", "codes"), [((11, 9), 2), ((12, 0), 2), ((12, 6), 1), ((12, 7), 0), ((13, 0), 0)]
)
def test_versions_of_libvirt(version: tuple[int, int], codes: int) -> None:
    found = [finding.where.split()[-1] for finding in findings(domain(), libvirt=version)]
    assert len(set(found)) == codes


def test_version_that_is_none() -> None:
    assert parse_libvirt_version("12.8.0") == (12, 8)
    with pytest.raises(UsageError):
        parse_libvirt_version("twelve")


def check(data: bytes, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "vsmmu", "check", "--host", "builtin:gb200", *options, "-"]
    return subprocess.run(command, input=data.decode(), capture_output=True, text=True, check=False)


def test_check_says_line_consequence_and_remedy() -> None:
    done = check(BROKEN["attribute-misspelt"])
    assert done.returncode == 1
    assert (
        "hazard: line 15 <driver>: libvirt knows no attribute ssidSize; ssidsize is meant [attribute-misspelt]\n"
        "  libvirt drops it without a word (only --validate refuses), and QEMU takes its default\n"
        "  next: write ssidsize, or let vsmmu resolve write it\n"
    ) in done.stdout
    assert done.stdout.endswith("verdict: starts, and fails later\n1 of 1 can be mended: vsmmu fix\n")


def test_check_in_json() -> None:
    done = check(REFUSED["oas-range"], "-o", "json")
    document = json.loads(done.stdout)
    assert done.returncode == 1
    assert document["startable"] is False
    errors = [finding for finding in document["diagnostics"] if finding["severity"] == "error"]
    assert [finding["code"] for finding in errors] == ["oas-range"]


def test_warning_alone_does_not_fail() -> None:
    assert check(BROKEN["attribute-unknown"], "-q").returncode == 0
    assert check(domain(), "-q").returncode == 0
    assert check(domain(), "-q", "--libvirt", "12.6").returncode == 1
