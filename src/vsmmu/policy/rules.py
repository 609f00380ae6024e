# SPDX-License-Identifier: Apache-2.0
"""The rules that choose a value: common to all host SMMUs, expressible, safe.

A rule is a stable word in the answer:

========================  =====================================================================
``user``                  written by the user; never changed
``host``                  what the one host SMMU behind the vSMMU offers
``meet``                  the most that all host SMMUs behind the vSMMU offer (AND, minimum)
``clamp``                 the host offers more than can be written: the largest that can
``baseline``              the host offers more than --baseline allows
``first-device``          policy qemu: what the first device's SMMU offers, as QEMU's auto takes it
``ats-no-endpoint``       the SMMU offers ATS, but no function behind it can use it
``ats-required``          a function behind it needs ATS for basic operation
``ats-not-masked``        a function cannot use ATS, and this QEMU would not hide its capability
``inexpressible``         less than can be written: left to QEMU's auto, which copies the register
``default``               cmdqv: left to QEMU's auto, which falls back by itself
``assume-safe``           unknown, and --assume-safe was given
``unknown``               unknown: refused
``smmu-unnamed``          no endpoint and no ``--smmu``, and the host's SMMUs differ: refused
========================  =====================================================================
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vsmmu.host.evidence import Evidence
from vsmmu.host.judgements import ats, ats_required, command_queues
from vsmmu.named_tuple import NamedTuple
from vsmmu.policy.result import Source
from vsmmu.smmuv3.interval import Interval, meet
from vsmmu.smmuv3.properties import AUTO, Property, Value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vsmmu.host.evidence import Reading
    from vsmmu.host.facts import Host, HostSmmu
    from vsmmu.policy.candidates import Served, ServedFunction
    from vsmmu.policy.options import Ceiling, Options, Policy
    from vsmmu.qemu.versions import Qemu

__all__ = ["Choice", "ceiling_source", "choose", "choose_cmdqv", "read_sources"]


class Choice(NamedTuple):
    """A rule's decision: a number to pin, ``auto`` to defer, or None if the facts do not settle it."""

    value: Value | None
    rule: str
    why: str


def offer(entry: Property, smmu: HostSmmu, host: Host) -> Reading:
    """What one host SMMU offers for a property: its register field, as a code, or the fact about cmdqv."""
    if entry.source:
        return host.read_field(smmu, entry.source)
    return host.read(smmu.cmdqv, "cmdqv")._replace(interval=command_queues(host, smmu).interval)


def _meet(entry: Property, found: Sequence[Reading]) -> Interval:
    """What all of them offer, in the property's unit."""
    return meet(reading.interval for reading in found).convert(entry.from_code)


def read_sources(entry: Property, served: Served, host: Host) -> tuple[Source, ...]:
    """The evidence for a property, one entry for each host SMMU."""
    behind: dict[str, list[str]] = {}
    for candidate in served.candidates:
        if candidate.smmu is not None and candidate.function is not None:
            behind.setdefault(candidate.smmu.name, []).append(candidate.function.address)
    return tuple(
        Source(
            smmu=smmu.name,
            field=reading.key,
            bits=entry.source_field.bits if entry.source else "",
            value="unknown" if reading.is_unknown else reading.interval.spell(entry.spell_code),
            evidence=reading.evidence,
            word=f"{reading.word:#010x}" if reading.word is not None else "",
            functions=tuple(behind.get(smmu.name, ())),
        )
        for smmu, reading in ((smmu, offer(entry, smmu, host)) for smmu in served.smmus)
    )


def ceiling_source(entry: Property, ceiling: Ceiling, most: int) -> Source:
    """The baseline as one more source of a value."""
    hosts = f"{ceiling.hosts} host{'' if ceiling.hosts == 1 else 's'}"
    evidence = Evidence("inferred", f"vsmmu baseline of {hosts}", ceiling.name)
    return Source(f"baseline {ceiling.name}", entry.name, "", entry.spell(most), evidence)


def qemu_auto(entry: Property, served: Served, host: Host) -> str:
    """What QEMU's own auto takes: the first cold-plugged device's, raw; empty where that is not known."""
    first = next((candidate for candidate in served.candidates if candidate.device is not None), None)
    if first is None or first.smmu is None or not (entry.source and entry.takes_auto):
        return ""
    exact = host.read_field(first.smmu, entry.source).exact
    return "" if exact is None else entry.spell(entry.from_code(exact))


def choose(entry: Property, served: Served, host: Host, qemu: Qemu, options: Options) -> Choice:
    """The value of one of the four register properties."""
    policy, most = options.policy, options.most(entry.name)
    found = [offer(entry, smmu, host) for smmu in _smmus_for(policy, served)]
    if not found:
        return Choice(None, "unknown", "no host SMMU is known for it")
    low, high = _meet(entry, found)
    needed = None
    if entry.name == "ats" and policy == "common":
        needed = _needed_ats(served.candidates, host)
        limited = _limit_ats(served.candidates, host, qemu) if needed is None else None
        if limited is not None and high > 0:
            return limited
    settled = _settle(entry, low, high, served, policy)
    if most is not None and most < high and not _is_within(settled, most):
        capped = _settle(entry, min(low, most), most, served, policy)
        if capped is not None and isinstance(capped.value, int) and entry.best_pin(most) == capped.value:
            return _limited(entry, capped.value, low, high)
    if needed is not None and settled is not None and settled.value == 1:
        return needed
    return settled or _unsettled(entry, low, found, options)


