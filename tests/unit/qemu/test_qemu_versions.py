# SPDX-License-Identifier: Apache-2.0
"""QEMU releases and machine types: which there are, and what they mean."""

from __future__ import annotations

import pytest

from examples import Q10_2, Q11_0, Q11_1, host, options
from vsmmu.errors import UsageError
from vsmmu.machine.model import Device, Origin
from vsmmu.qemu.process import start
from vsmmu.qemu.settings import is_auto, known_properties, read_settings
from vsmmu.qemu.versions import LATEST, Qemu, machine_type, parse_version


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("10.2", (10, 2)),
        ("11.0.0", (11, 0)),
        ("11.1.3", (11, 1)),
        ("QEMU emulator version 11.1.3 (Debian 1:11.1.3+ds-1~bpo13+1)", (11, 1)),
        ("12.0.50", (12, 0)),
    ],
)
def test_a_version_is_read_from_any_text_that_has_one(text: str, version: tuple[int, int]) -> None:
    assert parse_version(text).version == version


@pytest.mark.parametrize("text", ["", "eleven", "11", "10.1", "9.2.4", "0.0"])
def test_what_is_no_version_or_too_old_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_version(text)
    assert caught.value.code == "qemu-version"
    assert "10.2, 11.0, 11.1" in caught.value.next


ASSERTIONS = {
    "-M virt,iommu=smmuv3 -accel tcg -device arm-smmuv3,primary-bus=pcie.0,accel=on": (
        "qemu-system-aarch64: util/error.c:{}: error_setv: Assertion `*errp == NULL' failed.", "62"),
    "-M virt -accel kvm -bios f.fd -device virtio-net-pci,bus=pcie.0 -object iommufd,id=i0 "
    "-device arm-smmuv3,primary-bus=pcie.0,accel=on,ats=off,ril=on,ssidsize=0,oas=44": (
        "ERROR:hw/arm/smmuv3-accel.c:{}:smmuv3_accel_find_add_as: code should not be reached", "918"),
}  # fmt: skip


@pytest.mark.parametrize("written", ASSERTIONS)
@pytest.mark.parametrize(
    ("version", "known"),
    [("11.1.3", True), *((name, False) for name in ("11.1", "11.1.2", "11.1.30", "11.0", "12.0.3"))],
)  # fmt: skip
def test_line_numbers_of_assertions_are_those_of_11_1_3_alone(
    written: str, version: str, known: bool
) -> None:
    verdict = start(options(written), host(), parse_version(version))
    text, line = ASSERTIONS[written]
    assert verdict.failure is not None
    assert verdict.failure.printed == text.format(line if known else "N")


def test_the_newest_release_is_the_one_that_was_measured() -> None:
    assert parse_version("11.1.3") == LATEST


def test_only_newer_versions_are_not_modelled() -> None:
    assert LATEST.modelled
    assert not parse_version("11.2").modelled


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("virt", "virt-11.1"),
        ("virt-11.1", "virt-11.1"),
        ("virt-5.2", "virt-5.2"),
        ("virt-5.1", None),
        ("virt-11.2", None),
        ("virt-11", None),
        ("virt-11.1.3", None),
        ("virt-", None),
        ("VIRT", None),
        ("sbsa-ref", None),
        ("", None),
    ],
)
def test_the_machine_types_of_11_1(name: str, found: str | None) -> None:
    kind = machine_type(name, Q11_1)
    assert (kind.name if kind else None) == found


def test_virt_is_the_newest_machine_type_of_its_qemu() -> None:
    kinds = [machine_type("virt", qemu) for qemu in (Q10_2, Q11_0, Q11_1)]
    assert [kind.version for kind in kinds if kind] == [(10, 2), (11, 0), (11, 1)]


def test_the_properties_grow_with_the_version() -> None:
    assert known_properties(Q10_2) < known_properties(Q11_0) < known_properties(Q11_1)
    assert not {"accel", "memory", "msi-gpa"} & known_properties(Q10_2)
    assert {"cmdqv", "identifier"} == known_properties(Q11_1) - known_properties(Q11_0)


