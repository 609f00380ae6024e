# SPDX-License-Identifier: Apache-2.0
"""Ask the model of QEMU what a run will do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from conformance.cases import READ, Expected, ExpectedStep, Run, Step
from conformance.guest import FILES
from vsmmu.errors import InputRefused
from vsmmu.machine.command_line.argv import read_words
from vsmmu.machine.drivers import is_vfio
from vsmmu.machine.model import Device, Origin
from vsmmu.qemu.board import not_modelled
from vsmmu.qemu.process import QemuProcess
from vsmmu.qemu.versions import LATEST, Qemu

if TYPE_CHECKING:
    from vsmmu.host.facts import Host
    from vsmmu.machine.model import Machine
    from vsmmu.qemu.outcome import Failure, Verdict

__all__ = ["predict", "starts"]

#: Devices that are everywhere, and the kinds of runs that name no other files than these and their own.
_DEVICES = frozenset({"/dev/hwrng", "/dev/null", "/dev/random", "/dev/urandom", "/dev/zero"})
_GENERATED = ("written:", "fix:")
_MASKED = "host kernel reports ATS unsupported; ATS capability will be masked"


def starts(argv: tuple[str, ...], host: Host, qemu: Qemu = LATEST) -> bool:
    """Whether the model says that this starts."""
    return QemuProcess(read_words(argv).machine(), host, qemu).start().at_start == "starts"


def predict(run: Run, host: Host, qemu: Qemu = LATEST) -> Expected:
    """What the model says of a run and its steps."""
    try:
        machine = read_words(run.argv, lambda name: run.files[name].encode()).machine()
        vm = QemuProcess(machine, host, qemu, absent=_absent(machine, run))
    except InputRefused as refused:
        # Not judged in QEMU's words; QEMU must not start it either.
        return Expected("refused", code=refused.code)
    if not_modelled(machine):
        return Expected("unknown")
    verdict = vm.start().beside(machine.unread)
    failure = verdict.failure
    steps = tuple(_step(vm, step) for step in run.steps) if verdict.at_start == "starts" else ()
    return Expected(
        answer=verdict.at_start,
        text=failure.printed if failure else "",
        code=failure.code if failure else "",
        possible=tuple(doubt.why for doubt in verdict.of("unknown")),
        registers=_registers(verdict),
        uncertain=tuple(vsmmu.uncertain for vsmmu in verdict.vsmmus),
        warnings=_warnings(vm) if verdict.at_start == "starts" and not run.steps else (),
        steps=steps,
    )


def _absent(machine: Machine, run: Run) -> set[str]:
    """The files that are not where QEMU runs; of runs that are written by hand, those with a path are."""
    there = {*run.files, *FILES, *_DEVICES}
    return {
        file.path
        for file in machine.files
        if file.path not in there and ("/" not in file.path or run.kind.startswith(_GENERATED))
    }


def _step(vm: QemuProcess, step: Step) -> ExpectedStep:
    failed: Failure | None = None
    if step.do == "reset":
        vm.reset()
    elif step.do == "add":
        failed = vm.hot_plug(_device(step.device))
    else:
        failed = vm.unplug(step.device["id"])
    return ExpectedStep(
        error=failed.printed if failed else "",
        registers=_registers(vm.verdict()),
        code=failed.code if failed else "",
    )


def _device(properties: dict[str, Any]) -> Device:
    rest = {name: value for name, value in properties.items() if name not in ("driver", "id")}
    return Device(0, properties["driver"], properties.get("id", ""), rest, "json", Origin("", "device_add"))


def _registers(verdict: Verdict) -> tuple[dict[str, str] | None, ...]:
    return tuple(
        None if vsmmu.registers is None else {name: vsmmu.registers[name] for name in READ}
        for vsmmu in verdict.vsmmus
    )


def _warnings(vm: QemuProcess) -> tuple[str, ...]:
    """Whether vfio-pci says that it hides the ATS capability; said only where there is one to hide.

    Nothing is claimed of a VM with a vfio-pci that no vSMMU serves.
    """
    masked = False
    served = sum(len(vsmmu.endpoints) for vsmmu in vm.vsmmus)
    if served < sum(is_vfio(device.driver) for device in vm.machine.devices):
        return ()
    for vsmmu in vm.vsmmus:
        for endpoint in vsmmu.endpoints:
            wish = endpoint.device.text("ats") or "auto"
            function = endpoint.function
            capability = function is not None and function.ats_capability.value == 1
            masked = masked or (endpoint.ats_visible is False and capability and wish == "auto")
    return (_MASKED if masked else f"!{_MASKED}",)
