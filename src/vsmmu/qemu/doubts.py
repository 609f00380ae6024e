# SPDX-License-Identifier: Apache-2.0
"""Doubts of the model: a fact or a name is missing, so that QEMU's answer cannot be predicted."""

from __future__ import annotations

from vsmmu.diagnostic import Diagnostic

__all__ = ["unlisted_function", "vendor_machine"]


def vendor_machine(name: str, qemu: str) -> Diagnostic:
    """A machine type of a distribution, of which nobody says what it stands for."""
    return Diagnostic(
        "machine-type-unknown",
        f"what {name:.60} stands for is not known",
        why="it is a distribution's machine type, and its defaults are the distribution's",
        next=f"say what it stands for: --machine-type virt-{qemu}; or ask the binary: --qemu BINARY",
        severity="unknown",
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
