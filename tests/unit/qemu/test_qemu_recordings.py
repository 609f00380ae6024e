# SPDX-License-Identifier: Apache-2.0
"""Replay what QEMU 11.1.3 really answered (tests/golden/qemu-11.1.3) against the model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from recordings import GOLDEN, QEMU, SHOWN, Case, host_of, load, machine_of, opaque_machines, qemu_of
from recordings import RUNS as RECORDED
from vsmmu.errors import InputRefused
from vsmmu.machine.model import Device, Machine, Origin
from vsmmu.qemu.process import QemuProcess, start
from vsmmu.qemu.settings import read_settings
from vsmmu.qemu.versions import machine_type
from vsmmu.smmuv3.properties import PROPERTIES

if TYPE_CHECKING:
    from vsmmu.qemu.outcome import Verdict

CRASH = -11
#: Of 10.2.2, too.
RUNS = [*RECORDED, *load("qemu-10.2.2/board")]
GAPS = {line.split("`")[1] for line in (GOLDEN / "README.md").read_text().splitlines() if line[:3] == "| `"}
SESSIONS = load("qemu-11.1.3/arm64-kvm-qmp")


def shown(verdict: Verdict) -> list[list[str]]:
    return [[(vsmmu.registers or {}).get(name, "?") for name in SHOWN] for vsmmu in verdict.vsmmus]


def held(machine: Machine) -> dict[str, dict[str, str]]:
    """The properties of every vSMMU as QEMU holds them before realize."""
    kind = machine_type(machine.machine_type, QEMU)
    assert kind is not None
    values = {}
    for device in machine.vsmmus:
        settings = read_settings(device, machine, QEMU, kind.version)
        spelled = {key: PROPERTIES[key].spell(setting.value) for key, setting in settings.values.items()}
        values[device.id] = {"accel": "on" if settings.accel else "off", **spelled}
    return values


def differences(case: Case) -> list[str]:
    """What the model says otherwise than QEMU did; empty if they agree."""
    try:
        machine = machine_of(case)
        verdict = QemuProcess(machine, host_of(case), qemu_of(case), absent=case.get("absent", ())).start()
    except InputRefused as refused:
        return [] if case.get("reading") and case["exit"] else [f"not read: {refused}"]
    if case.get("reading"):
        return ["it was read"]
    found = []
    answer = "refused" if case["exit"] else "starts"
    if verdict.at_start != answer:
        found.append(f"{verdict.at_start}, not {answer}: {verdict.of('unknown') or verdict.failure}")
    stderr = "\n".join(case.get("stderr", []))
    printed = verdict.failure.printed if verdict.failure else ""
    if case["exit"] == CRASH:
        stderr = "Segmentation fault"  # what the shell says; QEMU says nothing
    if case["exit"] and printed != stderr:
        found.append(f"prints {printed!r}")
    fails_later = any(hazard.code in ("two-host-smmus", "two-iommufds") for hazard in verdict.of("hazard"))
    if "host" not in case and fails_later != ("Failed to attach GBPA hwpt" in stderr):
        found.append(f"hazards {verdict.diagnostics}")
    without_pasid = any(found.code == "pasid-capability" for found in verdict.of("warning"))
    if without_pasid != ("Placing PASID capability" in stderr):
        found.append(f"warnings {verdict.diagnostics}")
    registers = case.get("registers", [])
    if shown(verdict)[: len(registers)] != registers:
        found.append(f"registers {shown(verdict)}")
    for name, values in case.get("values", {}).items():
        model = held(machine)[name]
        found += [f"{name}.{key}={model[key]}" for key, value in values.items() if model[key] != value]
    return found


@pytest.mark.parametrize("case", [run for run in RUNS if "gap" not in run], ids=lambda case: case["id"])
def test_the_model_says_what_qemu_said(case: Case) -> None:
    assert differences(case) == []


@pytest.mark.parametrize("case", [run for run in RUNS if "gap" in run], ids=lambda case: case["id"])
def test_a_known_gap_is_still_one(case: Case) -> None:
    assert case["gap"] in GAPS
    assert differences(case), "the model agrees with QEMU now: remove the word gap"


@pytest.mark.parametrize("case", [run for run in RUNS if "gap" in run], ids=lambda case: case["id"])
def test_no_known_gap_answers_starts(case: Case) -> None:
    assert case["exit"]
    verdict = start(machine_of(case), host_of(case), qemu_of(case), absent=case.get("absent", ()))
    assert verdict.answer in ("refused", "unknown", "not-judged")


@pytest.mark.parametrize("case", RUNS, ids=lambda case: case["id"])
def test_words_that_only_a_shell_knows_leave_the_answer_open(case: Case) -> None:
    for machine in opaque_machines(case):
        answer = start(machine, host_of(case), qemu_of(case), absent=case.get("absent", ())).answer
        assert answer != ("starts" if case["exit"] else "refused"), machine.unread


@pytest.mark.parametrize("case", SESSIONS, ids=lambda case: case["id"])
def test_the_model_answers_the_monitor_as_qemu_did(case: Case) -> None:
    vm = QemuProcess(machine_of(case), host_of(case), QEMU)
    assert vm.start().answer == "starts"
    for step in case["qmp"]:
        answer = act(vm, step)
        if "gap" in step:
            assert answer != step["error"], "the model agrees with QEMU now: remove the word gap"
            break  # from here on the two are not in the same state
        assert answer == step.get("error", "")
    registers = case.get("registers", [])
    assert shown(vm.verdict())[: len(registers)] == registers


def act(vm: QemuProcess, step: Case) -> str:
    """One command of the monitor; the error that it is answered with."""
    arguments = dict(step.get("with", {}))
    if step["do"] == "system_reset":
        vm.reset()
        return ""
    if step["do"] == "object-add":
        vm._objects.add(arguments["id"])  # objects come and go without the model's knowledge
        return ""
    if step["do"] == "device_del":
        try:
            failure = vm.unplug(arguments["id"])
        except KeyError:
            return f"Device '{arguments['id']}' not found"
        return failure.printed if failure else ""
    driver, name = arguments.pop("driver"), arguments.pop("id")
    device = Device(0, driver, name, arguments, "json", Origin("", "device_add"))
    try:
        failure = vm.hot_plug(device)
    except InputRefused as refused:
        return refused.why
    return failure.printed if failure else ""


def test_the_recordings_are_many_and_each_has_an_id_of_its_own() -> None:
    ids = [case["id"] for case in RUNS + SESSIONS]
    assert len(set(ids)) == len(ids)
    assert sum("gap" not in case for case in RUNS) > 700
