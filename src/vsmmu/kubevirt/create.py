# SPDX-License-Identifier: Apache-2.0
"""``vsmmu/accel: create``: an accelerated SMMUv3 for every host device that is not behind one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vsmmu.errors import Negative
from vsmmu.machine.domain.growth import with_vsmmus
from vsmmu.machine.drivers import is_vfio
from vsmmu.machine.topology import Topology

if TYPE_CHECKING:
    from vsmmu.host.facts import Host
    from vsmmu.machine.domain.document import DomainXml
    from vsmmu.machine.domain.reader import HostDevice

__all__ = ["create_vsmmus"]


def create_vsmmus(domain: DomainXml, host: Host) -> DomainXml:
    """The domain with one SMMUv3 for each host SMMU; devices that have one stay where they are.

    :raise Negative: ``function-unknown``, if the facts do not say behind which SMMU a device sits;
        ``topology-full``.
    """
    machine = domain.machine()
    topology = Topology.of(machine)
    served = {bus.name for device in machine.vsmmus if (bus := topology.primary_bus_of(device)) is not None}
    settled = {
        device.id
        for device in machine.devices
        if is_vfio(device.driver) and topology.root_of(device) in served
    }
    groups: dict[str, list[HostDevice]] = {}
    for device in domain.reading.hostdevs:
        if device.source and device.id not in settled:
            groups.setdefault(_smmu_of(device, host), []).append(device)
    return with_vsmmus(domain, list(groups.values()))


def _smmu_of(device: HostDevice, host: Host) -> str:
    function = host.function(device.source)
    if function is None or function.smmu is None:
        raise Negative(
            "function-unknown",
            f"what offers the SMMU behind {device.source} is not known",
            where=f"line {device.element.line}",
            why=f"host {host.name!r} has no facts about it, or no SMMU translates it",
            next="take facts on that node with: vsmmu probe",
        )
    return function.smmu
