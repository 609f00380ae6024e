# SPDX-License-Identifier: Apache-2.0
"""Mends of a libvirt domain: libvirt's own words, and nothing else changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import domains
import vsmmu
from examples import without_memory
from vsmmu.diagnostic import Edit
from vsmmu.host.builtin import builtin_host
from vsmmu.machine.domain.document import read_domain_xml

if TYPE_CHECKING:
    from conftest import Run

HOST = without_memory(builtin_host("gb200"))
RIGHT = "<iommu model='smmuv3'><driver pciBus='1' accel='on'/></iommu>"
PORT = domains.PARTS["port"]
DRIVER = "<driver iommufd='yes'/>"
ON_EXPANDER = domains.PARTS["hostdev"].replace("bus='0x02'", "bus='0x01'")

CASES = {
    "hostdev-without-iommufd": (
        domains.domain(hostdev=domains.PARTS["hostdev"].replace(DRIVER, "")),
        "</source><driver iommufd='yes'/><address type='pci'",
    ),
    "no-acpi": (
        domains.domain(features="<features><gic version='3'/></features>"),
        "<gic version='3'/><acpi/>",
    ),
    "attribute-misspelt": (domains.driver("pciBus='1' accel='on' ssidSize='8'"), "accel='on' ssidsize='8'"),
    "value-auto": (domains.driver("pciBus='1' accel='on' ats='auto'"), RIGHT),
    "attribute-of-other-model": (domains.driver("pciBus='1' accel='on' intremap='on'"), RIGHT),
    "model-draft": (domains.domain(iommu=RIGHT.replace("smmuv3", "smmuv3Dev")), RIGHT),
    "qemu-not-accelerated": (domains.driver("pciBus='1' ats='on'"), "accel='on' ats='on'"),
    "iommu-without-pcibus": (domains.domain(iommu=f"<iommu model='smmuv3'/>{RIGHT}"), RIGHT),
    "qemu-bus-takes-bridges": (
        domains.domain(port="", hostdev=ON_EXPANDER),
        "<address type='pci' domain='0x0000' bus='0x01' slot='0x00' function='0x0'/>\n    </controller>",
    ),
    "qemu-bus-number": (
        domains.domain(
            more="<controller type='pci' index='3' model='pcie-expander-bus'>"
            "<target busNr='252'/></controller>"
        ),
        "<target busNr='254'/>",
    ),
}


@pytest.mark.parametrize("code", CASES)
def test_one_fault(code: str, run: Run) -> None:
    before, after = CASES[code]
    mending = run(before, host=HOST)
    assert code in [step.found.code for step in mending.applied]
    assert after in mending.vm.text()
    assert mending.verdict.answer == "starts"
    again = run(mending.vm.render(), host=HOST)
    assert again.applied == ()


def test_each_diagnosis_of_one_cause_carries_the_fix() -> None:
    vm = read_domain_xml(domains.driver("pciBus='1' ats='on'"), "vm.xml")
    verdict = vsmmu.check(vm, HOST)
    fixes = {found.code: found.fix for found in verdict.diagnostics if found.severity != "warning"}
    assert fixes == dict.fromkeys(("accel-missing", "qemu-not-accelerated"), (Edit(2, "accel", True),))


def test_what_no_attribute_can_say_is_left(run: Run) -> None:
    before = domains.domain(type="qemu")
    mending = run(before, host=HOST)
    assert [found.code for found in mending.left] == ["no-kvm"]
    assert mending.vm.render() == before
