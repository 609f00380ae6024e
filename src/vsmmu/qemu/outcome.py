# SPDX-License-Identifier: Apache-2.0
"""The model's verdict: answer, failure, diagnostics, vSMMUs after the start, trace."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from vsmmu.diagnostic import Diagnostic, Severity, by_severity
from vsmmu.qemu.message import Message, Phase

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


__all__ = [
    "Answer",
    "EndpointOutcome",
    "Failure",
    "TraceStep",
    "Verdict",
    "VsmmuOutcome",
    "answer_of",
    "dated",
    "failure",
    "unjudged",
]

#: *starts*: looked at, and QEMU starts it. *fails-later*: QEMU starts it, as far as is known, and the guest
#: or a later step cannot work. *refused*: certain, in QEMU's or libvirt's words. *unknown*: a fact or a name
#: is missing. *not-judged*: a machine that has no model here.
Answer = Literal["starts", "fails-later", "refused", "unknown", "not-judged"]
_BY_SEVERITY: Final[Mapping[Severity, Answer]] = MappingProxyType(
    {"error": "refused", "hazard": "fails-later", "unknown": "unknown"}
)


class Failure(msgspec.Struct, frozen=True):
    """QEMU's own words where it refuses: ``text`` is its sentence, ``printed`` the line with what it puts in
    front.
    """

    code: str
    text: str
    printed: str
    device: str
    phase: Phase
    remedy: str

    def diagnosed(self, qemu: str) -> Diagnostic:
        """The diagnosis that follows from it."""
        what = f"QEMU {qemu} would not start this VM"
        return Diagnostic(self.code, what, self.device, self.printed, self.remedy)


class TraceStep(msgspec.Struct, frozen=True):
    """One line of the trace."""

    phase: Phase
    device: str
    event: str


class EndpointOutcome(msgspec.Struct, frozen=True):
    """One vfio-pci behind a vSMMU: the host function and SMMU that it stands for, and how it fared."""

    device: str
    function: str
    smmu: str
    answer: Answer
    ats_visible: bool | None = None


class VsmmuOutcome(msgspec.Struct, frozen=True):
    """One vSMMU after the last phase that was reached.

    ``values`` are QEMU's spellings, with ``auto`` where nothing was resolved and ``?`` where a fact is
    missing; ``registers`` are the guest-visible words (null if not all are decided), of which the fields
    named in ``uncertain`` depend on something outside the facts.
    """

    device: str
    primary_bus: str
    accel: bool
    auto_mode: bool
    auto_finalised: bool
    finalised_by: str
    values: dict[str, str]
    registers: dict[str, str] | None
    uncertain: tuple[str, ...]
    host_smmu: str
    attached: Literal["", "bypass", "abort"]
    endpoints: tuple[EndpointOutcome, ...]


class Verdict(msgspec.Struct, frozen=True):
    """Would QEMU start this VM on this host?

    ``failure`` is the refusal that QEMU prints, the first. ``diagnostics`` are, worst first: every refusal
    (*error*; those after the first are found by going on as if it were mended), what QEMU lets through
    although it cannot work (*hazard*), the checks that facts are missing for (*unknown*; ``code`` and ``why``
    are the message that QEMU would print if the check failed, ``needs`` the facts that would settle it), and
    warnings. ``not_judged`` names what of the VM was not looked at, or only in part.
    """

    answer: Answer
    qemu: str
    machine_type: str
    failure: Failure | None
    diagnostics: tuple[Diagnostic, ...]
    vsmmus: tuple[VsmmuOutcome, ...]
    trace: tuple[TraceStep, ...]
    not_judged: tuple[str, ...] = ()

    def would_start(self, *, assume_safe: bool = False) -> bool:
        """Whether QEMU starts and nothing is known to go wrong later.

        :param assume_safe: also say yes where nothing certain speaks against it, but facts are missing.
        """
        return self.answer in (("starts", "unknown") if assume_safe else ("starts",))

    @property
    def at_start(self) -> Literal["starts", "refused", "unknown"]:
        """What QEMU itself does: what fails later it starts, as far as is known."""
        if self.failure is not None:
            return "refused"
        return "unknown" if self.of("unknown") else "starts"

    def beside(self, found: Iterable[Diagnostic]) -> Verdict:
        """The same with more diagnostics, and the answer that follows from all."""
        diagnostics = by_severity([*found, *self.diagnostics])
        answer = self.answer if self.answer == "not-judged" else answer_of(diagnostics)
        return msgspec.structs.replace(self, diagnostics=diagnostics, answer=answer)

    def of(self, *severities: Severity) -> tuple[Diagnostic, ...]:
        """The diagnostics of these severities."""
        return tuple(entry for entry in self.diagnostics if entry.severity in severities)

    def vsmmu(self, device: str) -> VsmmuOutcome:
        """The outcome of the vSMMU called ``device``.

        :raise KeyError: if there is none.
        """
        for outcome in self.vsmmus:
            if outcome.device == device:
                return outcome
        raise KeyError(device)


def unjudged(other: str, qemu: str, machine_type: str) -> Verdict:
    """The verdict on a machine that has no model here.

    :param other: what it is.
    """
    found = Diagnostic(
        "not-judged",
        f"{other}: only Arm virt machines have a model here, and nothing of this VM was judged",
        next="start it to see; resolve hands it back unchanged",
        severity="unknown",
    )
    return Verdict("not-judged", qemu, machine_type, None, (found,), (), ())


def answer_of(diagnostics: Iterable[Diagnostic]) -> Answer:
    """The answer that follows from diagnostics: that of the worst."""
    worst = next(iter(by_severity(diagnostics)), None)
    return "starts" if worst is None else _BY_SEVERITY.get(worst.severity, "starts")


def failure(code: str, device: str, option: str, phase: Phase, **values: object) -> Failure:
    """Fill a row of the table of messages in.

    :param option: what QEMU names in front: ``-device arm-smmuv3,...``, or ``vm.cfg:12`` for a configuration
        file; empty for messages of the machine.
    :param values: what the row's placeholders stand for; ``lead`` is what QEMU puts in front of the whole
        line, such as ``can't apply global ...: ``.
    """
    from vsmmu.qemu.texts import MESSAGES  # most VMs need none

    row = MESSAGES[code]
    text = row.text.format(**values, device=device)
    line = f"{values.get('lead', '')}{row.prefix.format(**values)}{text}"
    return Failure(
        code=code,
        text=text,
        printed=line if phase == "hot-plug" else _printed(row, line, option),
        device=device,
        phase=phase,
        remedy=row.remedy.format(**values, device=device),
    )


def dated(code: str, *, old: bool) -> str:
    """The row with the words of QEMU 11.0 and before, where it is such an ``old`` one and has others."""
    from vsmmu.qemu.texts import MESSAGES  # most VMs need none

    before = f"{code}-11.0"
    return before if old and before in MESSAGES else code


def _printed(row: Message, line: str, option: str) -> str:
    """What QEMU writes to stderr (to a device_add it answers with the bare line instead)."""
    if row.aborts:
        return line
    # The line of a file (vm.cfg:3) follows at once; an option, or a bare word for a disk, behind a blank.
    blank = "" if option.rpartition(":")[2].isdecimal() and not option.startswith("-") else " "
    place = f"{blank}{option}:" if option else ""
    named = f"qemu-system-aarch64:{place} {line}"
    return f"{named}\n{row.hint}" if row.hint else named
