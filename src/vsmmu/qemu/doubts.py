# SPDX-License-Identifier: Apache-2.0
"""Doubts of the model: diagnoses of what is not known, without a sentence of QEMU."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vsmmu.diagnostic import Diagnostic

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vsmmu.diagnostic import Severity
    from vsmmu.machine.model import Device
    from vsmmu.qemu.findings import Refusal
    from vsmmu.qemu.settings import VsmmuSettings
    from vsmmu.qemu.versions import Qemu

__all__ = [
    "board_doubt",
    "default_values",
    "fork_domain",
    "second_iommu",
    "too_many_queues",
    "unlisted_function",
    "vendor_machine",
]


def vendor_machine(name: str, qemu: Qemu) -> Diagnostic:
    """A machine type of a distribution, of which nobody says what it stands for."""
    return Diagnostic(
        "machine-type-unknown",
        f"what {name:.60} stands for is not known",
        why="no release of QEMU has it; in a distribution's own it has the distribution's defaults",
        next=f"say what it stands for: --machine-type {qemu.virt}; or ask the binary: --qemu BINARY",
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
    from vsmmu.qemu.texts import MESSAGES  # most VMs need none

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
    from vsmmu.qemu.texts import MESSAGES  # most VMs need none

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


def default_values(device: str, settings: VsmmuSettings, qemu: Qemu) -> Diagnostic | None:
    """Values that are not written, where it is not known what they are then; None if there is no doubt."""
    names = [name for name, held in settings.values.items() if held.written == "default"]
    if qemu.defaults_known or not settings.accel or not names:
        return None
    return Diagnostic(
        "qemu-default-unknown",
        f"what QEMU {qemu} takes for {', '.join(names)} of {device} where nothing is written is not known",
        where=device,
        why="it has QEMU 11.1's auto with 11.0's machine types, and its sources leave open which default won",
        next="write the values: vsmmu resolve; or ask the binary: --qemu BINARY",
        severity="unknown",
    )


def fork_domain(qemu: Qemu, severity: Severity) -> Iterator[Diagnostic]:
    """A domain for a fork whose words are not those that libvirt writes."""
    foreign = [entry for entry in qemu.properties.values() if entry.option != entry.name]
    if foreign:
        ours = ", ".join(entry.name for entry in foreign)
        theirs = ", ".join(entry.option for entry in foreign)
        yield Diagnostic(
            "qemu-fork-domain",
            f"what a libvirt would write for QEMU {qemu} is not known",
            why=f"libvirt writes {ours}, this fork has {theirs}; its vendor's own libvirt was not looked at",
            next="give the command line that libvirt logged, or the QEMU that this libvirt starts",
            severity=severity,
        )


def board_doubt(refusal: Refusal, needs: str) -> Diagnostic:
    """A machine option that some hosts refuse.

    :param needs: what decides, which the facts do not say.
    """
    from vsmmu.qemu.texts import MESSAGES  # most VMs need none

    message = MESSAGES[refusal.code]
    return Diagnostic(
        refusal.code,
        f"{needs} is not known, so QEMU could refuse",
        why=message.text.format(**refusal.values),
        next=message.remedy.format(**refusal.values),
        severity="unknown",
    )
