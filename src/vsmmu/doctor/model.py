# SPDX-License-Identifier: Apache-2.0
"""The doctor's answer: one line a check, each with a remedy where one is needed."""

from __future__ import annotations

from typing import Final, Literal, Self

import msgspec

from vsmmu.diagnostic import Diagnostic, Severity

__all__ = ["SCHEMA", "Check", "Diagnosis", "Status", "diagnosis_of"]

SCHEMA: Final = "vsmmu.doctor/1"
Status = Literal["PASS", "WARN", "FAIL", "SKIP"]
_SEVERITIES: Final[dict[Status, Severity]] = {"WARN": "warning", "FAIL": "error", "SKIP": "unknown"}


class Check(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing that was looked at.

    ``id`` is stable; ``status`` is FAIL if an accelerated vSMMU cannot work like this, WARN if it works less
    well or not for everybody, SKIP if it could not be found out; then there is a diagnosis, with what to
    do about it. ``detail`` is what was seen.
    """

    id: str
    title: str
    status: Status
    detail: str = ""
    diagnostics: tuple[Diagnostic, ...] = ()

    @classmethod
    def found(cls, id: str, title: str, status: Status, detail: str, next: str) -> Self:
        """A check that has not passed; the diagnosis's code is ``doctor-`` and the check's id."""
        diagnosis = Diagnostic(f"doctor-{id}", detail, title, next=next, severity=_SEVERITIES[status])
        return cls(id, title, status, detail, (diagnosis,))


class Diagnosis(msgspec.Struct, frozen=True, kw_only=True):
    """All checks, in the order in which one would mend what fails."""

    schema: str = SCHEMA
    ready: bool
    checks: tuple[Check, ...]


def diagnosis_of(checks: tuple[Check, ...]) -> Diagnosis:
    """The document; ready unless a check fails."""
    return Diagnosis(ready=all(check.status != "FAIL" for check in checks), checks=checks)
