# SPDX-License-Identifier: Apache-2.0
"""A resolution as data: each value with its action, rule, reason and sources."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from vsmmu.diagnostic import Diagnostic, Edit
from vsmmu.errors import Negative
from vsmmu.host.evidence import Evidence
from vsmmu.machine.vm import Vm
from vsmmu.policy.options import Policy
from vsmmu.qemu.outcome import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "Action",
    "Alternative",
    "PropertyResolution",
    "Resolution",
    "ResolutionSummary",
    "Source",
    "VsmmuResolution",
]

#: *kept*: the user wrote it. *pinned*: an explicit value is written. *deferred*: left to QEMU's auto.
#: *open*: it cannot be said, and the resolution as a whole is refused.
Action = Literal["kept", "pinned", "deferred", "open"]


class Source(msgspec.Struct, frozen=True, omit_defaults=True):
    """One host SMMU's contribution to a value.

    ``value`` is in the property's unit, a range (``44..56``) where only a bound is known, ``unknown``
    where nothing is; ``word`` is the whole register if it was read.
    """

    smmu: str
    field: str
    bits: str
    value: str
    evidence: Evidence
    word: str = ""
    functions: tuple[str, ...] = ()


class Alternative(msgspec.Struct, frozen=True, omit_defaults=True):
    """What would happen if the property had another value and everything else stayed."""

    value: str
    answer: Literal["starts", "refused", "unknown"]
    effect: str
    code: str = ""


class PropertyResolution(msgspec.Struct, frozen=True, omit_defaults=True):
    """One property of one vSMMU.

    :param value: in QEMU's spelling; ``auto`` where deferred, empty where open.
    :param rule: a stable word for the rule that chose it (see :mod:`vsmmu.policy.rules`).
    :param why: the rule applied, in a sentence.
    :param qemu_auto: what QEMU's own ``auto`` would take here; empty if it would not start or does not know.
    :param alternatives: filled in by :func:`vsmmu.policy.alternatives.with_alternatives` only.
    """

    name: str
    action: Action
    value: str
    rule: str
    why: str
    sources: tuple[Source, ...] = ()
    qemu_auto: str = ""
    alternatives: tuple[Alternative, ...] = ()


class VsmmuResolution(msgspec.Struct, frozen=True):
    """One accelerated vSMMU: what it serves and its properties in the order of the table."""

    device: str
    primary_bus: str
    host_smmus: tuple[str, ...]
    endpoints: tuple[str, ...]
    properties: tuple[PropertyResolution, ...]

    def __iter__(self) -> Iterator[PropertyResolution]:
        """Its properties, in the order of the table."""
        return iter(self.properties)

    def property(self, name: str) -> PropertyResolution:
        """The property called ``name``.

        :raise KeyError: if this QEMU has no such property.
        """
        for entry in self.properties:
            if entry.name == name:
                return entry
        raise KeyError(name)


class ResolutionSummary(msgspec.Struct, frozen=True, kw_only=True):
    """What a resolution says, apart from the edited VM.

    ``problems`` (in JSON ``diagnostics``) are why nothing may be written; ``notes`` are sentences for people.
    """

    host: str
    qemu: str
    machine_type: str
    policy: Policy
    vsmmus: tuple[VsmmuResolution, ...]
    problems: tuple[Diagnostic, ...] = msgspec.field(name="diagnostics")
    notes: tuple[str, ...]


class Resolution(ResolutionSummary, frozen=True, kw_only=True):
    """The answer for a whole VM.

    ``verdict`` is the model's on the edited VM (null if the edits could not be made out); ``edits`` is
    empty if nothing has to change; ``vm`` is the VM with its values, in the form in which it came, and None
    where there are problems.
    """

    edits: tuple[Edit, ...]
    verdict: Verdict | None
    vm: Vm | None = None

    def require(self) -> None:
        """Return only if the values may be written.

        :raise Negative: the first problem; how many more there are is said in its reason.
        """
        if not self.problems:
            return
        first, more = self.problems[0], len(self.problems) - 1
        if more:
            first = msgspec.structs.replace(first, why=f"{first.why}; {more} more: vsmmu explain shows all")
        raise Negative.of(first)

    def __getitem__(self, device: str) -> VsmmuResolution:
        """The values of the vSMMU called ``device``, as :meth:`vsmmu`."""
        return self.vsmmu(device)

    def vsmmu(self, device: str) -> VsmmuResolution:
        """The vSMMU called ``device``.

        :raise KeyError: if there is none.
        """
        for entry in self.vsmmus:
            if entry.device == device:
                return entry
        raise KeyError(device)
