# SPDX-License-Identifier: Apache-2.0
"""Findings of one run of the model: refusals, doubts and hazards, each noted once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vsmmu.diagnostic import Diagnostic
from vsmmu.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vsmmu.machine.model import Machine
    from vsmmu.qemu.outcome import Failure

__all__ = ["Findings", "Refusal", "Refused", "doubtful", "key_of"]

#: Refusals that are the machine's fault, whichever device meets them: one mend removes all of a kind.
_OF_THE_MACHINE: Final = frozenset(
    (
        "qemu-accel-not-built",
        "qemu-acpi",
        "qemu-kvm",
        "qemu-machine-iommu",
        "qemu-machine-iommu-abort",
        "qemu-only-migratable",
    )
)


#: Doubts about options that are not known.
_MORE_OPTIONS: Final = frozenset({"shell-arguments", "domain-commandline"})
#: Option -> codes of what parameters of it could mend, where some are not known (``-numa "$NODE"``).
_MENDED_BY: Final = {
    option: frozenset(f"qemu-{name}" for name in names.split())
    for option, names in {
        "cpu": "cpu-kvm cpu-model cpu-model-kvm gic-v5-cpu mte-cpu mte-kvm",
        "drive": "acpi flash-drive",
        "m": "memory-module module-room module-slots node-sum",
        "smp": "cpus gic-cpus gic-its node-cpu-index node-cpu-none",
        "numa": "distance-directions distance-missing distance-node hmat initiator memory-device"
        " node-cpu-early node-cpu-none node-initiator node-missing node-sum node-twice numa-node",
    }.items()
}
#: Codes of what further options could mend, where some are not known (``"$@"``): another accelerator, CPU or
#: machine, a device or object that is missed.
_MENDED_BY_OPTIONS: Final = frozenset(
    f"qemu-{name}"
    for name in (
        "accel-not-built accelerator accelerator-unknown irqchip-split kvm"
        " board-smmu bypass cxl-off errors-without-acpi gic-host gic-v5-el2 gic-version highmem machine-iommu"
        " machine-iommu-abort machine-type no-machine not-virt nvdimm secure virtualization"
        " hmat-off memory no-bus no-cold-plug no-object no-primary-bus no-such-bus node-memory"
        " not-accelerated unattached"
    ).split()
).union(*_MENDED_BY.values())
#: Codes of what ``-nodefaults`` could mend, which takes away the board's card.
_MENDED_BY_NO_CARD: Final = frozenset(
    f"qemu-{name}" for name in "emulated-endpoint endpoint-first slot-full slot-function slot-taken".split()
)


class Refusal(NamedTuple):
    """A row of the table of messages, with the values for its placeholders."""

    code: str
    values: dict[str, object]


class Refused(Exception):
    """QEMU stops here, and what follows cannot be judged; carries the predicted :class:`Failure`."""

    def __init__(self, failed: Failure) -> None:
        super().__init__(failed.text)
        self.failure = failed


class Findings:
    """Collects what the model finds.

    QEMU prints the first refusal and ends. A user wants to know all of them: by default the model goes on as
    if what was refused were mended in the simplest way, and notes the rest.

    :param stops: let the first refusal end the run, as for a hot-plug.
    :ivar doubtful: codes of what options could mend that are not known.
    :ivar refusals: in QEMU's order; the first is the one that QEMU prints.
    """

    def __init__(self, *, stops: bool = False) -> None:
        self.stops = stops
        self.doubtful: frozenset[str] = frozenset()
        self.refusals: list[Failure] = []
        self._known: set[tuple[str, ...]] = set()
        self._open: dict[tuple[str, str, str], Diagnostic] = {}

    def refuse(self, failed: Failure) -> None:
        """Note a refusal.

        :raise Refused: if the first one ends the run.
        """
        if self.stops:
            raise Refused(failed)
        if failed.code in self.doubtful:
            what = "unless the options that are not known change it, QEMU would refuse"
            doubt = Diagnostic(failed.code, what, failed.device, failed.printed, failed.remedy, "unknown")
            self.note(doubt)
            return
        if (key := key_of(failed)) not in self._known:
            self._known.add(key)
            self.refusals.append(failed)

    def note(self, found: Diagnostic) -> None:
        """Note a doubt, a hazard or a warning, unless the same is noted already."""
        self._open.setdefault((found.code, found.where, found.what), found)

    def noted(self) -> Iterator[Diagnostic]:
        """What :meth:`note` was given, in order."""
        return iter(self._open.values())


def doubtful(machine: Machine) -> frozenset[str]:
    """Codes of what options of this VM could mend that are not known, or not enough of them."""
    if any(entry.code in _MORE_OPTIONS for entry in machine.unread):
        return _MENDED_BY_OPTIONS | (_MENDED_BY_NO_CARD if machine.default_nic else frozenset())
    return frozenset().union(*[_MENDED_BY[name] for name in machine.hidden if name in _MENDED_BY])


def key_of(failed: Failure) -> tuple[str, ...]:
    """What two refusals have in common that are one to a user."""
    return (failed.code,) if failed.code in _OF_THE_MACHINE else (failed.code, failed.device, failed.printed)
