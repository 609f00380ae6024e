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

__all__ = [
    "FAULTS",
    "MACHINE",
    "SEVERITIES",
    "Change",
    "Diagnostic",
    "Edit",
    "Insertion",
    "Reordering",
    "Severity",
    "Written",
    "by_severity",
    "spelled",
]

#: The number that stands for the machine itself, whose options are its properties.
MACHINE: Final = -1

#: *error*: certainly no. *hazard*: it starts, and fails later. *unknown*: a fact or a name is missing.
#: *warning*: it works, and may surprise. *note*: nothing is wrong.
Severity = Literal["error", "hazard", "unknown", "warning", "note"]
#: The severities, worst first.
SEVERITIES: Final[tuple[Severity, ...]] = ("error", "hazard", "unknown", "warning", "note")
#: Those of what keeps, or may keep, a VM from working.
FAULTS: Final = SEVERITIES[:3]


#: A value as it is written.
Written = str | int | bool


def spelled(value: Written | None) -> str:
    """A value as ``key=value`` has it; empty for none."""
    if value is None:
        return ""
    return ("on" if value else "off") if isinstance(value, bool) else str(value)


class Edit(msgspec.Struct, frozen=True, tag_field="change", tag="set"):
    """A property of a device and the value to write; the device by its number in the order of creation.

    :param device: :data:`MACHINE` is the machine itself, with the options of ``-machine``.
    :param property: ``driver`` and ``id`` are among them.
    :param value: a switch and a number as such, because JSON tells them from text; None takes the property
        out.
    """

    device: int
    property: str
    value: Written | None


class Insertion(msgspec.Struct, frozen=True, tag_field="change", tag="insert"):
    """A new device, object or NUMA option.

    :param settings: ``driver`` (``qom-type`` of an object, ``type`` of a NUMA option) and ``id`` included, in
        the order of writing.
    :param before: number of the device in front of which it is made, in that device's form.
    """

    option: Literal["device", "object", "numa"]
    settings: dict[str, Written]
    before: int


class Reordering(msgspec.Struct, frozen=True, tag_field="change", tag="move"):
    """A device that is made right behind another one.

    :param behind: number of that device; -1 is in front of all devices of its form.
    """

    device: int
    behind: int


#: What can be done to a VM as it is written.
Change = Edit | Insertion | Reordering


class Diagnostic(msgspec.Struct, frozen=True):
    """What is wrong, and what to do about it.

    :param code: short, lower case, dashed and stable, such as ``facts-unknown``; scripts match on it.
    :param what: one sentence without a full stop.
    :param where: file, line, device or argument; empty where there is no better place than *what*.
    :param why: the rule, the limit, the consequence, or QEMU's or the kernel's own words; may be empty.
    :param next: what the user can do about it: a command or an edit.
    :param needs: facts that would settle it, as :mod:`vsmmu.smmuv3.fields` and the facts call them.
    :param fix: the one certain change that mends it; empty if there is none, or more than one.
    """

    code: str
    what: str
    where: str = ""
    why: str = ""
    next: str = ""
    severity: Severity = "error"
    needs: tuple[str, ...] = ()
    fix: tuple[Change, ...] = ()

    def __str__(self) -> str:
        """The diagnosis on one line, the remedy (if there is one) on a second."""
        place = f"{self.where}: " if self.where else ""
        reason = f": {self.why}" if self.why else ""
        line = f"{place}{self.what}{reason} [{self.code}]"
        return f"{line}\n  next: {self.next}" if self.next else line


def by_severity(diagnostics: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    """The same, worst first; those of one severity stay in their order."""
    return tuple(sorted(diagnostics, key=lambda entry: SEVERITIES.index(entry.severity)))
