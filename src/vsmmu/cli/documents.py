# SPDX-License-Identifier: Apache-2.0
"""The JSON documents of the verbs: one struct a document, from which the JSON Schemas are made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from vsmmu.diagnostic import Diagnostic
from vsmmu.machine.domain.lint_rules import Finding
from vsmmu.policy.result import Resolution, VsmmuResolution
from vsmmu.qemu.outcome import Doubt, Failure, Hazard, Step, Verdict, VsmmuOutcome

if TYPE_CHECKING:
    from vsmmu.errors import VsmmuError
    from vsmmu.machine.model import Machine

__all__ = [
    "ErrorDocument",
    "ResolutionDocument",
    "VerdictDocument",
    "error_document",
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


class ResolutionDocument(msgspec.Struct, frozen=True):
    """``vsmmu.resolution/1``: the answer of ``resolve`` and ``explain``.

    ``command_line`` is the edited one, word by word, ``domain`` the edited libvirt domain; both are null if
    there are problems, else one is there. ``answer`` is the model's verdict on it.
    """

    schema: Literal["vsmmu.resolution/1"]
    host: str
    qemu: str
    machine_type: str
    policy: Literal["common", "qemu"]
    answer: Literal["starts", "refused", "unknown"] | None
    command_line: list[str] | None
    domain: str | None
    written: list[WrittenValue]
    vsmmus: tuple[VsmmuResolution, ...]
    problems: tuple[Diagnostic, ...]
    notes: tuple[str, ...]


class VerdictDocument(msgspec.Struct, frozen=True):
    """``vsmmu.verdict/1``: the answer of ``check``.

    ``startable`` is what the exit status says: QEMU certainly starts, and nothing is known to fail later.
    ``findings`` are what the rules for libvirt domains found; an error among them means a no.
    """

    schema: Literal["vsmmu.verdict/1"]
    host: str
    qemu: str
    machine_type: str
    startable: bool
    answer: Literal["starts", "refused", "unknown"]
    failure: Failure | None
    doubts: tuple[Doubt, ...]
    hazards: tuple[Hazard, ...]
    vsmmus: tuple[VsmmuOutcome, ...]
    trace: tuple[Step, ...]
    findings: tuple[Finding, ...] = ()


def error_document(error: VsmmuError) -> ErrorDocument:
    """An error as a document."""
    return ErrorDocument(**msgspec.structs.asdict(error.diagnostic), exit_status=error.exit_status)


def resolution_document(resolution: Resolution, machine: Machine) -> ResolutionDocument:
    """A resolution as a document, with the edited VM if there is one."""
    names = {device.number: device.name for device in machine.devices}
    line = None if resolution.vm is None else resolution.vm.command_line
    domain = None if resolution.vm is None else resolution.vm.domain
    return ResolutionDocument(
        schema="vsmmu.resolution/1",
        host=resolution.host,
        qemu=resolution.qemu,
        machine_type=resolution.machine_type,
        policy=resolution.policy,
        answer=resolution.verdict.answer if resolution.verdict else None,
        command_line=None if line is None else list(line.words),
        domain=None if domain is None else domain.text(),
        written=[WrittenValue(names[edit.device], edit.property, edit.value) for edit in resolution.edits],
        vsmmus=resolution.vsmmus,
        problems=resolution.problems,
        notes=resolution.notes,
    )


def verdict_document(
    verdict: Verdict, host: str, *, startable: bool, findings: tuple[Finding, ...] = ()
) -> VerdictDocument:
    """A verdict as a document."""
    return VerdictDocument(
        schema="vsmmu.verdict/1",
        host=host,
        qemu=verdict.qemu,
        machine_type=verdict.machine_type,
        startable=startable,
        answer=verdict.answer,
        failure=verdict.failure,
        doubts=verdict.doubts,
        hazards=verdict.hazards,
        vsmmus=verdict.vsmmus,
        trace=verdict.trace,
        findings=findings,
    )
