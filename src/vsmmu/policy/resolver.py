# SPDX-License-Identifier: Apache-2.0
"""Resolve a VM: choose every value, apply the edits in memory, and ask the model for the verdict.

Only what is ``auto``, or absent where ``accel=on``, is resolved; what the user wrote stays and is checked,
unless :attr:`vsmmu.policy.options.Options.unpin` names it.
Nothing is offered for writing that the model says would not start.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

import msgspec

from vsmmu.diagnostic import Diagnostic, Edit
from vsmmu.machine.topology import Topology
from vsmmu.named_tuple import NamedTuple
from vsmmu.policy.candidates import Served, served_by
from vsmmu.policy.options import Options, misnamed
from vsmmu.policy.result import Action, PropertyResolution, Resolution, VsmmuResolution
from vsmmu.policy.rules import Choice, ceiling_source, choose, choose_cmdqv, qemu_auto, read_sources
from vsmmu.qemu.board import not_modelled, with_globals
from vsmmu.qemu.outcome import unjudged
from vsmmu.qemu.process import start
from vsmmu.qemu.settings import Setting, SettingsError, VsmmuSettings, read_settings
from vsmmu.qemu.versions import MachineType, Qemu, machine_type, newer_than_known
from vsmmu.smmuv3.properties import AUTO, AUTO_SINCE, PROPERTIES, REGISTER_PROPERTIES, Property
from vsmmu.versions import spell_version

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from vsmmu.host.facts import Host
    from vsmmu.machine.model import Device, Machine
    from vsmmu.machine.vm import Vm
    from vsmmu.qemu.outcome import Verdict

__all__ = ["resolve", "resolve_machine", "resolve_vsmmu"]

_DEFAULT: Final = Options()


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
    options: Options


class _Settled(NamedTuple):
    """One vSMMU with its values, what keeps them from being written, and the edits that write them."""

    resolution: VsmmuResolution
    problems: tuple[Diagnostic, ...]
    edits: tuple[Edit, ...]


def resolve(vm: Vm, host: Host, qemu: Qemu, options: Options = _DEFAULT) -> Resolution:
    """Resolve every vSMMU of ``vm`` on ``host``.

    :return: the answer with its problems; nothing is raised for a VM that cannot be resolved. Without
        problems, its ``vm`` is ``vm`` with the values written into it.
    :raise InputRefused: for text that describes no VM, and buses that contradict each other.
    """
    machine = options.complete(vm.machine())
    topology = Topology.of(with_globals(machine))
    resolution = resolve_machine(machine, host, qemu, options, topology)
    judged = resolution.verdict is None or resolution.verdict.answer != "not-judged"
    if vm.domain is not None and judged:
        from vsmmu.policy.domain_xml import as_libvirt_defines

        resolution = as_libvirt_defines(vm.domain, resolution, host, qemu, options, topology)
    written = None if resolution.problems else vm.edit(resolution.edits)
    return msgspec.structs.replace(resolution, vm=written)


def resolve_machine(
    machine: Machine,
    host: Host,
    qemu: Qemu,
    options: Options = _DEFAULT,
    topology: Topology | None = None,
) -> Resolution:
    """Resolve every vSMMU of a machine, whatever form it came in; nothing is written.

    :param topology: of ``machine``; made if None.

    :raise InputRefused: if the VM's buses contradict each other.
    """
    other = not_modelled(machine)
    if other:
        return _handed_back(unjudged(other, str(qemu), machine.machine_type), host, options)
    forgotten = _forgotten(machine, qemu, options)
    machine = machine.edited(forgotten)
    context = _Context(machine, host, qemu, _machine_type(machine, qemu), options)
    topology = topology or Topology.of(with_globals(machine))
    settled = tuple(_settle_all(context, topology))
    edits = tuple(edit for entry in settled for edit in entry.edits)
    if forgotten:
        from vsmmu.policy.unpinning import overlaid

        edits = overlaid(forgotten, edits)
    edits += tuple(_software_edits(context))
    own = (*(problem for entry in settled for problem in entry.problems), *misnamed(machine, options))
    resolved = tuple(entry.resolution for entry in settled)
    verdict = start(machine.edited(edits), host, qemu, options.functions, topology)
    return Resolution(
        host=host.name,
        qemu=str(qemu),
        machine_type=context.machine_type.name,
        policy=options.policy,
        vsmmus=resolved,
        problems=(*own, *_problems_of(verdict, own, options)),
        notes=tuple(_notes(context, resolved, edits, verdict)),
        edits=edits,
        verdict=verdict,
    )


def resolve_vsmmu(
    vsmmu: Device, machine: Machine, host: Host, qemu: Qemu, options: Options, topology: Topology
) -> VsmmuResolution | None:
    """What :func:`resolve_machine` says of one vSMMU, without a start of the VM; None if it says nothing.

    :param topology: of ``machine``, which may have another vSMMU with that number.
    """
    alone = machine._replace(devices=(vsmmu,))
    alone = alone.edited(_forgotten(alone, qemu, options))
    context = _Context(alone, host, qemu, _machine_type(machine, qemu), options)
    return next((entry.resolution for entry in _settle_all(context, topology)), None)


def _machine_type(machine: Machine, qemu: Qemu) -> MachineType:
    """The newest stands in for one that QEMU does not have; the model refuses that."""
    return machine_type(machine.machine_type or "virt", qemu) or MachineType(qemu.version, qemu.virt)


def _forgotten(machine: Machine, qemu: Qemu, options: Options) -> tuple[Edit, ...]:
    """The edits that forget what is to be resolved anew."""
    if not options.unpin:
        return ()
    from vsmmu.policy.unpinning import unpinned

    return tuple(unpinned(machine, options.unpin, qemu))


def _handed_back(verdict: Verdict, host: Host, options: Options) -> Resolution:
    """The resolution of a machine without a model: nothing is chosen, nothing is written."""
    return Resolution(
        host=host.name,
        qemu=verdict.qemu,
        machine_type=verdict.machine_type,
        policy=options.policy,
        vsmmus=(),
        problems=(),
        notes=(verdict.diagnostics[0].what,),
        edits=(),
        verdict=verdict,
    )


def _settings_of(context: _Context) -> Iterator[tuple[Device, VsmmuSettings]]:
    """The vSMMUs whose properties QEMU can read; of the others the model says what QEMU says."""
    for device in context.machine.vsmmus:
        with suppress(SettingsError):
            yield device, read_settings(device, context.machine, context.qemu, context.machine_type.version)


def _settle_all(context: _Context, topology: Topology) -> Iterator[_Settled]:
    for device, settings in _settings_of(context):
        if settings.accel:
            served = served_by(device, topology, context.host, context.options)
            yield _settle(_Vsmmu(device, settings, served), context)


def _settle(vsmmu: _Vsmmu, context: _Context) -> _Settled:
    device, settings, served = vsmmu
    properties = tuple(
        _resolve_property(context.qemu.properties[name], setting, vsmmu, context)
        for name, setting in sorted(settings.values.items(), key=lambda item: _ORDER[item[0]])
    )
    resolution = VsmmuResolution(
        device=device.name,
        primary_bus=settings.primary_bus,
        host_smmus=tuple(smmu.name for smmu in served.smmus),
        endpoints=tuple(candidate.name for candidate in served.candidates),
        properties=properties,
    )
    found = (
        *served.problems,
        *_exceeding(vsmmu, properties, context),
        *_inexpressible(vsmmu, properties, context.qemu),
        *_unknown(vsmmu, properties, context.qemu),
    )
    return _Settled(resolution, found, tuple(_edits(vsmmu, properties, context.qemu)))


def _resolve_property(
    entry: Property, setting: Setting, vsmmu: _Vsmmu, context: _Context
) -> PropertyResolution:
    host, served, options = context.host, vsmmu.served, context.options
    most = options.most(entry.name)

    def answer(action: Action, value: str, rule: str, why: str) -> PropertyResolution:
        sources, auto = read_sources(entry, served, host), qemu_auto(entry, served, host)
        if action != "open" and options.ceiling is not None and most is not None:
            sources += (ceiling_source(entry, options.ceiling, most),)
        return PropertyResolution(entry.option, action, value, rule, why, sources, auto)

    if _is_kept(setting):
        where = "-global" if setting.written == "global" else vsmmu.device.origin.place
        return answer("kept", entry.spell(setting.value), "user", f"written by the user ({where})")
    choice = _choose(entry, vsmmu, context)
    if choice.value is None:
        return answer("open", "", choice.rule, choice.why)
    if choice.value != AUTO:
        return answer("pinned", entry.spell(choice.value), choice.rule, choice.why)
    if not context.qemu.accepts_auto(entry.name):
        if not entry.takes_auto and choice.rule == "default":
            off = entry.spell(setting.value)
            return answer("kept", off, choice.rule, f"left out it is {off}: QEMU {context.qemu} has no auto")
        return answer("open", "", choice.rule, choice.why)
    return answer("deferred", AUTO, choice.rule, choice.why)


def _is_kept(setting: Setting) -> bool:
    """Whether the user wrote a value; it stays."""
    return setting.written != "default" and setting.value != AUTO


def _exceeding(
    vsmmu: _Vsmmu, properties: Iterable[PropertyResolution], context: _Context
) -> Iterator[Diagnostic]:
    for entry, setting in _held(vsmmu, properties, context.qemu):
        most = context.options.most(entry.name)
        if most is not None and setting.value != AUTO and _is_kept(setting) and setting.value > most:
            yield _exceeded(entry, setting.value, most, vsmmu)


def _exceeded(entry: Property, value: int, most: int, vsmmu: _Vsmmu) -> Diagnostic:
    limit = entry.best_pin(most)
    written = f"{entry.option}={entry.spell(value)}"
    allowed = f"{entry.option}={entry.spell(most if limit is None else limit)}"
    return Diagnostic(
        "baseline-exceeded",
        f"{vsmmu.device.name} has {written}, the baseline allows {allowed}",
        where=vsmmu.device.origin.place,
        why="some hosts of the baseline would refuse this VM",
        next=f"write {allowed}, or leave {entry.option} out and let it be resolved",
    )


def _choose(entry: Property, vsmmu: _Vsmmu, context: _Context) -> Choice:
    host, served, options = context.host, vsmmu.served, context.options

    def ask(part: Served) -> Choice:
        if not entry.source:
            return choose_cmdqv(entry, part, host, options)
        return choose(entry, part, host, context.qemu, options)

    if served.candidates or len(served.smmus) < 2:
        return ask(served)
    # Nothing says which host SMMU the functions to come sit behind: it must not matter.
    each = [ask(served._replace(smmus=(smmu,))) for smmu in served.smmus]
    if len({choice.value for choice in each}) == 1:
        return each[0]
    why = f"the {len(served.smmus)} host SMMUs differ, and no endpoint says which one this vSMMU serves"
    return Choice(None, "smmu-unnamed", why)


def _edits(vsmmu: _Vsmmu, properties: Sequence[PropertyResolution], qemu: Qemu) -> Iterator[Edit]:
    for resolved, (entry, held) in zip(properties, _held(vsmmu, properties, qemu), strict=True):
        unsaid = held.value != AUTO or (held.written == "default" and not qemu.defaults_known)
        if resolved.action == "pinned" or (resolved.action == "deferred" and unsaid):
            yield Edit(vsmmu.device.number, entry.option, resolved.value)


def _held(
    vsmmu: _Vsmmu, properties: Iterable[PropertyResolution], qemu: Qemu
) -> Iterator[tuple[Property, Setting]]:
    """The row and the setting before it was resolved, of each."""
    for resolved in properties:
        entry = qemu.property_of(resolved.name)
        assert entry is not None  # noqa: S101 - the resolution was made of these rows
        yield entry, vsmmu.settings.values[entry.name]


def _software_edits(context: _Context) -> Iterator[Edit]:
    """What ``auto`` means where accel=off, so that QEMU 11.0, which knows no auto, starts all the same."""
    for device, settings in _settings_of(context):
        for entry in () if settings.accel else REGISTER_PROPERTIES:
            setting = settings.values.get(entry.name)
            if setting is not None and setting.value == AUTO and setting.written == "device":
                yield Edit(device.number, entry.name, entry.spell(entry.software))


def _unknown(vsmmu: _Vsmmu, properties: Sequence[PropertyResolution], qemu: Qemu) -> Iterator[Diagnostic]:
    """One problem for all properties that stay open for the same kind of reason."""
    for rule, (code, next_step) in _OPEN.items():
        found = [entry for entry in properties if entry.action == "open" and entry.rule == rule]
        if found and vsmmu.served.smmus:
            names = [entry.name for entry in found]
            rows = (row for row, _ in _held(vsmmu, found, qemu))
            safe = ", ".join(f"{row.option}={row.spell(row.safe)}" for row in rows)
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


def _inexpressible(
    vsmmu: _Vsmmu, properties: Iterable[PropertyResolution], qemu: Qemu
) -> Iterator[Diagnostic]:
    for entry in properties:
        if entry.action == "open" and entry.rule == "inexpressible":
            yield Diagnostic(
                f"{entry.name}-inexpressible",
                f"{entry.name} of {vsmmu.device.name} cannot be written, and QEMU {qemu} has no auto",
                where=vsmmu.device.origin.place,
                why=entry.why,
                next=f"use QEMU {spell_version(AUTO_SINCE)} or later: its auto takes over what the host has",
            )


def _problems_of(verdict: Verdict, known: Sequence[Diagnostic], options: Options) -> Iterator[Diagnostic]:
    """What the model has against the edited VM, unless a problem of ours is the cause."""
    if not known:
        yield from verdict.of("error")
    codes = {problem.code for problem in known}
    for hazard in verdict.of("hazard"):
        mixed = hazard.code == "two-host-smmus" and options.allow_mixed
        if hazard.code not in codes and not mixed:
            yield hazard


def _notes(
    context: _Context, resolved: Sequence[VsmmuResolution], edits: Sequence[Edit], verdict: Verdict
) -> Iterator[str]:
    if not context.machine.vsmmus:
        yield "there is no arm-smmuv3 device in this VM: nothing to resolve"
    elif not resolved and verdict.failure is None:
        yield "no arm-smmuv3 device of this VM has accel=on: nothing depends on the host"
    known = {vsmmu.device for vsmmu in resolved}
    for device in context.machine.vsmmus:
        if device.name not in known and any(edit.device == device.number for edit in edits):
            yield f"{device.name}: accel=off, so auto is what QEMU's software SMMU has, whatever the host"
    if not context.qemu.modelled:
        yield newer_than_known(context.qemu)
    for vsmmu in resolved:
        for entry in vsmmu.properties:
            if entry.qemu_auto and entry.action == "pinned" and entry.value != entry.qemu_auto:
                differs = f"{vsmmu.device}: {entry.name}={entry.value}; QEMU's own auto would take"
                yield f"{differs} {entry.qemu_auto} ({entry.why})"
    doubts = [doubt for doubt in verdict.of("unknown") if doubt.needs]
    yield from (f"{doubt.what}: {doubt.next}" for doubt in verdict.of("unknown") if not doubt.needs)
    for name in dict.fromkeys(doubt.where for doubt in doubts):
        needs = [need for doubt in doubts if doubt.where == name for need in doubt.needs]
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