def _is_within(choice: Choice | None, most: int) -> bool:
    """Whether a choice is a number that a baseline allows."""
    return choice is not None and isinstance(choice.value, int) and choice.value <= most


def _limited(entry: Property, most: int, low: int, high: int) -> Choice:
    offered = f"offers {entry.spell(low)}" if low == high else "may offer more"
    return Choice(most, "baseline", f"the host {offered}, the baseline allows {entry.spell(most)}")


def choose_cmdqv(entry: Property, served: Served, host: Host, options: Options) -> Choice:
    """``cmdqv``: deferred unless asked for, because QEMU's auto falls back by itself.

    It does not where the host offers queues of which no vIOMMU can be made.
    """
    offers = [host.read(smmu.cmdqv, "cmdqv").exact for smmu in served.smmus]
    hollow = any(
        offered == 1 and command_queues(host, smmu).answer is False
        for offered, smmu in zip(offers, served.smmus, strict=True)
    )
    if not (options.pin_cmdqv or hollow):
        return Choice(AUTO, "default", "QEMU tries it and does without where the host has none")
    most = options.most(entry.name)
    found = [offer(entry, smmu, host) for smmu in served.smmus]
    low, high = _meet(entry, found) if found else Interval(0, 1)
    if most == 0 and high > 0:
        return _limited(entry, most, low, high)
    if low == high:
        return Choice(low, "host", f"the host {'has' if low else 'has no'} command queues to give away")
    return _unsettled(entry, 0, found, options)


def _smmus_for(policy: Policy, served: Served) -> Sequence[HostSmmu]:
    if policy == "qemu":
        first = next((candidate.smmu for candidate in served.candidates if candidate.smmu), None)
        return served.smmus[:1] if first is None else (first,)
    return served.smmus


def _settle(entry: Property, low: int, high: int, served: Served, policy: Policy) -> Choice | None:
    """A choice that holds wherever in ``low``..``high`` the truth lies; None if there is none."""
    if policy == "qemu" and low == high and low not in entry.pinnable:
        return Choice(AUTO, "inexpressible", f"QEMU's auto takes {low}, which cannot be written")
    pin = entry.best_pin(low)
    if pin != entry.best_pin(high):
        return None
    if pin is None:
        why = f"the host offers at most {high}; the least that can be written is {entry.pinnable[0]}"
        return Choice(AUTO, "inexpressible", why)
    offered = entry.spell(low) if low == high else f"at least {entry.spell(low)}"
    if pin < low:
        bits = f" ({pin} bits)" if entry.fork_option else ""
        written = f"{entry.spell(pin)}{bits}"
        return Choice(pin, "clamp", f"the host offers {offered}; the most that can be written is {written}")
    if policy == "qemu":
        return Choice(pin, "first-device", f"the first device's SMMU offers {offered}")
    if len(served.smmus) > 1:
        return Choice(pin, "meet", f"the most that all {len(served.smmus)} host SMMUs offer")
    return Choice(pin, "host", f"the host SMMU offers {offered}")


def _unsettled(entry: Property, low: int, found: Sequence[Reading], options: Options) -> Choice:
    if options.assume_safe:
        best = entry.best_pin(low)
        value = entry.safe if best is None else best
        return Choice(value, "assume-safe", f"not known; {entry.spell(value)} asks least of the host")
    open_one = next((reading for reading in found if reading.exact is None), None)
    if open_one is None:
        return Choice(None, "unknown", "no host SMMU is known")
    evidence = open_one.evidence
    detail = f": {evidence.detail}" if evidence.detail else ""
    return Choice(None, "unknown", f"{open_one.key} is not known ({evidence.source}{detail})")


def _needed_ats(candidates: Sequence[ServedFunction], host: Host) -> Choice | None:
    """On where a function can do nothing without; None otherwise."""
    for candidate in candidates:
        function = candidate.function
        judged = None if function is None else ats_required(host, function)
        if judged is not None and judged.answer:
            return Choice(1, "ats-required", f"{candidate.name} needs ATS for basic operation: {judged.why}")
    return None


def _limit_ats(candidates: Sequence[ServedFunction], host: Host, qemu: Qemu) -> Choice | None:
    """Off where ATS would be promised in vain, or to a function that must not use it; None otherwise."""
    if not candidates:
        return None
    unusable = [candidate for candidate in candidates if _cannot_use_ats(candidate, host, qemu)]
    exposed = [candidate for candidate in unusable if not _is_masked(candidate, host, qemu)]
    if exposed:
        name = exposed[0].name
        return Choice(0, "ats-not-masked", f"{name} cannot use ATS, but the guest would see its capability")
    if len(unusable) == len(candidates):
        return Choice(0, "ats-no-endpoint", "no function behind it can use ATS")
    return None


def _cannot_use_ats(candidate: ServedFunction, host: Host, qemu: Qemu) -> bool:
    """Whether something that is known keeps this function from using ATS, besides the SMMU."""
    if qemu.has_vfio_ats and candidate.device is not None and candidate.device.text("ats") == "off":
        return True
    function = candidate.function
    if function is None:
        return False
    return ats(host, function).answer is False


def _is_masked(candidate: ServedFunction, host: Host, qemu: Qemu) -> bool:
    """Whether the guest would not see an ATS capability of this function, as far as is known."""
    function = candidate.function
    if function is not None and host.read(function.ats_capability, "ats_capability").exact == 0:
        return True
    if not qemu.has_vfio_ats:
        return False
    if candidate.device is not None and candidate.device.text("ats") == "off":
        return True
    return function is not None and host.read(function.ats_not_supported, "ats_not_supported").exact == 1
