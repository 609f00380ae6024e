# SPDX-License-Identifier: Apache-2.0
"""Compare host A with host B, in the words of libvirt's ``hypervisor-cpu-compare``.

*identical*: the same; *superset*: B offers at least what A does; *incompatible*: some VM that runs on A is
certain to fail on B; *unknown*: the facts do not settle it. What counts of A is what it is *known* to offer,
since nothing else gets pinned there; a field that QEMU only compares with a constant counts by whether it
passes that comparison.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vsmmu.fleet.baseline import count_answers
from vsmmu.fleet.capability import Capability, capability_of
from vsmmu.fleet.documents import (
    Answer,
    ClassPlacement,
    ComparisonDocument,
    FieldComparison,
    PlacementDocument,
    Relation,
    SmmuComparison,
)
from vsmmu.fleet.drift import changes_of
from vsmmu.fleet.fit import LEAST, Fit, fit_of, values_fit
from vsmmu.qemu.compat import BASE, CHECKS, Comparison
from vsmmu.smmuv3.interval import Interval, exactly
from vsmmu.smmuv3.properties import PROPERTIES, Property

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from vsmmu.fleet.census import Census
    from vsmmu.fleet.classes import HostClass, Selection
    from vsmmu.host.facts import Host
    from vsmmu.machine.model import Machine
    from vsmmu.qemu.versions import Qemu

__all__ = ["compare_capabilities", "compare_hosts", "placement", "relation"]

_SOURCES: Final = frozenset(entry.source for entry in PROPERTIES.values())
_CONSTANT: Final = tuple(check for check in CHECKS if check.key not in _SOURCES)
_RANK: Final[Mapping[str, int]] = {"incompatible": 0, "unknown": 1, "superset": 2, "identical": 3}
_STARTS: Final[Mapping[Answer, Interval]] = {
    "starts": exactly(1),
    "unknown": Interval(0, 1),
    "refused": exactly(0),
    "absent": exactly(0),
}


def relation(a: Interval, b: Interval) -> Relation:
    """What an offer B is to an offer A, where more is better and only bounds may be known."""
    if a == b:
        return "identical"
    if b.high < a.low:
        return "incompatible"
    return "superset" if b.low >= a.low and b.high >= a.high else "unknown"


def compare_hosts(a: Host, b: Host, selection: Selection, qemu: Qemu) -> ComparisonDocument:
    """Compare every kind of SMMU of ``a`` with the closest of ``b``; the worst decides."""
    ours, theirs = _kinds(a, selection), _kinds(b, selection)
    found = []
    for capability, names in ours.items():
        tried = [compare_capabilities(capability, other, qemu) for other in theirs]
        if not tried:
            found.append(SmmuComparison(capability.fingerprint, names, "", (), "incompatible", ()))
            continue
        rated = [(_verdict(fields), other, fields) for other, fields in zip(theirs, tried, strict=True)]
        verdict, other, fields = max(rated, key=lambda entry: _RANK[entry[0]])
        found.append(
            SmmuComparison(capability.fingerprint, names, other.fingerprint, theirs[other], verdict, fields)
        )
    nothing: Relation = "superset" if theirs else "identical"
    return ComparisonDocument(
        schema="vsmmu.comparison/1",
        a=a.name,
        b=b.name,
        qemu=str(qemu),
        verdict=min((entry.verdict for entry in found), key=_RANK.__getitem__, default=nothing),
        smmus=tuple(found),
        changes=tuple(changes_of(a, b)) if a.name == b.name else (),
    )


def _kinds(host: Host, selection: Selection) -> dict[Capability, tuple[str, ...]]:
    """The different SMMUs that count, each with the names of those that are alike."""
    kinds: dict[Capability, tuple[str, ...]] = {}
    for smmu in host.smmus:
        behind = [function for function in host.behind(smmu) if selection.takes(function)]
        if behind or not selection.vendor:
            capability = capability_of(host, smmu, behind)
            kinds[capability] = (*kinds.get(capability, ()), smmu.name)
    return kinds


def compare_capabilities(a: Capability, b: Capability, qemu: Qemu) -> tuple[FieldComparison, ...]:
    """Compare field by field: the properties, what QEMU compares with constants, what nesting needs."""
    fields = [_compare_property(entry, a.offer(entry), b.offer(entry)) for entry in PROPERTIES.values()]
    for check in _CONSTANT:
        verdict = relation(_passes(check, a), _passes(check, b))
        fields.append(FieldComparison(check.key, a.get(check.key).spell(), b.get(check.key).spell(), verdict))
    fields += [_compare(key, a.get(key), b.get(key)) for key in ("nesting", "coherent")]
    starts = [_STARTS[values_fit(LEAST, kind, qemu).answer] for kind in (a, b)]
    fields.append(_compare("accel", starts[0], starts[1]))
    return tuple(fields)


def _compare_property(entry: Property, a: Interval, b: Interval) -> FieldComparison:
    """Compare what can be written down: of 52 address bits a VM gets no more than 48."""
    verdict = relation(_pins(entry, a), _pins(entry, b))
    return FieldComparison(entry.name, _spell(a, entry), _spell(b, entry), verdict)


def _pins(entry: Property, offer: Interval) -> Interval:
    return offer.convert(lambda limit: entry.best_pin(limit) or 0)


def _compare(name: str, a: Interval, b: Interval) -> FieldComparison:
    return FieldComparison(name, _spell(a), _spell(b), relation(a, b))


def _verdict(fields: Sequence[FieldComparison]) -> Relation:
    """The worst of all fields; a superset only if nothing is worse."""
    return min((field.verdict for field in fields), key=_RANK.__getitem__)


def _passes(check: Comparison, kind: Capability) -> Interval:
    """Whether the SMMU passes a comparison with what every vSMMU shows: 0, 1, or 0..1."""
    outcome = check.outcome(kind.get(check.key), exactly(BASE.get(check.key)))
    return Interval(0, 1) if outcome is None else exactly(outcome)


def _spell(interval: Interval, entry: Property | None = None) -> str:
    def one(value: int) -> str:
        return entry.spell(value) if entry is not None else ("yes" if value else "no")

    return "?" if interval == (0, 1) else interval.spell(one)


def placement(
    machine: Machine,
    vm: str,
    census: Census,
    classes: Sequence[HostClass],
    qemu: Qemu,
    good: Collection[Answer],
) -> PlacementDocument:
    """Which of the counted hosts can run a VM, by class.

    :param vm: how the user called it.
    :param good: the answers with which a host counts as fitting.
    """
    fits: dict[int, Fit] = {}
    found: list[ClassPlacement] = []
    for pool, groups in sorted(census.pools.items()):
        for kind, group in groups.items():
            if kind not in fits:
                fits[kind] = fit_of(machine, classes[kind], qemu)
            fit, fingerprint = fits[kind], classes[kind].fingerprint
            found.append(
                ClassPlacement(
                    fingerprint, pool, group.count, tuple(group.names), fit.answer, fit.code, fit.text
                )
            )
    found.sort(key=lambda entry: (entry.pool, entry.answer != "starts", -entry.hosts, entry.kind))
    return PlacementDocument(
        schema="vsmmu.placement/1",
        vm=vm,
        qemu=str(qemu),
        hosts=census.records,
        answers=count_answers((entry.answer, entry.hosts) for entry in found),
        fitting=sum(entry.hosts for entry in found if entry.answer in good),
        refused=census.rejects.count,
        refusals=tuple(census.rejects.examples),
        classes=tuple(found),
    )
