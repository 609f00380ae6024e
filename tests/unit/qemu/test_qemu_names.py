# SPDX-License-Identifier: Apache-2.0
"""Names and values against what QEMU 11.1.3 and 10.2.2 said of them: every recording in tests/golden."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from vsmmu.errors import VsmmuError
from vsmmu.machine.command_line.argv import read_words
from vsmmu.machine.model import Device, Global, Machine, MachineObject, Origin
from vsmmu.qemu import device_tables, dialects, known_names, names
from vsmmu.qemu.versions import LATEST, RELEASES, Qemu, parse_version

if TYPE_CHECKING:
    from vsmmu.qemu.names import NameFault

GOLDEN = Path(__file__).parents[2] / "golden"
ORIGIN = Origin("-device x", "argument 1")


def load(name: str, version: str = "11.1.3") -> list[dict[str, Any]]:
    lines = (GOLDEN / f"qemu-{version}" / f"{name}.jsonl").read_text().splitlines()
    return [json.loads(line) | {"qemu": version} for line in lines]


NAMES = load("names") + load("names", "10.2.2")
OTHERS = [case for name in ("x86-tcg", "arm64-kvm", "arm64-kvm-answers") for case in load(name)]


def first_fault(machine: Machine, qemu: Qemu = LATEST) -> tuple[str, NameFault] | None:
    """The first fault in QEMU's order, with what stands in front of it."""
    for entry in machine.objects:
        if fault := names.judge_object(entry, qemu):
            return f"{entry.origin.option}: ", fault
    if fault := names.judge_machine(machine, qemu):
        return "", fault
    for default in machine.globals:
        if names.global_reaches(default, "", qemu) and (fault := names.judge_global(default, qemu)):
            return "", fault
    for device in machine.devices:
        fault = names.judge_device(device._replace(properties={}), qemu)
        for default in machine.globals:
            if fault is None and names.global_reaches(default, device.driver, qemu):
                fault = names.judge_global(default, qemu, device.driver)
        if fault := fault or names.judge_device(device, qemu):
            return f"{device.origin.option}: ", fault
    return None


def said(case: dict[str, Any]) -> tuple[str, NameFault | None]:
    found = first_fault(read_words(shlex.split(case["command"])).machine(), parse_version(case["qemu"]))
    return ("", None) if found is None else (f"qemu-system-aarch64: {found[0]}{found[1].text}", found[1])


def cases(*, beyond: bool) -> list[Any]:
    return [
        pytest.param(case, id=f"{case['qemu']}: {case['command'][63:]}")
        for case in NAMES
        if ("beyond" in case) == beyond
    ]


@pytest.mark.parametrize("case", cases(beyond=False))
def test_a_name_or_value_is_refused_as_qemu_refused_it(case: dict[str, Any]) -> None:
    text, fault = said(case)
    assert text.split("\n")[0] == (case.get("stderr") or [""])[0]  # hints were not recorded
    assert (fault is None) == (case["exit"] == 0)


@pytest.mark.parametrize("case", cases(beyond=True))
def test_what_is_beyond_names_is_refused_by_qemu_for_another_reason(case: dict[str, Any]) -> None:
    assert case["exit"] or case["beyond"] == "reading"
    if case["beyond"] == "reading":
        with pytest.raises(VsmmuError):
            read_words(shlex.split(case["command"])).machine()
    else:
        assert said(case)[0] != case["stderr"][0]


def test_nothing_that_qemu_starts_has_a_fault() -> None:
    wrong = []
    for case in OTHERS:
        if case.get("exit", 0) or "config" in case or "reading" in case:
            continue
        text, fault = said(case)
        if fault is not None:
            wrong.append((case["id"], text))
    assert wrong == []


def misspelt(name: str) -> tuple[str, ...]:
    return (name + "x", name[:-1], name[1:], name[:1] + name, name.upper())


def test_one_letter_wrong_in_anything_that_qemu_starts_is_a_fault() -> None:
    commands = {case["command"] for case in OTHERS if not case.get("exit", 0) and "reading" not in case}
    machines = [read_words(shlex.split(text)).machine() for text in commands if "-readconfig" not in text]
    written = {
        (entry.driver, name) for machine in machines for entry in machine.devices for name in entry.properties
    }
    table = device_tables.table(LATEST)
    for driver, name in written:
        kind = table.device(driver)
        assert kind is not None
        for wrong in misspelt(driver):
            assert table.device(wrong) or names.judge_device(device(wrong), LATEST), wrong
        for wrong in misspelt(name):
            fault = names.judge_device(device(driver, **{wrong: "1"}), LATEST)
            assert wrong in kind.properties or wrong == "bus" or (fault and fault.certain), (driver, wrong)
    for machine in machines:
        for name in machine.machine_options:
            for wrong in misspelt(name.partition(".")[0]):
                fault = names.judge_machine(machine._replace(machine_options={wrong: "on"}), LATEST)
                assert fault or wrong == "" or not machine.machine_type.startswith("virt"), wrong


