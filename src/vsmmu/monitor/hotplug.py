# SPDX-License-Identifier: Apache-2.0
"""Hot-plug of a function into a running VM, judged by the model on the frozen values."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Final

from vsmmu.diagnostic import Diagnostic
from vsmmu.errors import Negative
from vsmmu.machine.model import Device, Machine, Origin
from vsmmu.machine.topology import ROOT_BUS, Bus
from vsmmu.monitor.inspection import HotPlug, frozen_of
from vsmmu.qemu.admission import Admission
from vsmmu.qemu.findings import Findings, Refused
from vsmmu.qemu.outcome import failure
from vsmmu.qemu.placement import Placement
from vsmmu.qemu.settings import Setting, VsmmuSettings
from vsmmu.qemu.state import Endpoint, Vsmmu
from vsmmu.smmuv3.properties import AUTO, PROPERTIES

if TYPE_CHECKING:
    from vsmmu.host.facts import Host, HostFunction
    from vsmmu.monitor.introspection import Running, RunningPort, RunningVsmmu
    from vsmmu.qemu.outcome import Answer, Failure
    from vsmmu.qemu.versions import Qemu

__all__ = ["predict"]

_OCCUPIED: Final = "qemu-slot-hot"
_HERE: Final = Origin("", "device_add")
_BOARD: Final = Bus(ROOT_BUS, -1, ROOT_BUS, -1, None)
#: Of the VM that runs, the port at hand is all that counts.
_NO_DEVICES: Final = Machine("", "virt", {}, (), (), "", False, False, (), (), ())


def predict(running: Running, host: Host, qemu: Qemu, address: str, bus: str = "") -> HotPlug:
    """Predict ``device_add vfio-pci,host=ADDRESS``.

    :param bus: the port to plug it into; empty for a free one behind the vSMMU that stands for its SMMU,
        else behind one that stands for none yet.
    :raise Negative: ``no-such-device``, ``no-such-bus``; ``no-vsmmu``, if no vSMMU is accelerated.
    """
    function = host.function(address)
    if function is None:
        known = ", ".join(entry.address for entry in host.functions[:6])
        raise Negative(
            "no-such-device",
            f"host {host.name!r} has no function {address!r:.40}",
            why=f"it knows {known}" if known else "",
            next="vsmmu show lists them",
        )
    vsmmu, port = _choose(running, host, function, bus)
    command = {"driver": "vfio-pci", "host": address, "bus": port.name if port else bus}
    command |= {"iommufd": running.iommufd, "id": f"vfio-{address.replace(':', '-')}"}
    answer = _Answering(vsmmu, command)
    taken = next((entry.name for entry in running.endpoints if entry.function == address), "")
    if taken:
        text = f"{address} is in the VM already, as {taken}"
        return answer.refused("already-given", text, "unplug it first: device_del")
    if port is None:
        text = f"no port behind {vsmmu.name} is free"
        return answer.refused("no-free-port", text, "ports cannot be hot-plugged: start the VM with --spare")
    refused = _place(port)
    if refused is not None:
        if refused.code == _OCCUPIED:
            return answer.refused("port-occupied", refused.text, "name a free port, or unplug what is in it")
        return answer.refused(refused.code, refused.text, refused.remedy)
    if not running.iommufd:
        text = "the VM has no iommufd object"
        return answer.refused("no-iommufd", text, "object-add qom-type=iommufd,id=iommufd0 first")
    return _admit(answer, running, host, qemu, function)


class _Answering:
    """Makes answers about one function, one vSMMU and one port."""

    def __init__(self, vsmmu: RunningVsmmu, command: dict[str, str]) -> None:
        self.vsmmu = vsmmu
        self.command = command

    def refused(self, code: str, what: str, next: str, why: str = "") -> HotPlug:
        return self._answer("refused", (Diagnostic(code, what, self.command["host"], why, next),), ())

    def admitted(self, doubts: tuple[Diagnostic, ...], notes: tuple[str, ...]) -> HotPlug:
        return self._answer("unknown" if doubts else "starts", doubts, notes)

    def _answer(self, answer: Answer, found: tuple[Diagnostic, ...], notes: tuple[str, ...]) -> HotPlug:
        command = self.command
        return HotPlug(command["host"], self.vsmmu.name, command["bus"], answer, found, command, notes)


def _choose(
    running: Running, host: Host, function: HostFunction, bus: str
) -> tuple[RunningVsmmu, RunningPort | None]:
    accelerated = [vsmmu for vsmmu in running.vsmmus if vsmmu.accel]
    if not accelerated:
        raise Negative(
            "no-vsmmu", "this VM has no arm-smmuv3 with accel=on", next="start it with one: vsmmu plan"
        )
    if bus:
        port = next((entry for entry in running.ports if entry.name == bus), None)
        vsmmu = next((entry for entry in accelerated if port and entry.bus == port.root), None)
        if port is None or vsmmu is None:
            known = ", ".join(entry.name for entry in running.ports[:8])
            raise Negative(
                "no-such-bus",
                f"no vSMMU with accel=on has a port {bus!r:.40}",
                why=f"there are {known}",
                next="name one of these, or leave --bus out",
            )
        return vsmmu, port

    def rank(vsmmu: RunningVsmmu) -> int:
        smmus = _smmus(running, host, vsmmu)
        serves = 0 if function.smmu in smmus else 2 if smmus else 1
        return serves * 2 + (_free(running, vsmmu) is None)

    best = min(accelerated, key=rank)
    return best, _free(running, best)


def _free(running: Running, vsmmu: RunningVsmmu) -> RunningPort | None:
    ports = (entry for entry in running.ports if entry.root == vsmmu.bus and _place(entry) is None)
    return next(ports, None)


def _place(port: RunningPort) -> Failure | None:
    """What QEMU says of the port if a vfio-pci is plugged into it; None if it takes one."""
    placement = Placement(_NO_DEVICES)
    maker = Device(0, port.driver, port.name, {"hotplug": port.hotplug}, "json", _HERE)
    inside = Device(1, port.occupant, "", {}, "json", _HERE)
    new = Device(2, "vfio-pci", "", {}, "json", _HERE)
    bus = Bus(port.name, maker.number, port.root, _BOARD.owner, _BOARD.owner)
    tuple(placement.before_realize(maker, _BOARD))
    if port.occupant:
        tuple(placement.before_realize(inside, bus))
    refusals = chain(
        placement.slots.hot_plug_refusals(new, bus), placement.before_realize(new, bus, hot=True)
    )
    refusal = next(refusals, None)
    if refusal is None:
        return None
    values = {"driver": new.driver, **refusal.values}
    return failure(refusal.code, new.driver, "", "hot-plug", **values)


def _smmus(running: Running, host: Host, vsmmu: RunningVsmmu) -> list[str]:
    """The host SMMUs that a vSMMU stands for now, in the order of its endpoints."""
    functions = (host.function(entry.function) for entry in running.behind(vsmmu) if entry.function)
    return [function.smmu for function in functions if function is not None and function.smmu]


def _admit(answer: _Answering, running: Running, host: Host, qemu: Qemu, function: HostFunction) -> HotPlug:
    vsmmu = answer.vsmmu
    smmu = host.smmu(function.smmu) if function.smmu else None
    findings = Findings(stops=True)
    properties = {key: value for key, value in answer.command.items() if key not in ("driver", "id")}
    device = Device(0, "vfio-pci", answer.command["id"], properties, "json", _HERE)
    serving = _smmus(running, host, vsmmu)
    state = _as_it_is(vsmmu, serving[0] if serving else "")
    try:
        Admission(host, qemu, findings).admit(state, Endpoint(device, function, smmu), "hot-plug")
    except Refused as refused:
        failed = refused.failure
        return answer.refused(failed.code, "QEMU would not admit it", failed.remedy, failed.printed)
    notes = []
    if serving and smmu is not None and smmu.name != serving[0]:
        notes.append(
            f"{vsmmu.name} stands for {serving[0]}, and {function.address} sits behind {smmu.name}: "
            "QEMU admits it, and then cannot attach it"
        )
    return answer.admitted(tuple(findings.noted()), tuple(notes))


def _as_it_is(vsmmu: RunningVsmmu, host_smmu: str) -> Vsmmu:
    """The model's state of a vSMMU that runs: realized, finalised, its values frozen."""
    written = {
        name: Setting(PROPERTIES[name].parse(value), "device")
        for name, value in vsmmu.written.items()
        if value in PROPERTIES[name].spellings
    }
    written.setdefault("cmdqv", Setting(AUTO, "default"))
    settings = VsmmuSettings(vsmmu.accel, vsmmu.bus_name, None, written)
    state = Vsmmu(Device(0, "arm-smmuv3", vsmmu.name, {}, "json", Origin("", "")), settings)
    state.frozen = frozen_of(vsmmu)
    state.auto_finalised = True
    state.viommu_smmu = host_smmu
    return state
