# SPDX-License-Identifier: Apache-2.0
"""The executable model of a QEMU process with accelerated vSMMUs: its start, then hot-plug and unplug."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vsmmu.machine.topology import Topology
from vsmmu.qemu.board import not_modelled
from vsmmu.qemu.creation import FIXED_DRIVERS, Creation
from vsmmu.qemu.findings import Refused
from vsmmu.qemu.outcome import Failure, Verdict, failure, unjudged
from vsmmu.qemu.passthrough import unmet_needs

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

    from vsmmu.host.facts import Host
    from vsmmu.machine.model import Device, Machine
    from vsmmu.qemu.state import Endpoint, Vsmmu
    from vsmmu.qemu.versions import Qemu

__all__ = ["QemuProcess", "start"]


class QemuProcess(Creation):
    """A QEMU process, as the model runs it: started once, then changed by its monitor."""

    def hot_plug(self, device: Device) -> Failure | None:
        """``device_add`` into the running VM: None if it is admitted, else what QMP answers."""
        self._phase, self._findings.stops = "hot-plug", True
        device = device._replace(number=len(self.machine.devices))
        machine = self.machine._replace(devices=(*self.machine.devices, device))
        before, self._topology = self._topology, Topology.of(machine)
        bound = set(self._bound)
        try:
            self._create(device)
        except Refused as refused:
            self._topology, self._bound = before, bound
            self._placement.slots.remove(device.number)
            self._note(device.name, f"refused: {refused.failure.text}")
            return refused.failure
        self.machine = machine
        return None

    def unplug(self, name: str) -> Failure | None:
        """``device_del`` of an endpoint: None if it goes, else what QMP answers.

        The last one takes the vIOMMU along; the resolved values stay.

        :raise KeyError: if no vSMMU has such an endpoint.
        """
        self._phase = "hot-plug"
        device = self.machine.device(name)
        if device is not None and device.driver in FIXED_DRIVERS:
            return failure("qemu-no-hotplug", name, "", self._phase, driver=device.driver)
        for vsmmu in self.vsmmus:
            for endpoint in vsmmu.endpoints:
                if endpoint.device.name == name:
                    return self._unplug(vsmmu, endpoint)
        raise KeyError(name)

    def _unplug(self, vsmmu: Vsmmu, endpoint: Endpoint) -> Failure | None:
        name = endpoint.device.name
        if vsmmu.cmdqv_active and vsmmu.viommu_owner == name:
            return failure("qemu-cmdqv-unplug", name, "", self._phase)
        vsmmu.endpoints.remove(endpoint)
        if endpoint.function is not None:
            self._bound.discard(endpoint.function.address)
        self._forget(endpoint.device)
        self._placement.slots.remove(endpoint.device.number)
        if not vsmmu.endpoints:
            vsmmu.free_viommu()
        self._note(name, "unplugged" + ("" if vsmmu.endpoints else "; the vIOMMU is freed, the values stay"))
        return None

    def _forget(self, device: Device) -> None:
        """Free the device's id and its bus; an empty place stays, since buses name their makers by number."""
        devices = list(self.machine.devices)
        devices[device.number] = device._replace(driver="", id="", properties={})
        self.machine = self.machine._replace(devices=tuple(devices))
        self._topology = Topology.of(self.machine)


def start(
    machine: Machine,
    host: Host,
    qemu: Qemu,
    functions: Mapping[str, str] | None = None,
    topology: Topology | None = None,
    absent: Container[str] = (),
) -> Verdict:
    """Would QEMU start this VM on this host? See :class:`QemuProcess` for the parameters."""
    other = not_modelled(machine)
    if other:
        return unjudged(other, str(qemu), machine.machine_type)
    topology = topology or Topology.of(machine)
    verdict = QemuProcess(machine, host, qemu, functions, topology, absent).start()
    found = [*machine.unread, *unmet_needs(machine, topology, host, qemu, functions or {})]
    return verdict.beside(found) if found else verdict
