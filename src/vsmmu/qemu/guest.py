# SPDX-License-Identifier: Apache-2.0
"""Limits of the guest behind an accelerated vSMMU: what its kernel refuses although the VM runs well.

The board gives each accelerated vSMMU an IORT RMR node without "remap permitted" for the MSI doorbell's
range, so the guest's kernel sees a reserved region of type ``direct`` in the group of every device behind it
(measured with QEMU 11.1.3 and Linux 7.3.4; tests/lab/test_guest_direct_region.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vsmmu.diagnostic import Diagnostic

if TYPE_CHECKING:
    from vsmmu.qemu.outcome import Verdict

__all__ = ["guest_limits"]


def guest_limits(verdict: Verdict) -> tuple[Diagnostic, ...]:
    """One note on all accelerated vSMMUs of a VM that starts; nothing of other VMs."""
    names = [vsmmu.device for vsmmu in verdict.vsmmus if vsmmu.accel]
    if verdict.answer not in ("starts", "fails-later") or not names:
        return ()
    return (
        Diagnostic(
            "guest-direct-region",
            "a Linux guest can give devices behind it neither to DPDK (vfio-pci) nor to a VM of its own: "
            "to its kernel they have to stay mapped 1:1",
            where=", ".join(names),
            next="nothing, if the guest's own drivers use the devices",
            severity="note",
        ),
    )
