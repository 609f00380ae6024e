# SPDX-License-Identifier: Apache-2.0
"""The verdict on a VM of either form, and on a host's VMs with the QEMU to come."""

from __future__ import annotations

import pytest

from domains import domain, driver
from examples import function, host, port, smmu, vfio
from vsmmu import read_vm
from vsmmu.errors import HostLacks
from vsmmu.host.builtin import builtin_host
from vsmmu.machine.command_line.argv import read_source
from vsmmu.machine.domain.document import read_domain_xml
from vsmmu.mend.table import mender
from vsmmu.policy.checking import check
from vsmmu.policy.options import Options
from vsmmu.policy.survey import survey_vm, unread_vm
from vsmmu.qemu.versions import parse_version
from vsmmu.smmuv3.properties import PROPERTIES

LATEST, NEWER, OLD = parse_version("11.1"), parse_version("12.0"), parse_version("11.0")
HOST = host(smmu(ats=0, ril=0, ssidsize=5, oas=44), function())
WORDS = (
    "qemu-system-aarch64 -M virt -accel kvm -cpu host -bios fw -object iommufd,id=i0 "
    "-device pxb-pcie,id=pcie.1,bus_nr=8,bus=pcie.0 "
    f"-device arm-smmuv3,primary-bus=pcie.1,id=s,accel=on%s {port(1)} {vfio('0000:01:00.0', 1)}"
)


def line(values: str = "") -> list[str]:
    return (WORDS % values).split()


def codes(found: object) -> set[str]:
    return {entry.code for entry in found.diagnostics}  # type: ignore[attr-defined]


def test_a_command_line() -> None:
    assert check(read_vm(line()), HOST, LATEST, Options()).answer == "starts"
    refused = check(read_vm(line(",ril=on")), HOST, LATEST, Options())
    assert (refused.answer, codes(refused) >= {"qemu-ril"}) == ("refused", True)


def test_a_newer_qemu_is_noted() -> None:
    verdict = check(read_vm(line()), HOST, NEWER, Options())
    assert "qemu-newer" in codes(verdict)
    assert "qemu-newer" not in codes(check(read_vm(line()), HOST, LATEST, Options()))


def test_memory_that_may_not_be_locked() -> None:
    vm = read_vm(line())
    assert "memlock-small" in codes(check(vm, HOST, LATEST, Options(lockable=1 << 16)))
    assert "memlock-small" not in codes(check(vm, HOST, LATEST, Options(lockable=1 << 50)))


def test_what_qemu_printed_is_held_against_the_verdict() -> None:
    log = " ".join(line(",ril=on")) + "\nqemu-system-aarch64: something else\n"
    verdict = check(read_source(log.encode(), "vm.log"), HOST, LATEST, Options())
    assert verdict.answer == "refused"


def test_a_domain_has_libvirt_s_findings_and_the_mends_of_both() -> None:
    vm = read_domain_xml(driver("pciBus='1' accel='on' ssidSize='8'"), "vm.xml")
    verdict = check(vm, builtin_host("gb200"), LATEST, Options(), mender())
    misspelt = [entry for entry in verdict.diagnostics if entry.code == "attribute-misspelt"]
    assert [bool(entry.fix) for entry in misspelt] == [True]
    assert verdict.answer == "fails-later"


@pytest.mark.parametrize("attributes", ["pcibus='1' accel='on'", "pciBus='1' Accel='on'"])
def test_a_domain_without_the_smmu_that_it_means_is_refused(attributes: str) -> None:
    verdict = check(read_domain_xml(driver(attributes), "vm.xml"), builtin_host("gb200"), LATEST, Options())
    assert ("attribute-misspelt", "error") in [(entry.code, entry.severity) for entry in verdict.diagnostics]
    assert verdict.answer == "refused"


MISSPELT = [
    (name, spelling)
    for name, entry in PROPERTIES.items()
    for spelling in (name.upper(), name.title(), f"{name[:2]}_{name[2:]}", *entry.old_spellings)
]


@pytest.mark.parametrize("value", ["on", "99", "auto", "nonsense"])
@pytest.mark.parametrize(("name", "spelling"), MISSPELT)
def test_what_libvirt_drops_has_no_part_in_the_verdict(name: str, spelling: str, value: str) -> None:
    """The misspelling is told of; all else is as of the domain without it. What resolves it reads it."""
    vm = read_domain_xml(driver(f"pciBus='1' accel='on' {spelling}='{value}'"), "vm.xml")
    without = read_domain_xml(driver("pciBus='1' accel='on'"), "vm.xml")
    verdict, plain = (check(entry, builtin_host("gb200"), LATEST, Options()) for entry in (vm, without))
    told = [entry for entry in verdict.diagnostics if entry.code == "attribute-misspelt"]
    rest = tuple(entry for entry in verdict.diagnostics if entry not in told)
    assert [spelling in entry.what and name in entry.what for entry in told] == [True]
    assert (verdict.vsmmus, rest) == (plain.vsmmus, plain.diagnostics)
    assert (plain.answer, verdict.answer) == ("starts", "fails-later")
    assert vm.machine().vsmmus[0].properties[name] == value


def test_an_attribute_that_is_there_twice_is_the_one_that_libvirt_knows() -> None:
    vm = read_domain_xml(driver("pciBus='1' accel='on' ssidSize='99' ssidsize='8'"), "vm.xml")
    (outcome,) = check(vm, builtin_host("gb200"), LATEST, Options()).vsmmus
    assert outcome.values["ssidsize"] == "8"


def test_a_machine_that_nobody_models_is_not_judged() -> None:
    other = read_domain_xml(domain(type="qemu").replace(b"aarch64", b"x86_64"), "vm.xml")
    assert check(other, HOST, LATEST, Options(), mender()).answer == "not-judged"


@pytest.mark.parametrize(("own", "breaks"), [(None, False), (LATEST, True), (OLD, False)])
def test_a_vm_breaks_that_starts_now_and_not_then(own: object, breaks: bool) -> None:
    """cmdqv= came with 11.1; here the QEMU to come is the older one."""
    vm = read_vm(line(",ats=off,ril=off,ssidsize=5,oas=44,cmdqv=off"))
    found = survey_vm("vm", vm, HOST, OLD, Options(), own=own)  # type: ignore[arg-type]
    assert (found.answer, found.startable, found.breaks) == ("refused", False, breaks)
    assert found.qemu_now == ("" if own is None else str(own))


def test_a_vm_that_cannot_be_read_does_not_start() -> None:
    found = unread_vm("vm", HostLacks("file-missing", "there is none"))
    assert (found.answer, found.startable, found.problem is not None) == (None, False, True)
