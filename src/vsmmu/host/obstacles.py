# SPDX-License-Identifier: Apache-2.0
"""Diagnoses of host functions that the kernel gives to no VM, for probe, plan and the model of QEMU."""

from __future__ import annotations

from typing import Final

from vsmmu.diagnostic import Diagnostic

__all__ = ["SAID_OF_DIRECT", "direct_region"]

#: What the kernel logs when it refuses (drivers/iommu/iommu.c, require_direct).
SAID_OF_DIRECT: Final = (
    "Firmware has requested this device have a 1:1 IOMMU mapping, rejecting configuring the device "
    "without a 1:1 mapping. Contact your platform vendor."
)


def direct_region(address: str, where: str = "") -> Diagnostic:
    """A function that has to stay mapped 1:1 (:func:`vsmmu.host.judgements.direct_mapped`).

    :param where: the device of the VM that stands for it, if there is a VM.
    """
    return Diagnostic(
        "direct-region",
        f"{address} has to stay mapped 1:1, and the kernel gives such a function to no VM",
        where=where,
        why=SAID_OF_DIRECT,
        next="give the VM another function; see /sys/kernel/iommu_groups/N/reserved_regions",
    )