@pytest.mark.parametrize(("qemu", "accepted"), [(Q10_2, False), (Q11_0, False), (Q11_1, True)])
def test_auto_is_accepted_from_11_1_on(qemu: object, accepted: bool) -> None:
    assert [qemu.accepts_auto(name) for name in ("oas", "cmdqv")] == [accepted] * 2  # type: ignore[attr-defined]


@pytest.mark.parametrize(("qemu", "answer"), [(Q10_2, "fails-later"), (Q11_0, "unknown"), (Q11_1, "refused")])
def test_a_second_smmu_on_one_bus_is_looked_for_since_11_1(qemu: Qemu, answer: str) -> None:
    """10.2.2 was asked; of 11.0 nobody knows."""
    twice = "-device arm-smmuv3,primary-bus=pcie.0 " * 2
    verdict = start(options(f"-M virt -nodefaults {twice}"), host(), qemu)
    assert verdict.answer == answer
    assert [found.code for found in verdict.diagnostics] == ["qemu-second-iommu"]


def test_10_2_has_a_plain_smmu_on_a_root_complex_of_choice() -> None:
    machine = options("-M virt -device arm-smmuv3,primary-bus=pcie.0,id=s")
    verdict = start(machine, host(), Q10_2)
    assert verdict.answer == "starts"
    assert verdict.vsmmu("s").values == {"ats": "off", "ril": "on", "ssidsize": "0", "oas": "44"}


@pytest.mark.parametrize("name", ["accel", "ats", "cmdqv"])
def test_10_2_knows_no_property_of_acceleration(name: str) -> None:
    failure = start(
        options(f"-M virt -device arm-smmuv3,primary-bus=pcie.0,{name}=on"), host(), Q10_2
    ).failure
    assert failure is not None
    assert failure.text == f"Property 'arm-smmuv3.{name}' not found"


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ("ats=auto,oas=auto", "ats auto mode is not supported"),
        ("oas=52,ril=auto", "ril auto mode is not supported"),
        ("ssidsize=auto", "ssidsize auto mode is not supported"),
        (
            "oas=auto",
            "QEMU SMMUv3 model only implements 44 and 48 bitOAS; other OasMode values are not supported",
        ),
        (
            "oas=52,ril=off",
            "QEMU SMMUv3 model only implements 44 and 48 bitOAS; other OasMode values are not supported",
        ),
    ],
)
def test_11_0_refuses_auto_before_anything_else(values: str, text: str) -> None:
    failure = start(options(f"-M virt -device arm-smmuv3,primary-bus=pcie.0,{values}"), host(), Q11_0).failure
    assert failure is not None
    assert failure.text == text


def test_a_value_says_who_wrote_it() -> None:
    machine = options("-M virt -global arm-smmuv3.oas=48 -device arm-smmuv3,id=s,ril=off,accel=on")
    settings = read_settings(machine.vsmmus[0], machine, Q11_1, (11, 1))
    assert {name: setting.written for name, setting in settings.values.items()} == {
        "ats": "default",
        "ril": "device",
        "ssidsize": "default",
        "oas": "global",
        "cmdqv": "default",
    }
    assert is_auto(settings.values["ats"])
    assert not is_auto(settings.values["oas"])
    assert not is_auto(None)


def test_json_takes_a_true_boolean_and_no_word_for_it() -> None:
    made = [
        Device(0, "arm-smmuv3", "s", {"accel": value}, "json", Origin("-device {...}", "argument 1"))
        for value in (True, "on")
    ]
    machine = options("-M virt")
    assert read_settings(made[0], machine, Q11_1, (11, 1)).accel
    failure = start(machine._replace(devices=(made[1],)), host(), Q11_1).failure
    assert failure is not None
    assert failure.text == "Invalid parameter type for 'accel', expected: boolean"
