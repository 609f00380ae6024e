# SPDX-License-Identifier: Apache-2.0
"""Surroundings for a libvirt domain whose own host devices were moved behind planned vSMMUs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vsmmu.machine.domain.document import DomainXml
from vsmmu.machine.domain.insertion import insert_behind
from vsmmu.machine.domain.spans import apply
from vsmmu.machine.topology import Topology
from vsmmu.plan.domain import domain_nodes
from vsmmu.plan.libvirt_surroundings import acpi_elements, with_surroundings
from vsmmu.plan.main_node import main_node_of_domain
from vsmmu.plan.numbers import Names
from vsmmu.plan.surroundings import surround
from vsmmu.qemu.passthrough import WINDOW_OPTION

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vsmmu.host.facts import Host
    from vsmmu.plan.model import PlannedVsmmu

__all__ = ["surround_domain"]


def surround_domain(domain: DomainXml, vsmmus: Sequence[PlannedVsmmu], host: Host) -> DomainXml:
    """A domain that has planned vSMMUs, with all that their functions need besides.

    A function that is a generic initiator already stays as it is.
    """
    given = {device.source: device.element for device in domain.reading.hostdevs if device.source}
    served = [address for address, element in given.items() if element.find("acpi") is not None]
    machine = domain.machine()
    nodes, window = domain_nodes(domain), machine.machine_options.get(WINDOW_OPTION)
    names = Names(machine, Topology.of(machine))
    found, around, _ = surround(
        vsmmus, host, nodes, lambda: main_node_of_domain(domain), window, names, served
    )
    splices = [
        insert_behind(domain.data, source, acpi_elements(port))
        for vsmmu in found
        for port in vsmmu.endpoints
        if port.initiators and (source := given[port.function].find("source")) is not None
    ]
    grown = DomainXml(apply(domain.data, splices), domain.where) if splices else domain
    return with_surroundings(grown, around)
