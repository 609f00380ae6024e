# SPDX-License-Identifier: Apache-2.0
"""One run of the modelled QEMU: its phase, trace and findings, and the ways to note a refusal or a fault."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NoReturn

from vsmmu.qemu.findings import Findings, Refused
from vsmmu.qemu.naming import doubt_of, remedy_of
from vsmmu.qemu.outcome import Failure, TraceStep, failure

if TYPE_CHECKING:
    from vsmmu.qemu.message import Phase
    from vsmmu.qemu.names import NameFault
    from vsmmu.qemu.versions import MachineType, Qemu

__all__ = ["Run"]

#: Stands for the line number in an assertion of a QEMU whose sources were not looked at.
_ANY_LINE: Final = "N"


class Run:
    """What every phase of a run has.

    :ivar trace: what happened, as far as QEMU would get.
    """

    def __init__(self, qemu: Qemu) -> None:
        self.qemu = qemu
        self.machine_type: MachineType | None = None
        self.trace: list[TraceStep] = []
        self._findings = Findings()
        self._phase: Phase = "machine"

    @property
    def failure(self) -> Failure | None:
        """The first refusal: the one that QEMU prints; None if there is none."""
        return self._findings.refusals[0] if self._findings.refusals else None

    def _machine_version(self) -> tuple[int, int]:
        return self.machine_type.version if self.machine_type else self.qemu.version

    def _refuse(self, code: str, device: str, option: str, **values: object) -> Failure:
        """Note a refusal, and go on as if it were mended; a hot-plug ends with it.

        :raise Refused: in a hot-plug.
        """
        from vsmmu.qemu.texts import MESSAGES  # most VMs need none

        values.setdefault("qemu", self.qemu)
        values.setdefault("line", MESSAGES[code].line if self.qemu.lines_known else _ANY_LINE)
        failed = failure(code, device, option, self._phase, **values)
        self._findings.refuse(failed)
        return failed

    def _stop(self, code: str, device: str, option: str, **values: object) -> NoReturn:
        """Note a refusal after which nothing of this device can be judged.

        :raise Refused: always.
        """
        raise Refused(self._refuse(code, device, option, **values))

    def _note(self, device: str, event: str) -> None:
        """Add to the trace, which ends where QEMU does: at the first refusal of a start."""
        if self.failure is None or self._findings.stops:
            self.trace.append(TraceStep(self._phase, device, event))

    def _fault(self, fault: NameFault, device: str, option: str) -> None:
        """Note a fault: a refusal if it is certain, else (and of a draft's name) a doubt."""
        if fault.certain and fault.code != "draft-name":
            self._refuse(fault.code, device, option, text=fault.text, remedy=remedy_of(fault))
        else:
            self._findings.note(doubt_of(fault, device, str(self.qemu)))
