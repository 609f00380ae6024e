# SPDX-License-Identifier: Apache-2.0
"""Diagnoses of the model without a sentence of QEMU: doubts, and what the kernel alone refuses."""

from __future__ import annotations

from vsmmu.diagnostic import Diagnostic

__all__ = ["direct_region", "unlisted_function", "vendor_machine"]


def vendor_machine(name: str, qemu: str) -> Diagnostic:
    """A machine type of a distribution, of which nobody says what it stands for."""
    return Diagnostic(
        "machine-type-unknown",
        f"what {name:.60} stands for is not known",
        why="it is a distribution's machine type, and its defaults are the distribution's",
        next=f"say what it stands for: --machine-type virt-{qemu}; or ask the binary: --qemu BINARY",
        severity="unknown",
    )


def direct_region(device: str, address: str) -> Diagnostic:
    """A function that has to stay mapped 1:1, given to a VM by its group instead of by iommufd."""
    return Diagnostic(
        "direct-region",
        f"{address} has to stay mapped 1:1, and the kernel gives such a function to no VM",
        where=device,
        why="Firmware has requested this device have a 1:1 IOMMU mapping, rejecting configuring the device "
        "without a 1:1 mapping. Contact your platform vendor.",
        next="give the VM another function; see /sys/kernel/iommu_groups/N/reserved_regions",
    )


def unlisted_function(device: str, address: str) -> Diagnostic:
    """A host function that the facts do not have, where they need not have all."""
    return Diagnostic(
        "function-unlisted",
        f"the facts do not have {address}, so QEMU could say: no such host device",
        where=device,
        next="take facts on that host: vsmmu probe",
        severity="unknown",
    )