@pytest.mark.parametrize("qemu", RELEASES, ids=str)
def test_the_short_lists_are_in_every_table(qemu: Qemu) -> None:
    table = device_tables.table(qemu)
    for driver, listed in known_names.DEVICES.items():
        kind = table.device(driver)
        assert kind is not None
        assert kind.creatable
        assert listed.items() <= kind.properties.items()
        assert not listed.keys() & kind.doubtful
        assert (
            known_names.adapted(driver, kind.properties, qemu).items()
            <= (kind.properties | known_names.adapted(driver, {}, qemu)).items()
        )
    machine = table.machine(f"virt-{qemu}")
    assert machine is not None
    assert known_names.MACHINE.items() <= machine.properties.items()
    assert known_names.MEMBERS.keys() <= machine.properties.keys()
    for name, members in known_names.OBJECTS.items():
        assert table.object(name) == members
    for kind_name, values in known_names.ENUMS.items():
        if kind_name in table.enums:
            assert set(values) == set(table.enums[kind_name])


@pytest.mark.parametrize("qemu", RELEASES, ids=str)
def test_the_versions_row_and_the_table_agree_on_the_device(qemu: Qemu) -> None:
    kind = device_tables.table(qemu).device("arm-smmuv3")
    assert kind is not None
    assert known_names.adapted("arm-smmuv3", kind.properties, qemu) == kind.properties
    vfio = device_tables.table(qemu).device("vfio-pci")
    assert vfio is not None
    assert ("ats" in vfio.properties) == qemu.has_vfio_ats


def test_a_draft_is_in_no_table() -> None:
    for qemu in RELEASES:
        table = device_tables.table(qemu)
        for fork, kind, name in dialects.DIALECTS:
            if fork:
                continue
            if kind == "device":
                assert table.device(name) is None
            elif kind == "object":
                assert table.object(name) is None
            elif kind == "property":
                owner, _, property_name = name.partition(".")
                device = table.device(owner)
                members = table.object(owner) or ()
                assert property_name not in (
                    device.properties if device else {member[0] for member in members}
                )


def device(driver: str, **properties: str) -> Device:
    return Device(0, driver, "d", properties, "keyval", ORIGIN)


def test_a_type_is_unknown_and_a_property_is_refused() -> None:
    fault = names.judge_device(device("pcie-rootport"), LATEST)
    assert fault is not None
    assert (fault.code, fault.certain, fault.nearest) == ("qemu-type-unknown", False, "pcie-root-port")
    fault = names.judge_device(device("arm-smmuv3", acell="on"), LATEST)
    assert fault is not None
    assert (fault.code, fault.certain, fault.nearest) == ("qemu-property-unknown", True, "accel")


def test_a_draft_carries_its_translation() -> None:
    fault = names.judge_device(device("arm-smmuv3-accel", bus="pcie.1"), LATEST)
    assert fault is not None
    assert (fault.code, fault.certain) == ("draft-name", False)
    assert "accel=on" in fault.translation
    fault = names.judge_device(device("arm-smmuv3", pasid="on"), LATEST)
    assert fault is not None
    assert fault.certain
    assert "ssidsize" in fault.translation
    fault = names.judge_object(MachineObject("acpi-egm-memory", "e", {}, ORIGIN), LATEST)
    assert fault is not None
    assert fault.code == "draft-name"


def test_a_newer_version_than_the_tables_leaves_every_fault_open() -> None:
    fault = names.judge_device(device("arm-smmuv3", acell="on"), parse_version("12.0"))
    assert fault is not None
    assert not fault.certain


def test_of_a_derived_table_a_name_between_its_neighbours_is_open() -> None:
    older, newer, between = (device_tables.table(parse_version(text)) for text in ("10.2", "11.1", "11.0"))
    assert "derived" in between.build
    one_sided = []
    for driver in newer.device_names:
        kinds = (older.device(driver), newer.device(driver), between.device(driver))
        if kinds[0] and kinds[1] and kinds[2]:
            one_sided += [(driver, name) for name in kinds[1].properties.keys() - kinds[0].properties.keys()]
            assert kinds[0].properties.keys() & kinds[1].properties.keys() <= (
                kinds[2].properties.keys() - kinds[2].doubtful
            )
    known = {"arm-smmuv3", "vfio-pci", "vfio-pci-nohotplug"}
    driver, name = next((driver, name) for driver, name in sorted(one_sided) if driver not in known)
    fault = names.judge_device(device(driver, **{name: "?"}), parse_version("11.0"))
    assert fault is not None
    assert not fault.certain


def test_a_default_names_the_type_or_its_parents() -> None:
    entry = Global("arm-smmu", "primary-bus", "pcie.0", ORIGIN)
    assert names.global_reaches(entry, "arm-smmuv3", LATEST)
    assert not names.global_reaches(entry, "vfio-pci", LATEST)
    assert names.judge_global(entry, LATEST, "arm-smmuv3") is None
    fault = names.judge_global(Global("arm-smuv3", "oas", "48", ORIGIN), LATEST)
    assert fault is not None
    assert not fault.certain
    assert fault.nearest == "arm-smmuv3"


def test_every_name_of_any_length_is_answered() -> None:
    assert names.judge_device(device("virtio-net", mac="52:54:00:00:00:01"), LATEST) is None
    for text in ("", "x" * 100_000, "é", "a.b[0]"):
        assert names.judge_device(device(text), LATEST) is not None
        assert names.judge_device(device("vfio-pci", **{text: "1"}), LATEST) is not None
        assert names.judge_object(MachineObject(text, "o", {}, ORIGIN), LATEST) is not None


def test_the_names_of_a_version_are_put_together_once() -> None:
    """A table of seven hundred types takes a while, and each name that is misspelt is looked for in it."""
    one, other = (device_tables.table(parse_version(text)) for text in ("11.0", "11.0"))
    assert one is other
    assert one.device_names is other.device_names
