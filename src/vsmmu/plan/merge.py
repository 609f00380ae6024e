# SPDX-License-Identifier: Apache-2.0
"""A domain with all that was planned for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vsmmu.plan.domain import with_host_devices
from vsmmu.plan.libvirt import check_expressible
from vsmmu.plan.libvirt_surroundings import with_surroundings
from vsmmu.plan.surroundings import Surroundings

if TYPE_CHECKING:
    from vsmmu.machine.domain.document import DomainXml
    from vsmmu.plan.model import Plan

__all__ = ["merged"]


def merged(plan: Plan, domain: DomainXml) -> DomainXml:
    """The whole domain with the planned elements in it.

    :raise Negative: ``xml-inexpressible``, as :func:`vsmmu.plan.libvirt.check_expressible`.
    """
    check_expressible(plan)
    around = Surroundings(plan.nodes, plan.mmio_window, distances=plan.distances)
    return with_host_devices(with_surroundings(domain, around), plan.vsmmus)
