# SPDX-License-Identifier: Apache-2.0
"""Resolution of a libvirt domain: libvirt's own rules beside QEMU's.

libvirt has no ``auto``: a value that is left to QEMU is an absent attribute. Whether the domain that comes
out means the same as the resolution is held against the model once more, because what is absent is QEMU's
default and not always ``auto``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from vsmmu.diagnostic import Diagnostic
from vsmmu.libvirt.lint import lint, misspelt
from vsmmu.libvirt.wording import in_libvirts_words
from vsmmu.qemu.doubts import fork_domain
from vsmmu.qemu.process import start
from vsmmu.smmuv3.properties import AUTO_SINCE, REGISTER_PROPERTIES
from vsmmu.versions import spell_version

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from vsmmu.host.facts import Host
    from vsmmu.machine.domain.document import DomainXml
    from vsmmu.machine.domain.reader import DomainReading
    from vsmmu.machine.topology import Topology
    from vsmmu.policy.options import Options
    from vsmmu.policy.result import Resolution
    from vsmmu.qemu.outcome import Verdict
    from vsmmu.qemu.versions import Qemu

__all__ = ["as_libvirt_defines", "corrections"]


def as_libvirt_defines(
    domain: DomainXml, resolution: Resolution, host: Host, qemu: Qemu, options: Options, topology: Topology
) -> Resolution:
    """The resolution of a domain, with what libvirt would refuse or drop among its problems, first.

    :param topology: of the domain's machine; values of vSMMUs do not change it.
    """
    foreign = tuple(fork_domain(qemu, "error"))
    if foreign:
        return msgspec.structs.replace(resolution, problems=foreign, edits=())
    reading = domain.reading
    # Where accel is off, an absent attribute says it; a value would need accel='on'.
    edits = tuple(edit for edit in resolution.edits if _is_accelerated(reading, edit.device))
    written = domain.reading_after(edits)
    findings = lint(written, options.libvirt, qemu.features)
    problems = [finding for finding in findings if finding.severity == "error"]
    problems += in_libvirts_words(resolution.problems, written, findings)
    if not problems and resolution.verdict is not None:
        final = start(options.complete(written.machine), host, qemu, options.functions, topology)
        problems += _differences(resolution.verdict, final)
        problems += (entry for entry in final.diagnostics if entry.code == "qemu-default-unknown")
    notes = (*corrections(reading), *resolution.notes, *_warnings(findings))
    return msgspec.structs.replace(resolution, problems=tuple(problems), notes=notes, edits=edits)


def _is_accelerated(reading: DomainReading, device: int) -> bool:
    return device not in reading.pluggable or reading.pluggable[device].accelerated


def _differences(meant: Verdict, final: Verdict) -> Iterator[Diagnostic]:
    """Where the domain as written would not get the values that were resolved."""
    values = {outcome.device: outcome.values for outcome in final.vsmmus}
    for outcome in meant.vsmmus:
        for name in (entry.name for entry in REGISTER_PROPERTIES):
            value = outcome.values.get(name, "")
            got = values.get(outcome.device, {}).get(name, "")
            if got != value:
                yield Diagnostic(
                    "auto-inexpressible",
                    f"{name} of {outcome.device} has to be left to QEMU's auto, and libvirt cannot say so",
                    why=f"left out, it is the default of {meant.machine_type}: {got or 'unknown'}",
                    next=f"use machine virt-{spell_version(AUTO_SINCE)} or later, where auto is the default",
                )


def corrections(reading: DomainReading) -> Iterator[str]:
    """What to tell about corrected spellings, which nobody else would ever mention."""
    for finding in misspelt(reading):
        yield f"corrected at {finding.where}: {finding.what}; {finding.why}"


def _warnings(findings: Iterable[Diagnostic]) -> Iterator[str]:
    for finding in findings:
        if finding.severity == "warning":
            yield f"{finding.where}: {finding.what}; {finding.why}: {finding.next}"
