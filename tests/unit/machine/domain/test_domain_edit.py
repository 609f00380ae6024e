# SPDX-License-Identifier: Apache-2.0
"""Editing a domain: only the attributes in question change, in the style of their neighbours."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from domains import GOLDEN, domain, driver, golden
from vsmmu.diagnostic import Edit
from vsmmu.errors import Negative
from vsmmu.host.builtin import builtin_host
from vsmmu.machine.domain.document import read_domain_xml
from vsmmu.policy.options import Options
from vsmmu.policy.resolver import resolve as resolve_vm
from vsmmu.qemu.versions import LATEST, parse_version

if TYPE_CHECKING:
    from vsmmu.policy.result import Resolution

GB200 = builtin_host("gb200")


def resolve(data: bytes, qemu: str = "") -> Resolution:
    read = read_domain_xml(data, "vm.xml")
    version = parse_version(qemu) if qemu else LATEST
    return resolve_vm(read, GB200, version)


def resolved(data: bytes) -> bytes:
    answer = resolve(data)
    answer.require()
    assert answer.vm is not None
    return answer.vm.render()


def changed_lines(before: bytes, after: bytes) -> list[str]:
    pairs = zip(before.decode().splitlines(), after.decode().splitlines(), strict=True)
    return [new.strip() for old, new in pairs if old != new]


FULL = "<driver pciBus='1' accel='on' ats='on' ril='off' ssidsize='20' oas='48'/>"


@pytest.mark.parametrize(
    "attributes",
    [
        "pciBus='1' accel='on'",
        "pciBus='1' accel='on' ats='auto' ril='auto' ssidsize='auto' oas='auto'",
        "pciBus='1' accel='on' ats='on' ril='off' ssidSize='20' oas='48'",
        "pciBus='1' accel='on' ats='auto' ril='off' ssid_size='auto' oas='48'",
        "pciBus='1' accel='on' ats='on' oas='48'",
        "pciBus='1' accel='on' ats='on' ril='off' ssidsize='20' ssidSize='7' oas='48'",
        "parentIdx='1' accel='on' ril='auto'",
        "pciBus='1' accel='on' ssidSize='-1' ssid_size='on'",
        "pciBus='1' accel='on' ssidsize='-1'",
    ],
)
def test_every_way_to_say_auto_becomes_the_same_line(attributes: str) -> None:
    before = driver(attributes)
    after = resolved(before)
    assert len(changed_lines(before, after)) == 1
    assert FULL in after.decode()
    assert resolved(after) == after


def test_cmdqv_auto_is_left_out() -> None:
    after = resolved(driver("pciBus='1' accel='on' cmdqv='auto' ats='auto'"))
    assert FULL in after.decode()


def test_style_of_the_neighbours_is_followed() -> None:
    after = resolved(driver('\n      pciBus = "1"\n      accel = "on"\n      oas = "48"\n    '))
    assert (
        '<driver \n      pciBus = "1"\n      accel = "on"\n      ats="on"\n      ril="off"\n      '
        'ssidsize="20"\n      oas = "48"\n    />'
    ) in after.decode()


def test_written_values_stay() -> None:
    after = resolved(driver("oas='44' accel='on' ssidsize='0' pciBus='1'")).decode()
    assert "<driver oas='44' accel='on' ssidsize='0' pciBus='1' ats='on' ril='off'/>" in after


def test_everything_else_stays_byte_for_byte() -> None:
    before = golden("gb200")
    for data in (before, before.replace(b"\n", b"\r\n"), b"\xef\xbb\xbf" + before, before.rstrip()):
        after = resolved(data)
        for old, new in zip(data.split(b"\n"), after.split(b"\n"), strict=True):
            assert old == new or b"<driver pciBus" in old
        assert resolved(after) == after


@pytest.mark.parametrize("name", ["gb200", "kubevirt", "everything"])
def test_golden(name: str) -> None:
    after = resolved(golden(name))
    path = GOLDEN / f"{name}.out.xml"
    if os.environ.get("VSMMU_REGENERATE"):
        path.write_bytes(after)
    assert after == path.read_bytes()


def test_draft_model_gets_its_name() -> None:
    before = domain(iommu="<iommu  model = \"smmuv3Dev\" ><driver parentIdx='1' accel='on'/></iommu>")
    after = resolved(before).decode()
    assert f'<iommu  model = "smmuv3" >{FULL}</iommu>' in after


def test_misspelt_attribute_is_reported() -> None:
    answer = resolve(driver("pciBus='1' accel='on' ssidSize='20'"))
    corrected = [note for note in answer.notes if note.startswith("corrected")]
    assert len(corrected) == 1
    assert "corrected at line 15 <driver>: libvirt knows no attribute ssidSize" in corrected[0]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (driver("accel='on'"), "accel-without-pcibus"),
        (driver("pciBus='2' accel='on'"), "pcibus-no-expander"),
        (driver("pciBus='9' accel='on'"), "pcibus-missing"),
        (driver("pciBus='1' accel='on' oas='52'"), "oas-range"),
        (driver("pciBus='1' accel='on' ssidsize='21'"), "ssidsize-range"),
        (driver("pciBus='1' accel='on' ats='yes'"), "value-refused"),
        (domain(type="qemu"), "no-kvm"),
        (domain(features=""), "no-acpi"),
        (driver("pciBus='1' accel='on' ril='on'"), "qemu-ril"),
    ],
)
def test_what_would_not_start_is_not_written(data: bytes, code: str) -> None:
    answer = resolve(data)
    assert answer.vm is None
    assert answer.problems[0].code == code
    with pytest.raises(Negative):
        answer.require()


def test_two_host_smmus_behind_one_iommu_are_refused_in_libvirts_words() -> None:
    data = golden("gb200").replace(b"bus='0x02' slot='0x00'", b"bus='0x01' slot='0x01'")
    problem = resolve(data).problems[0]
    assert problem.code == "two-host-smmus"
    assert "pcie-expander-bus" in problem.next
    assert problem.where == "line 73"


@pytest.mark.parametrize(("machine", "codes"), [("virt-11.1", []), ("virt-11.0", ["auto-inexpressible"])])
def test_value_left_to_auto_where_absent_means_something_else(machine: str, codes: list[str]) -> None:
    """GB10 has 40 bits, which cannot be written; on virt-11.0 an absent oas is 44, and there is no auto."""
    data = domain(os=f"<os firmware='efi'><type arch='aarch64' machine='{machine}'>hvm</type></os>")
    read = read_domain_xml(data.replace(b"domain='0x0009'", b"domain='0x0000'"), "vm.xml")
    answer = resolve_vm(read, builtin_host("gb10"), LATEST, Options(assume_safe=True))
    assert [problem.code for problem in answer.problems] == codes
    if not codes:
        assert answer.vm is not None
        assert b"<driver pciBus='1' accel='on' ats='off' ril='off' ssidsize='0'/>" in answer.vm.render()


def test_device_that_is_no_iommu_cannot_be_edited() -> None:
    read = read_domain_xml(domain(), "vm.xml")
    with pytest.raises(Negative, match="cannot be given"):
        read.edit([Edit(0, "ats", "on")])


def test_value_is_escaped() -> None:
    read = read_domain_xml(domain(), "vm.xml")
    number = read.machine().vsmmus[0].number
    edited = read.edit([Edit(number, "ats", "<'&\"")])
    assert edited.reading.iommus[0].settings["ats"] == "<'&\""


def test_one_line_is_shown_tag_by_tag() -> None:
    lines = read_domain_xml(golden("kubevirt"), "vm.xml").lines()
    assert sum("<driver pciBus" in line for line in lines) == 2
    assert all(len(line) < 200 for line in lines)
