# SPDX-License-Identifier: Apache-2.0
"""A domain with its faults mended, for a VM whose annotation asks the hook for that."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vsmmu.machine.domain.document import DomainXml
from vsmmu.mend.describe import spell_step
from vsmmu.mend.mending import mend

if TYPE_CHECKING:
    from vsmmu.host.facts import Host
    from vsmmu.policy.options import Options
    from vsmmu.qemu.versions import Qemu

__all__ = ["mended_domain"]


def mended_domain(
    domain: DomainXml, host: Host, qemu: Qemu, options: Options
) -> tuple[DomainXml, tuple[str, ...]]:
    """The domain with all certain mends, and a sentence on each; values are left to what comes next."""
    mending = mend(domain, host, qemu, options)
    assert isinstance(mending.vm, DomainXml)  # noqa: S101 - a VM keeps its form
    said = (f"mended: {spell_step(step)}" for step in mending.applied)
    return mending.vm, tuple(said)
