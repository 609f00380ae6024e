# SPDX-License-Identifier: Apache-2.0
"""Compare a running VM with its configuration and its host; differences are drift."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from vsmmu.diagnostic import Diagnostic
from vsmmu.qemu.compat import BASE, compare
from vsmmu.qemu.outcome import Answer
from vsmmu.qemu.texts import MESSAGES
from vsmmu.qemu.versions import newer_than_known
from vsmmu.smmuv3.fields import REGISTERS
from vsmmu.smmuv3.interval import Interval, exactly, meet
from vsmmu.smmuv3.properties import AUTO, REGISTER_PROPERTIES, Property

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from vsmmu.host.evidence import Reading
    from vsmmu.host.facts import Host, HostSmmu
    from vsmmu.monitor.introspection import Running, RunningEndpoint, RunningVsmmu
    from vsmmu.qemu.versions import Qemu

__all__ = [
    "HotPlug",
    "InspectedEndpoint",
    "InspectedProperty",
    "InspectedVsmmu",
    "Inspection",
    "frozen_of",
    "inspect",
]


class InspectedProperty(msgspec.Struct, frozen=True):
    """One property.

    :param configured: as QEMU answers for it: ``auto``, or a value; empty if this QEMU does not have it.
    :param guest: what the guest's register says.
    :param host: what the SMMUs behind offer together; empty if there is none or it is not known.
    :param pin: what to write for the same guest elsewhere; empty if no value says that.
    """

    name: str
    configured: str
    guest: str
    host: str
    pin: str


class InspectedEndpoint(msgspec.Struct, frozen=True):
    """One endpoint; ``function`` and ``smmu`` are empty where they are not known."""

    device: str
    function: str
    smmu: str


class InspectedVsmmu(msgspec.Struct, frozen=True):
    """One vSMMU of the running VM.

    ``diagnostics`` are its drift: *configured* (the guest sees another value), *host* (QEMU would refuse this
    function now) and *auto* (another value would come out now).
    """

    device: str
    primary_bus: str
    accel: bool
    registers: dict[str, str]
    properties: tuple[InspectedProperty, ...]
    endpoints: tuple[InspectedEndpoint, ...]
    diagnostics: tuple[Diagnostic, ...]
    notes: tuple[str, ...]


class HotPlug(msgspec.Struct, frozen=True):
    """What ``device_add`` of a function would do.

    :param answer: *starts* means admitted.
    :param diagnostics: why it would be refused, or what is not known.
    :param command: the arguments of ``device_add``.
    """

    function: str
    vsmmu: str
    bus: str
    answer: Answer
    diagnostics: tuple[Diagnostic, ...]
    command: dict[str, str]
    notes: tuple[str, ...]


class Inspection(msgspec.Struct, frozen=True, tag_field="schema", tag="vsmmu.inspection/1"):
    """``vsmmu.inspection/1``: a VM as it runs. ``drift`` says whether any vSMMU has some."""

    source: str
    qemu: str
    status: str
    host: str
    drift: bool
    vsmmus: tuple[InspectedVsmmu, ...]
    hotplug: HotPlug | None


def inspect(running: Running, host: Host, qemu: Qemu, source: str) -> Inspection:
    """Compare every vSMMU.

    :param source: what was inspected, for the answer.
    """
    vsmmus = tuple(_inspect(vsmmu, running.behind(vsmmu), host, qemu) for vsmmu in running.vsmmus)
    drift = any(vsmmu.diagnostics for vsmmu in vsmmus)
    return Inspection(source, running.version, running.status, host.name, drift, vsmmus, None)


def frozen_of(vsmmu: RunningVsmmu) -> dict[str, Interval]:
    """The vSMMU's values as QEMU holds them now: codes by property."""
    return {entry.name: exactly(vsmmu.registers.get(entry.source)) for entry in REGISTER_PROPERTIES}


def _inspect(
    vsmmu: RunningVsmmu, behind: Sequence[RunningEndpoint], host: Host, qemu: Qemu
) -> InspectedVsmmu:
    endpoints = tuple(_endpoint(entry, host) for entry in behind)
    names = dict.fromkeys(entry.smmu for entry in endpoints if entry.smmu)
    smmus = [smmu for name in names if (smmu := host.smmu(name)) is not None]
    return InspectedVsmmu(
        device=vsmmu.name,
        primary_bus=vsmmu.bus_name,
        accel=vsmmu.accel,
        registers=vsmmu.registers.as_dict(),
        properties=tuple(_property(entry, vsmmu, smmus, host) for entry in REGISTER_PROPERTIES),
        endpoints=endpoints,
        diagnostics=tuple(_drift(vsmmu, smmus, host, qemu)),
        notes=tuple(_notes(vsmmu, endpoints, qemu)),
    )


