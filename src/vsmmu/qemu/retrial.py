# SPDX-License-Identifier: Apache-2.0
"""A start in which one vSMMU at a time is made again with another value, and all else stays as it was.

What such a value can change is the vSMMU's own realization, the admission of the endpoints behind it, and
whether its ``auto`` is settled in the end. Nothing else is made again: the attempts of a VM cost as much as
it has vSMMUs, not the square of that.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from vsmmu.diagnostic import by_severity
from vsmmu.named_tuple import NamedTuple
from vsmmu.qemu.admission import Admission
from vsmmu.qemu.creation import Creation
from vsmmu.qemu.findings import Findings, Refused, key_of
from vsmmu.qemu.naming import device_faults
from vsmmu.qemu.state import Endpoint

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vsmmu.diagnostic import Diagnostic
    from vsmmu.host.facts import Host
    from vsmmu.machine.model import Device, Machine
    from vsmmu.qemu.outcome import Failure, VsmmuOutcome
    from vsmmu.qemu.state import Vsmmu
    from vsmmu.qemu.versions import Qemu

__all__ = ["Retrial", "Retried"]


class Retried(NamedTuple):
    """What became of one vSMMU.

    :param failure: its first refusal, else one of the rest of the VM; None if QEMU would start.
    :param doubts: about this vSMMU and what is behind it, in order.
    :param outcome: None if it was not made.
    """

    failure: Failure | None
    doubts: tuple[Diagnostic, ...]
    outcome: VsmmuOutcome | None


class Retrial(Creation):
    """A VM that was started once, and then is asked about other values of its vSMMUs."""

    def __init__(
        self, machine: Machine, host: Host, qemu: Qemu, functions: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(machine, host, qemu, functions)
        self.start()
        self._made = {vsmmu.device.number: (place, vsmmu) for place, vsmmu in enumerate(self.vsmmus)}
        # What no value of a vSMMU changes, and the first refusal of each vSMMU as it is.
        own = {device.number: self._attempt(device.number, {}).refusals for device in machine.vsmmus}
        known = {key_of(failed) for refusals in own.values() for failed in refusals}
        common = (failed for failed in self._findings.refusals if key_of(failed) not in known)
        first = next(common, None)
        self._elsewhere = [] if first is None else [(-1, first)]
        self._elsewhere += [(number, refusals[0]) for number, refusals in own.items() if refusals]

    def retry(self, device: Device, name: str, value: str) -> Retried:
        """The VM with another value of a vSMMU's property."""
        attempt = self._attempt(device.number, {name: value})
        failure = next(iter(attempt.refusals), None)
        if failure is None:
            failure = next((failed for other, failed in self._elsewhere if other != device.number), None)
        return Retried(failure, attempt.doubts, attempt.outcome)

    def _attempt(self, number: int, changed: Mapping[str, str]) -> _Attempt:
        place, made = self._made.get(number, (len(self.vsmmus), None))
        attempt = _Attempt(self, self.vsmmus[:place])
        attempt.run(number, changed, () if made is None else made.endpoints)
        return attempt


class _Attempt(Creation):
    """One vSMMU made again, in the VM as it was when this was made first."""

    def __init__(self, started: Creation, before: list[Vsmmu]) -> None:
        vars(self).update(vars(started))  # all that is known of the machine is the same
        doubtful = self._findings.doubtful
        self._findings = Findings()
        self._findings.doubtful = doubtful
        self._admission = Admission(self.host, self.qemu, self._findings)
        self._phase = "create"
        self._vsmmu_of, self.trace, self.vsmmus = {}, [], before
        self._before = len(before)

    def run(self, number: int, changed: Mapping[str, str], endpoints: Sequence[Endpoint]) -> None:
        """Make the vSMMU with this number, with these properties changed, and what is behind it."""
        device, written = (
            entry._replace(properties={**entry.properties, **changed})
            for entry in (self.machine.devices[number], self._written.devices[number])
        )
        with suppress(Refused):
            self._create_vsmmu(device, list(device_faults(written, self._written, self.qemu)))
        for vsmmu in self.vsmmus[self._before :]:
            for endpoint in endpoints:
                again = Endpoint(endpoint.device, endpoint.function, endpoint.smmu)
                self._admission.admit(vsmmu, again, self._phase)
                vsmmu.endpoints.append(again)
            if vsmmu.never_settled:
                self._phase = "machine-done"
                self._refuse("qemu-no-cold-plug", vsmmu.name, "")

    @property
    def refusals(self) -> list[Failure]:
        """All refusals of this vSMMU and what is behind it."""
        return self._findings.refusals

    @property
    def doubts(self) -> tuple[Diagnostic, ...]:
        """What is not known of them."""
        return tuple(entry for entry in by_severity(self._findings.noted()) if entry.severity == "unknown")

    @property
    def outcome(self) -> VsmmuOutcome | None:
        """The vSMMU after all."""
        made = self.vsmmus[self._before :]
        return made[0].outcome() if made else None
