# SPDX-License-Identifier: Apache-2.0
"""Every message of QEMU that the model knows has a VM that gets it, and is printed as QEMU prints it."""

from __future__ import annotations

import re

import pytest

from examples import (
    Q11_1,
    host,
    options,
    vm,
)
from scenes import OPEN, SCENES
from vsmmu.machine.command_line.argv import read_words
from vsmmu.qemu.process import start
from vsmmu.qemu.texts import MESSAGES
from vsmmu.smmuv3.properties import PROPERTIES


def test_every_message_has_a_scene() -> None:
    assert SCENES.keys() | OPEN.keys() == MESSAGES.keys()


@pytest.mark.parametrize("code", OPEN)
def test_what_only_the_host_knows_is_unknown(code: str) -> None:
    verdict = start(vm(head=OPEN[code]), host(), Q11_1)
    assert verdict.answer == "unknown"
    (doubt,) = verdict.of("unknown")
    assert doubt.code == code
    assert doubt.why
    assert doubt.next


@pytest.mark.parametrize("code", SCENES)
def test_the_message_is_reached_and_tells_what_to_do(code: str) -> None:
    failure = SCENES[code].play()
    assert failure.code == code
    assert failure.remedy
    assert not re.search(r"[{}]", failure.remedy + failure.text)


@pytest.mark.parametrize("code", [code for code, scene in SCENES.items() if not scene.then])
def test_a_start_that_is_refused_is_no_yes(code: str) -> None:
    scene = SCENES[code]
    verdict = start(scene.machine, scene.on, scene.qemu, absent=scene.absent)
    assert verdict.answer == "refused"
    assert not verdict.would_start(assume_safe=True)
    assert verdict.trace[-1].event.startswith("refused: ")


@pytest.mark.parametrize("code", [code for code, row in MESSAGES.items() if row.hint])
def test_a_hint_follows_on_lines_of_its_own(code: str) -> None:
    failure = SCENES[code].play()
    assert failure.printed.endswith(f"{failure.text}\n{MESSAGES[code].hint}")


@pytest.mark.parametrize("code", [code for code, row in MESSAGES.items() if row.aborts])
def test_where_qemu_aborts_nothing_stands_in_front(code: str) -> None:
    failure = SCENES[code].play()
    assert failure.printed == failure.text


@pytest.mark.parametrize(
    ("text", "bad"),
    [("oas=44,ssidsize=x,ats=y,ril=z", "ril"), ("ats=y,ssidsize=x", "ats"), ("ats=y,foo=1", "ats")],
)
def test_of_two_wrong_properties_the_first_in_qemus_hash_table_is_reported(text: str, bad: str) -> None:
    failure = start(vm(text), host(), Q11_1).failure
    assert failure is not None
    assert f"'{bad}'" in failure.text


def test_a_wrong_global_is_named_in_front() -> None:
    machine = options("-M virt -global arm-smmuv3.ats=maybe -device arm-smmuv3,primary-bus=pcie.0")
    failure = start(machine, host(), Q11_1).failure
    assert failure is not None
    assert failure.text == "Parameter 'ats' does not accept value 'maybe'"
    assert failure.printed == (
        "qemu-system-aarch64: -device arm-smmuv3,primary-bus=pcie.0: "
        f"can't apply global arm-smmuv3.ats=maybe: {failure.text}"
    )


def test_a_device_of_a_configuration_file_is_named_by_its_line() -> None:
    text = b'[device "S0"]\n  driver = "arm-smmuv3"\n'
    machine = read_words(
        ["qemu-system-aarch64", "-M", "virt", "-readconfig", "vm.cfg"], lambda _: text
    ).machine()
    failure = start(machine, host(), Q11_1).failure
    assert failure is not None
    assert failure.printed == "qemu-system-aarch64:vm.cfg:2: SMMU is not attached to any PCI bus!"


@pytest.mark.parametrize("wish", ["on", "off", "auto", "yes"])
def test_the_board_takes_acpi_as_on_off_or_auto(wish: str) -> None:
    failure = start(vm(head=f"-M virt,acpi={wish}"), host(), Q11_1).failure
    assert (failure.code if failure else "") == {"off": "qemu-acpi", "yes": "qemu-value"}.get(wish, "")


@pytest.mark.parametrize(
    ("options_of_kvm", "answer"),
    [
        ("-accel kvm", "starts"),
        ("-enable-kvm", "starts"),
        ("-M accel=kvm:tcg", "starts"),
        ("-accel kvm,kernel-irqchip=off", "qemu-kvm"),
        ("-accel kvm -M kernel-irqchip=off", "qemu-kvm"),
        ("-accel tcg", "qemu-kvm"),
        ("", "qemu-kvm"),
    ],
)
def test_acceleration_needs_kvm_with_its_interrupt_controller(options_of_kvm: str, answer: str) -> None:
    machine = options(
        f"-M virt {options_of_kvm} -bios firmware.fd -nodefaults -object iommufd,id=i0",
        "-device arm-smmuv3,primary-bus=pcie.0,accel=on -device vfio-pci,host=0000:01:00.0,iommufd=i0",
    )
    verdict = start(machine, host(), Q11_1)
    assert (verdict.failure.code if verdict.failure else verdict.answer) == answer


def test_every_message_of_a_property_is_one_of_qemus() -> None:
    for entry in PROPERTIES.values():
        named = {entry.accel_message, entry.host_message, entry.unimplemented_message} - {""}
        assert named <= set(MESSAGES)
