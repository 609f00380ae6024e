# SPDX-License-Identifier: Apache-2.0
"""``vsmmu/accel: create``: an accelerated SMMUv3 for every host device that is not behind one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vsmmu.errors import Negative
from vsmmu.machine.topology import Topology
from vsmmu.plan.domain import next_index, with_moved, without
from vsmmu.plan.needs import with_needs
from vsmmu.plan.planner import Order, lay_out

if TYPE_CHECKING:
    from vsmmu.host.facts import Host
    from vsmmu.machine.domain.document import DomainXml
    from vsmmu.machine.domain.reader import HostDevice

__all__ = ["create_vsmmus"]


def create_vsmmus(domain: DomainXml, host: Host) -> DomainXml:
    """The domain with what ``vsmmu plan --domain`` adds for its host devices; the devices move there.

    Host devices that are behind an SMMUv3 stay where they are, and so do those that the guest does not get.

    :raise Negative: ``function-unknown``, if the facts do not say behind which SMMU a device sits; the limits
        of :func:`vsmmu.plan.planner.lay_out`.
    """
    moving = _unserved(domain)
    if not moving:
        return domain
    for device in moving:
        _check_known(device, host)
    rest = without(domain, moving)
    vsmmus = lay_out(Order(tuple(device.source for device in moving), domain=rest), host)
    moved = with_moved(domain, moving, vsmmus, next_index(rest))
    return with_needs(moved, host, {})[0].domain or moved


def _unserved(domain: DomainXml) -> list[HostDevice]:
    """The functions of the host that have no address behind an SMMUv3."""
    machine = domain.machine()
    topology = Topology.of(machine)
    served = {bus.name for device in machine.vsmmus if (bus := topology.primary_bus_of(device)) is not None}
    behind = {device.id for device in machine.devices if topology.root_of(device) in served}
    return [
        device
        for device in domain.reading.hostdevs
        if device.source and device.given and (device.address is None or device.id not in behind)
    ]


def _check_known(device: HostDevice, host: Host) -> None:
    function = host.function(device.source)
    if function is None or function.smmu is None:
        raise Negative(
            "function-unknown",
            f"what offers the SMMU behind {device.source} is not known",
            where=f"line {device.element.line}",
            why=f"host {host.name!r} has no facts about it, or no SMMU translates it",
            next="take facts on that node with: vsmmu probe",
        )
