# SPDX-License-Identifier: Apache-2.0
"""Resolve a VM: choose every value, edit a copy, and ask the model of QEMU whether that would start.

Only what is ``auto``, or absent where ``accel=on``, is resolved; what the user wrote stays and is checked.
Nothing is offered for writing that the model says would not start.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from vsmmu.diagnostic import Diagnostic, Edit
from vsmmu.machine.topology import Topology
from vsmmu.qemu.board import with_globals
from vsmmu.qemu.process import start
from vsmmu.qemu.settings import Setting, SettingsError, VsmmuSettings, read_settings
from vsmmu.qemu.versions import MachineType, Qemu, machine_type
from vsmmu.resolve.candidates import Served, Wishes, served_by
from vsmmu.resolve.result import Action, Policy, PropertyResolution, Resolution, VsmmuResolution
from vsmmu.resolve.rules import (
    Choice,
    ceiling_source,
    choose,
    choose_cmdqv,
    qemu_auto,
    read_sources,
)
from vsmmu.smmuv3.properties import AUTO, PROPERTIES, REGISTER_PROPERTIES, Property

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from vsmmu.host.facts import Host
    from vsmmu.machine.model import Device, Machine
    from vsmmu.qemu.outcome import Verdict

__all__ = ["apply_edits", "resolve"]


class _Vsmmu(NamedTuple):
    """One vSMMU at work: its settings, what it serves."""

    device: Device
    settings: VsmmuSettings
    served: Served


class _Context(NamedTuple):
    """What all steps share."""

    machine: Machine
    host: Host
    qemu: Qemu
    machine_type: MachineType
    policy: Policy
    wishes: Wishes


def resolve(
    machine: Machine, host: Host, qemu: Qemu, *, policy: Policy = "common", wishes: Wishes | None = None
) -> Resolution:
    """Resolve every vSMMU of ``machine`` on ``host``.

    :param policy: *common* takes what all functions behind a vSMMU can have, in any order; *qemu* takes
        what QEMU's own auto would, the first device's.
    :return: the answer with its problems; nothing is raised for a VM that cannot be resolved.
    :raise InputRefused: if the VM's buses contradict each other.
    """
    wishes = wishes or Wishes()
    # The newest machine type stands in for one that QEMU does not have; the model refuses it below.
    kind = machine_type(machine.machine_type or "virt", qemu) or MachineType(qemu.version, f"virt-{qemu}")
    context = _Context(machine, host, qemu, kind, policy, wishes)
    topology = Topology.of(with_globals(machine))
    problems: list[Diagnostic] = []
    resolved: list[VsmmuResolution] = []
    edits: list[Edit] = []
    for device in machine.vsmmus:
        try:
            settings = read_settings(device, machine, qemu, kind.version)
        except SettingsError:
            continue  # the model says what QEMU says
        if settings.accel:
            served = served_by(device, topology, host, wishes)
            problems += served.problems
            vsmmu = _Vsmmu(device, settings, served)
            resolved.append(_resolve_vsmmu(vsmmu, context, problems))
            problems += _unknown(vsmmu, resolved[-1].properties)
            edits += _edits(device, settings, resolved[-1].properties)
        else:
            edits += _software_edits(device, settings)
    problems += _check_wishes(machine, wishes)
    verdict = start(apply_edits(machine, edits), host, qemu, wishes.functions)
    problems += _problems_of(verdict, problems, wishes)
    return Resolution(
        host=host.name,
        qemu=str(qemu),
        machine_type=kind.name,
        policy=policy,
        vsmmus=tuple(resolved),
        problems=tuple(problems),
        notes=tuple(_notes(context, resolved, edits, verdict)),
        edits=tuple(edits),
        verdict=verdict,
    )


def apply_edits(machine: Machine, edits: Iterable[Edit]) -> Machine:
    """The VM as it is after ``edits``."""
    changed: dict[int, dict[str, str]] = {}
    for edit in edits:
        changed.setdefault(edit.device, {})[edit.property] = edit.value
    return machine._replace(
        devices=tuple(
            device._replace(properties={**device.properties, **changed[device.number]})
            if device.number in changed
            else device
            for device in machine.devices
        )
    )


def _resolve_vsmmu(vsmmu: _Vsmmu, context: _Context, problems: list[Diagnostic]) -> VsmmuResolution:
    device, settings, served = vsmmu
    properties = tuple(
        _resolve_property(PROPERTIES[name], setting, vsmmu, context, problems)
        for name, setting in sorted(settings.values.items(), key=lambda item: _ORDER[item[0]])
    )
    return VsmmuResolution(
        device=device.name,
        primary_bus=settings.primary_bus,
        host_smmus=tuple(smmu.name for smmu in served.smmus),
        endpoints=tuple(candidate.name for candidate in served.candidates),
        properties=properties,
    )


def _resolve_property(
    entry: Property, setting: Setting, vsmmu: _Vsmmu, context: _Context, problems: list[Diagnostic]
) -> PropertyResolution:
    host, served, most = context.host, vsmmu.served, _most(entry, context)

    def answer(action: Action, value: str, rule: str, why: str) -> PropertyResolution:
        sources, auto = read_sources(entry, served, host), qemu_auto(entry, served, host)
        if action != "open" and context.wishes.ceiling is not None and most is not None:
            sources += (ceiling_source(entry, context.wishes.ceiling, most),)
        return PropertyResolution(entry.name, action, value, rule, why, sources, auto)

    if setting.written != "default" and setting.value != AUTO:
        if most is not None and setting.value > most:
            problems.append(_exceeded(entry, setting.value, most, vsmmu))
        where = "-global" if setting.written == "global" else vsmmu.device.origin.place
        return answer("kept", entry.spell(setting.value), "user", f"written by the user ({where})")
    choice = _choose(entry, vsmmu, context)
    if choice.value is None:
        return answer("open", "", choice.rule, choice.why)
    if choice.value != AUTO:
        return answer("pinned", entry.spell(choice.value), choice.rule, choice.why)
    if not context.qemu.accepts_auto(entry.name):
        problems.append(_inexpressible(entry, choice, vsmmu, context.qemu))
        return answer("open", "", choice.rule, choice.why)
    return answer("deferred", AUTO, choice.rule, choice.why)


def _most(entry: Property, context: _Context) -> int | None:
    """What the baseline allows; None without one."""
    ceiling = context.wishes.ceiling
    return None if ceiling is None else ceiling.values.get(entry.name)


def _exceeded(entry: Property, value: int, most: int, vsmmu: _Vsmmu) -> Diagnostic:
    written, allowed = f"{entry.name}={entry.spell(value)}", f"{entry.name}={entry.spell(most)}"
    return Diagnostic(
        "baseline-exceeded",
        f"{vsmmu.device.name} has {written}, the baseline allows {allowed}",
        where=vsmmu.device.origin.place,
        why="some hosts of the baseline would refuse this VM",
        next=f"write {allowed}, or leave {entry.name} out and let it be resolved",
    )


def _choose(entry: Property, vsmmu: _Vsmmu, context: _Context) -> Choice:
    host, served, wishes, most = context.host, vsmmu.served, context.wishes, _most(entry, context)
    safe = wishes.assume_safe

    def ask(part: Served) -> Choice:
        if not entry.source:
            return choose_cmdqv(part, host, pin=wishes.pin_cmdqv, assume_safe=safe, most=most)
        return choose(entry, part, host, context.qemu, context.policy, assume_safe=safe, most=most)

    if served.candidates or len(served.smmus) < 2:
        return ask(served)
    # Nothing says which host SMMU the functions to come sit behind: it must not matter.
    each = [ask(served._replace(smmus=(smmu,))) for smmu in served.smmus]
    if len({choice.value for choice in each}) == 1:
        return each[0]
    why = f"the {len(served.smmus)} host SMMUs differ, and no endpoint says which one this vSMMU serves"
    return Choice(None, "smmu-unnamed", why)


def _edits(
    device: Device, settings: VsmmuSettings, properties: Iterable[PropertyResolution]
) -> Iterable[Edit]:
    for entry in properties:
        held = settings.values[entry.name]
        if entry.action == "pinned" or (entry.action == "deferred" and held.value != AUTO):
            yield Edit(device.number, entry.name, entry.value)


def _software_edits(device: Device, settings: VsmmuSettings) -> Iterable[Edit]:
    """What ``auto`` means where accel=off, so that QEMU 11.0, which knows no auto, starts all the same."""
    for entry in REGISTER_PROPERTIES:
        setting = settings.values.get(entry.name)
        if setting is not None and setting.value == AUTO and setting.written == "device":
            yield Edit(device.number, entry.name, entry.spell(entry.software))


def _unknown(vsmmu: _Vsmmu, properties: Iterable[PropertyResolution]) -> Iterable[Diagnostic]:
    """One problem for all properties that stay open for the same kind of reason."""
    for rule, (code, next_step) in _OPEN.items():
        found = [entry for entry in properties if entry.action == "open" and entry.rule == rule]
        if found and vsmmu.served.smmus:
            names = [entry.name for entry in found]
            safe = ", ".join(f"{name}={PROPERTIES[name].spell(PROPERTIES[name].safe)}" for name in names)
            yield Diagnostic(
                code,
                f"{', '.join(names)} of {vsmmu.device.name} cannot be resolved",
                where=vsmmu.device.origin.place,
                why=_reasons(rule, found),
                next=next_step.format(safe=safe),
            )


def _reasons(rule: str, properties: Iterable[PropertyResolution]) -> str:
    """Why several properties stay open, each reason once: their evidence often is the same."""
    if rule != "unknown":
        return "; ".join(dict.fromkeys(entry.why for entry in properties))
    fields: dict[str, list[str]] = {}
    for entry in properties:
        for source in entry.sources:
            evidence = source.evidence
            keys = fields.setdefault(evidence.detail or evidence.source, [])
            if source.field not in keys:
                keys.append(source.field)
    return "; ".join(f"{', '.join(keys)} not known ({reason})" for reason, keys in fields.items())


def _inexpressible(entry: Property, choice: Choice, vsmmu: _Vsmmu, qemu: Qemu) -> Diagnostic:
    return Diagnostic(
        f"{entry.name}-inexpressible",
        f"{entry.name} of {vsmmu.device.name} cannot be written, and QEMU {qemu} has no auto",
        where=vsmmu.device.origin.place,
        why=choice.why,
        next="use QEMU 11.1 or later: its auto takes the host's own value over",
    )


def _check_wishes(machine: Machine, wishes: Wishes) -> Iterable[Diagnostic]:
    """Names that the caller gives must exist: a misspelt one would silently change the answer."""
    vsmmus = {device.name for device in machine.vsmmus} | {""}
    devices = {device.name for device in machine.devices}
    for option, given, known in (
        ("--smmu", wishes.smmu, vsmmus),
        ("--also", wishes.also, vsmmus),
        ("--function", wishes.functions, devices),
    ):
        for name in given:
            if name not in known:
                yield Diagnostic(
                    "no-such-device",
                    f"{option} names {name!r:.80}, which this VM does not have",
                    next=f"it has {', '.join(sorted(known - {''})[:8]) or 'none'}",
                )


def _problems_of(verdict: Verdict, known: list[Diagnostic], wishes: Wishes) -> Iterable[Diagnostic]:
    """What the model has against the edited VM, unless a problem of ours is the cause."""
    if verdict.failure is not None and not known:
        failed = verdict.failure
        yield Diagnostic(
            failed.code,
            f"QEMU {verdict.qemu} would not start this VM",
            where=failed.device,
            why=failed.printed,
            next=failed.remedy,
        )
    codes = {problem.code for problem in known}
    for hazard in verdict.hazards:
        mixed = hazard.code == "two-host-smmus" and wishes.allow_mixed
        if hazard.refuse and hazard.code not in codes and not mixed:
            yield Diagnostic(hazard.code, hazard.text, where=hazard.device, next=hazard.remedy)


def _notes(
    context: _Context, resolved: list[VsmmuResolution], edits: list[Edit], verdict: Verdict
) -> Iterable[str]:
    if not context.machine.vsmmus:
        yield "there is no arm-smmuv3 device in this VM: nothing to resolve"
    elif not resolved and verdict.failure is None:
        yield "no arm-smmuv3 device of this VM has accel=on: nothing depends on the host"
    known = {vsmmu.device for vsmmu in resolved}
    for device in context.machine.vsmmus:
        if device.name not in known and any(edit.device == device.number for edit in edits):
            yield f"{device.name}: accel=off, so auto is what QEMU's software SMMU has, whatever the host"
    if not context.qemu.modelled:
        yield f"QEMU {context.qemu} is newer than what was looked at: the rules of the newest known are used"
    for vsmmu in resolved:
        for entry in vsmmu.properties:
            if entry.qemu_auto and entry.action == "pinned" and entry.value != entry.qemu_auto:
                differs = f"{vsmmu.device}: {entry.name}={entry.value}; QEMU's own auto would take"
                yield f"{differs} {entry.qemu_auto} ({entry.why})"
    for name in dict.fromkeys(doubt.device for doubt in verdict.doubts):
        needs = [need for doubt in verdict.doubts if doubt.device == name for need in doubt.needs]
        yield f"not known behind {name}, so not predicted: {', '.join(needs)} (vsmmu check says more)"


#: Rule that leaves a property open -> code of the problem, and what to do.
_OPEN: Mapping[str, tuple[str, str]] = {
    "unknown": (
        "facts-unknown",
        "vsmmu probe on that host; or write the values; or --assume-safe ({safe})",
    ),
    "smmu-unnamed": ("smmu-unnamed", "name the host SMMU: --smmu NAME, or a function behind it"),
}
_ORDER = {name: number for number, name in enumerate(PROPERTIES)}
