# SPDX-License-Identifier: Apache-2.0
"""Doubts of the model: diagnoses of what is not known, without a sentence of QEMU."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vsmmu.diagnostic import Diagnostic
from vsmmu.qemu.texts import MESSAGES

if TYPE_CHECKING:
    from vsmmu.machine.model import Device
    from vsmmu.qemu.findings import Refusal
    from vsmmu.qemu.versions import Qemu

__all__ = [
    "board_doubt",
    "second_iommu",
    "too_many_queues",
    "unlisted_function",
    "vendor_machine",
]


def vendor_machine(name: str, qemu: str) -> Diagnostic:
    """A machine type of a distribution, of which nobody says what it stands for."""
    return Diagnostic(
        "machine-type-unknown",
        f"what {name:.60} stands for is not known",
        why="it is a distribution's machine type, and its defaults are the distribution's",
        next=f"say what it stands for: --machine-type virt-{qemu}; or ask the binary: --qemu BINARY",
        severity="unknown",
    )


def unlisted_function(device: Device, address: str | None) -> Diagnostic:
    """A vfio-pci of whose function nothing is known: the facts need not have all, and cannot have a path.

    :param address: of the function; None if the VM does not say it.
    """
    named = address or device.text("sysfsdev") or device.text("host")
    what = f"the facts do not have {named:.80}, so QEMU could say: no such host device"
    remedy = "take facts on that host: vsmmu probe"
    if not named:
        what = f"what descriptor {device.text('fd'):.40} is was not looked at, so QEMU could refuse it"
        remedy = f"say which function it is: --function {device.name}=BDF"
    return Diagnostic("function-unlisted", what, where=device.name, next=remedy, severity="unknown")


def too_many_queues(vsmmus: int, lines: int, most: int) -> Diagnostic:
    """SMMUs with command queues of the hardware, each of which takes one more interrupt."""
    message = MESSAGES["qemu-too-many"]
    return Diagnostic(
        message.code,
        f"{vsmmus} arm-smmuv3 with active CMDQV take {lines} interrupts, and the platform bus has {most}: "
        "that was read in QEMU's sources, not seen",
        why=message.text,
        next="write cmdqv=off on some of them, or use fewer",
        severity="unknown",
    )


def second_iommu(device: str, bus: str, qemu: Qemu) -> Diagnostic:
    """A second SMMU on one bus, where QEMU has no check: that is known of 10.2, and likely of 11.0."""
    return Diagnostic(
        "qemu-second-iommu",
        f"{bus:.60} has an arm-smmuv3 already: QEMU starts, and {device} takes its place for what comes later"
        if not qemu.has_accel
        else f"whether QEMU {qemu} looks for another arm-smmuv3 on {bus:.60} is not known",
        where=device,
        why="" if not qemu.has_accel else MESSAGES["qemu-second-iommu"].text,
        next="give each arm-smmuv3 a pxb-pcie of its own",
        severity="unknown" if qemu.has_accel else "hazard",
    )


def board_doubt(refusal: Refusal, needs: str) -> Diagnostic:
    """A machine option that some hosts refuse.

    :param needs: what decides, which the facts do not say.
    """
    message = MESSAGES[refusal.code]
    return Diagnostic(
        refusal.code,
        f"{needs} is not known, so QEMU could refuse",
        why=message.text.format(**refusal.values),
        next=message.remedy.format(**refusal.values),
        severity="unknown",
    )
