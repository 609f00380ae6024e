# SPDX-License-Identifier: Apache-2.0
"""Mends of a VM's faults: certain changes by diagnosis code, applied and judged again. No I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from vsmmu.diagnostic import Diagnostic
    from vsmmu.host.facts import Host
    from vsmmu.machine.vm import Vm
    from vsmmu.policy.options import Options
    from vsmmu.qemu.versions import Qemu

__all__ = ["with_fixes"]


def with_fixes(
    found: Iterable[Diagnostic], vm: Vm, host: Host, qemu: Qemu, options: Options
) -> Iterator[Diagnostic]:
    """Diagnoses of a VM, each with what mends it for certain, where a fault or a doubt is among them.

    It is a :data:`vsmmu.policy.checking.Mender`.
    """
    found = tuple(found)
    if all(entry.severity in ("warning", "note") for entry in found):
        return iter(found)
    from vsmmu.mend.table import mender  # a check of a VM that starts needs none of it

    return mender()(found, vm, host, qemu, options)
