# SPDX-License-Identifier: Apache-2.0
"""The JSON documents of the verbs: one struct a document, from which the JSON Schemas are made."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from vsmmu.diagnostic import Diagnostic, spelled
from vsmmu.policy.result import Resolution, ResolutionSummary
from vsmmu.qemu.outcome import Answer, Verdict

if TYPE_CHECKING:
    from vsmmu.errors import VsmmuError
    from vsmmu.machine.model import Machine
    from vsmmu.mend.mending import Mending

__all__ = [
    "ErrorDocument",
    "MendingDocument",
    "ResolutionDocument",
    "VerdictDocument",
    "error_document",
    "mending_document",
    "resolution_document",
    "verdict_document",
]


class ErrorDocument(Diagnostic, frozen=True, kw_only=True, tag_field="schema", tag="vsmmu.error/1"):
    """``vsmmu.error/1``: what went wrong, instead of the document that was asked for."""

    exit_status: int


class WrittenValue(msgspec.Struct, frozen=True):
    """One change to the configuration."""

    device: str
    property: str
    value: str


class ResolutionDocument(
    ResolutionSummary, frozen=True, kw_only=True, tag_field="schema", tag="vsmmu.resolution/1"
):
    """``vsmmu.resolution/1``: the answer of ``resolve`` and ``explain``.

    ``command_line`` is the edited one, word by word, ``domain`` the edited libvirt domain; both are null if
    there are diagnostics, else one is there. ``answer`` is the model's verdict on it.
    """

    answer: Answer | None
    command_line: list[str] | None
    domain: str | None
    written: list[WrittenValue]


class VerdictDocument(Verdict, frozen=True, kw_only=True, tag_field="schema", tag="vsmmu.verdict/1"):
    """``vsmmu.verdict/1``: the answer of ``check``.

    ``startable`` is what the exit status says: QEMU certainly starts, and nothing is known to fail later.
    The diagnostics are the model's, and of a domain also what the rules for libvirt found; an error among
    them means a no.
    """

    host: str
    startable: bool


class MendingDocument(msgspec.Struct, frozen=True, kw_only=True, tag_field="schema", tag="vsmmu.fix/1"):
    """``vsmmu.fix/1``: the answer of ``fix``.

    ``mended`` are the diagnoses of what is gone, each with its ``fix``, in order; ``left`` those of what is
    still there. ``command_line`` or ``domain`` is the VM with the changes; both are null if QEMU or libvirt
    would refuse it. ``answer`` is the model's verdict on it.
    """

    host: str
    qemu: str
    machine_type: str
    answer: Answer
    startable: bool
    mended: list[Diagnostic]
    left: list[Diagnostic]
    notes: list[str]
    command_line: list[str] | None
    domain: str | None


def error_document(error: VsmmuError) -> ErrorDocument:
    """An error as a document."""
    return ErrorDocument(**msgspec.structs.asdict(error.diagnostic), exit_status=error.exit_status)


def resolution_document(resolution: Resolution, machine: Machine) -> ResolutionDocument:
    """A resolution as a document, with the edited VM if there is one."""
    names = {device.number: device.name for device in machine.devices}
    line = None if resolution.vm is None else resolution.vm.command_line
    domain = None if resolution.vm is None else resolution.vm.domain
    return ResolutionDocument(
        **{name: getattr(resolution, name) for name in ResolutionSummary.__struct_fields__},
        answer=resolution.verdict.answer if resolution.verdict else None,
        command_line=None if line is None else list(line.words),
        domain=None if domain is None else domain.text(),
        written=[
            WrittenValue(names[edit.device], edit.property, spelled(edit.value)) for edit in resolution.edits
        ],
    )


def mending_document(mending: Mending, host: str, *, startable: bool) -> MendingDocument:
    """A mended VM as a document."""
    verdict, refused = mending.verdict, mending.verdict.answer == "refused"
    line = None if refused else mending.vm.command_line
    domain = None if refused else mending.vm.domain
    return MendingDocument(
        host=host,
        qemu=verdict.qemu,
        machine_type=verdict.machine_type,
        answer=verdict.answer,
        startable=startable,
        mended=[step.found for step in mending.applied],
        left=list(mending.left),
        notes=list(mending.notes),
        command_line=None if line is None else list(line.words),
        domain=None if domain is None else domain.text(),
    )


def verdict_document(verdict: Verdict, host: str, *, startable: bool) -> VerdictDocument:
    """A verdict as a document."""
    return VerdictDocument(**msgspec.structs.asdict(verdict), host=host, startable=startable)
