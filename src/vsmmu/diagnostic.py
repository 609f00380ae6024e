# SPDX-License-Identifier: Apache-2.0
"""One diagnosis, whoever makes it: a stable code, its severity, what, where, why, what next, and the fix.

The error tree, the model's verdicts, resolutions, the lint of domains, the doctor's checks, refusals of a
probe, drift and hot-plug all carry it, and it is the one form that a diagnosis has in JSON.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["SEVERITIES", "Diagnostic", "Edit", "Severity", "by_severity"]

#: *error*: certainly no. *hazard*: it starts, and fails later. *unknown*: a fact or a name is missing.
#: *warning*: it works, and may surprise. *note*: nothing is wrong.
Severity = Literal["error", "hazard", "unknown", "warning", "note"]
#: The severities, worst first.
SEVERITIES: Final[tuple[Severity, ...]] = ("error", "hazard", "unknown", "warning", "note")


class Edit(msgspec.Struct, frozen=True):
    """A property of a device and the value to write; the device by its number in the order of creation."""

    device: int
    property: str
    value: str


class Diagnostic(msgspec.Struct, frozen=True):
    """What is wrong, and what to do about it.

    :param code: short, lower case, dashed and stable, such as ``facts-unknown``; scripts match on it.
    :param what: one sentence without a full stop.
    :param where: file, line, device or argument; empty where there is no better place than *what*.
    :param why: the rule, the limit, the consequence, or QEMU's or the kernel's own words; may be empty.
    :param next: what the user can do about it: a command or an edit.
    :param needs: facts that would settle it, as :mod:`vsmmu.smmuv3.fields` and the facts call them.
    :param fix: what mends it for certain; empty if nothing is known to.
    """

    code: str
    what: str
    where: str = ""
    why: str = ""
    next: str = ""
    severity: Severity = "error"
    needs: tuple[str, ...] = ()
    fix: tuple[Edit, ...] = ()

    def __str__(self) -> str:
        """The diagnosis on one line, the remedy (if there is one) on a second."""
        place = f"{self.where}: " if self.where else ""
        reason = f": {self.why}" if self.why else ""
        line = f"{place}{self.what}{reason} [{self.code}]"
        return f"{line}\n  next: {self.next}" if self.next else line


def by_severity(diagnostics: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    """The same, worst first; those of one severity stay in their order."""
    return tuple(sorted(diagnostics, key=lambda entry: SEVERITIES.index(entry.severity)))