def _endpoint(entry: RunningEndpoint, host: Host) -> InspectedEndpoint:
    function = host.function(entry.function) if entry.function else None
    return InspectedEndpoint(entry.name, entry.function, (function.smmu or "") if function else "")


def _property(
    entry: Property, vsmmu: RunningVsmmu, smmus: Sequence[HostSmmu], host: Host
) -> InspectedProperty:
    value = entry.from_code(vsmmu.registers.get(entry.source))
    pin = entry.spell(value) if value in entry.pinnable else ""
    return InspectedProperty(
        name=entry.name,
        configured=vsmmu.written.get(entry.name, ""),
        guest=entry.spell(value),
        host=_offered(entry, smmus, host),
        pin=pin,
    )


def _offered(entry: Property, smmus: Sequence[HostSmmu], host: Host) -> str:
    readings = [host.read_field(smmu, entry.source) for smmu in smmus]
    if not readings or any(reading.is_unknown for reading in readings):
        return ""
    return meet(reading.interval for reading in readings).spell(entry.spell_code)


def _drift(vsmmu: RunningVsmmu, smmus: Sequence[HostSmmu], host: Host, qemu: Qemu) -> Iterator[Diagnostic]:
    for entry in REGISTER_PROPERTIES:
        written = vsmmu.written.get(entry.name, AUTO)
        guest = entry.spell(entry.from_code(vsmmu.registers.get(entry.source)))
        if written not in (AUTO, guest):
            yield Diagnostic(
                "configured",
                f"configured as {written}, and the guest sees {guest}",
                where=entry.name,
                next="write what the guest has: vsmmu inspect --pin prints it",
                severity="warning",
            )
    if not vsmmu.accel:
        return
    for smmu in smmus:
        yield from _host_drift(vsmmu, smmu, host, qemu)
    if len(smmus) == 1:
        yield from _auto_drift(vsmmu, smmus[0], host)


def _host_drift(vsmmu: RunningVsmmu, smmu: HostSmmu, host: Host, qemu: Qemu) -> Iterator[Diagnostic]:
    for mismatch in compare(_reader(smmu, host), frozen_of(vsmmu), qemu):
        if mismatch.certain:
            text = MESSAGES[mismatch.check.message].text
            said = text.format(host=mismatch.host, guest=mismatch.guest)
            yield Diagnostic(
                "host",
                "QEMU would not admit it to this vSMMU now",
                where=smmu.name,
                why=said,
                next="before the next start, resolve anew (vsmmu resolve); until then plug nothing behind it",
                severity="warning",
            )


def _auto_drift(vsmmu: RunningVsmmu, smmu: HostSmmu, host: Host) -> Iterator[Diagnostic]:
    for entry in REGISTER_PROPERTIES:
        code = vsmmu.registers.get(entry.source)
        offered = host.read_field(smmu, entry.source).exact
        if vsmmu.written.get(entry.name) == AUTO and offered is not None and offered != code:
            now, then = entry.spell(entry.from_code(offered)), entry.spell(entry.from_code(code))
            yield Diagnostic(
                "auto",
                f"auto came out as {then}, and would as {now} at the next start",
                where=entry.name,
                next="pin the value, so that the guest stays the same: vsmmu inspect --pin",
                severity="warning",
            )


def _reader(smmu: HostSmmu, host: Host) -> Callable[[str], Reading]:
    return lambda key: host.read_field(smmu, key)


def _notes(vsmmu: RunningVsmmu, endpoints: Sequence[InspectedEndpoint], qemu: Qemu) -> Iterator[str]:
    if not qemu.modelled:
        yield newer_than_known(qemu)
    for entry in endpoints:
        if not entry.function:
            name = entry.device
            yield f"{name} came by descriptor: --function {name}=BDF says which function it is"
        elif not entry.smmu:
            yield f"the host's facts do not say which SMMU {entry.function} sits behind"
    for name in REGISTERS:
        others = vsmmu.registers.word(name) ^ BASE.word(name)
        for known in REGISTER_PROPERTIES:
            if known.source_field.register == name:
                others &= ~known.source_field.mask
        if others:
            yield f"{name} differs from QEMU 11.1.3 in the bits {others:#010x}"
