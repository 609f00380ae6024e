# SPDX-License-Identifier: Apache-2.0
"""Sentences about a mended fault: its reason, and what was changed."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from vsmmu.diagnostic import MACHINE, Insertion, Reordering, spelled
from vsmmu.machine.model import INITIATOR

if TYPE_CHECKING:
    from vsmmu.diagnostic import Change, Diagnostic
    from vsmmu.machine.model import Machine
    from vsmmu.mend.mending import Mended

__all__ = ["changes_of", "reason_of", "spell_step"]


def spell_step(step: Mended) -> str:
    """A mended fault on one line: where, why, its code, and what was changed."""
    place = f"{step.found.where}: " if step.found.where else ""
    reason = reason_of(step.found, step.base.machine())
    return f"{place}{reason} [{step.found.code}]: {changes_of(step)}"


def reason_of(found: Diagnostic, machine: Machine) -> str:
    """Why a fault is one, on one line: QEMU's sentence without the option before it, or what is wrong."""
    if not found.code.startswith("qemu-"):
        return found.what
    text = found.why
    named = machine.device(found.where) if found.where else None
    for device in machine.devices if named is None else (named,):
        text = text.replace(f"{device.origin.option}: ", "")
    return text.partition("\n")[0].removeprefix("qemu-system-aarch64: ") or found.what


def changes_of(step: Mended) -> str:
    """What was changed, on one line."""
    machine = step.base.machine()
    done = Counter(_change(change, machine) for change in step.found.fix)
    texts = (f"{count} times {text}" if count > 1 else text for text, count in done.items())
    return ", ".join(texts) or step.found.why


def _change(change: Change, machine: Machine) -> str:
    if isinstance(change, Insertion):
        settings = change.settings
        if change.option == "numa":
            return "a NUMA node added" if settings["type"] == "node" else "a distance of NUMA nodes added"
        kind = settings.get("driver", settings.get("qom-type", ""))
        return f"{kind} added" if kind == INITIATOR else f"{kind} {settings.get('id', '')} added".strip()
    name = "the machine" if change.device == MACHINE else machine.devices[change.device].name
    if isinstance(change, Reordering):
        behind = "in front" if change.behind < 0 else f"behind {machine.devices[change.behind].name}"
        return f"{name} moved {behind}"
    if change.value is None:
        return f"{change.property} of {name} removed"
    return f"{change.property}={spelled(change.value)} on {name}"
