# SPDX-License-Identifier: Apache-2.0
"""The baseline of a pool: values that hold on all of its hosts, and the hosts that limit them.

For each property the baseline is the largest number that can be written down and that every host is *known*
to offer: what is not known of a host counts as its least, and is named as such. Hosts on which no written
values make an accelerated vSMMU start are left out, named, and turn the answer into a no; hosts without the
functions that were asked about are left out and named, too, and no VM with one goes there. This is to SMMUs
what libvirt's ``hypervisor-cpu-baseline`` is to CPUs.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final, NamedTuple

from vsmmu.fleet.documents import Answers, BaselineDocument, DriftStep, LeftOut, PoolBaseline, Unproven
from vsmmu.fleet.fit import LEAST, Fit, no_smmu, values_fit
from vsmmu.smmuv3.properties import PROPERTIES, Property

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from vsmmu.fleet.capability import Capability
    from vsmmu.fleet.census import Census, Group
    from vsmmu.fleet.classes import HostClass
    from vsmmu.fleet.documents import Answer
    from vsmmu.qemu.versions import Qemu

__all__ = ["ClassOffer", "baseline_document", "count_answers", "offer_of", "pool_baseline"]

_MOST_NAMES: Final = 20


class ClassOffer(NamedTuple):
    """What hosts of one class offer to every VM behind any of their usable SMMUs.

    :param known: the largest number that can be written, by property; empty if none of its SMMUs is usable.
    :param hoped: the same if all that is unknown were the best.
    :param fit: the model's answer to the least values: for the worst of the usable SMMUs, or the best of all.
    """

    known: Mapping[str, int]
    hoped: Mapping[str, int]
    fit: Fit


def offer_of(kind: HostClass, qemu: Qemu, *, assume_safe: bool = False) -> ClassOffer:
    """Ask the model which SMMUs of such a host are usable, and take what these offer in common.

    :param assume_safe: also use an SMMU of which not even the least values are known to fit.
    """
    usable: list[Capability] = []
    fits: list[Fit] = []
    refused: list[Fit] = []
    for capability in kind.capabilities:
        fit = values_fit(LEAST, capability, qemu)
        blocked = fit.answer == "refused" or (not assume_safe and bool(_SOURCES & set(fit.needs)))
        (refused if blocked else fits).append(fit)
        if not blocked:
            usable.append(capability)
    if not kind.capabilities:
        return ClassOffer({}, {}, no_smmu(kind))
    if not usable:
        return ClassOffer({}, {}, max(refused, key=lambda fit: fit.answer == "unknown"))
    worst = min(fits, key=lambda fit: fit.answer == "starts")
    return ClassOffer(_meet(usable, known=True), _meet(usable, known=False), worst)


def _meet(capabilities: Iterable[Capability], *, known: bool) -> dict[str, int]:
    found: dict[str, int] = {}
    for name, entry in PROPERTIES.items():
        offers = [capability.offer(entry) for capability in capabilities]
        limit = min(offer.low if known else offer.high for offer in offers)
        pin = entry.best_pin(limit)
        found[name] = entry.safe if pin is None else pin
    return found


def pool_baseline(
    pool: str, groups: Mapping[int, Group], classes: Sequence[HostClass], offers: Mapping[int, ClassOffer]
) -> PoolBaseline:
    """The baseline of one pool.

    :param groups: its hosts, by position of their class in ``classes``.
    :param offers: what each class offers.
    """
    kept = {kind: offers[kind] for kind in groups if offers[kind].known}
    values = {
        name: entry.spell(min(offer.known[name] for offer in kept.values()))
        for name, entry in PROPERTIES.items()
        if kept
    }
    ordered = sorted(groups, key=lambda kind: (-groups[kind].count, classes[kind].fingerprint))
    left_out = tuple(
        LeftOut(
            kind=classes[kind].fingerprint,
            hosts=groups[kind].count,
            names=tuple(groups[kind].names[:_MOST_NAMES]),
            answer=offers[kind].fit.answer,
            code=offers[kind].fit.code,
            reason=offers[kind].fit.text,
        )
        for kind in ordered
        if kind not in kept
    )
    return PoolBaseline(
        pool=pool,
        hosts=sum(group.count for group in groups.values()),
        classes=tuple(classes[kind].fingerprint for kind in ordered),
        holds=bool(kept) and all(entry.answer == "absent" for entry in left_out),
        answers=count_answers((offers[kind].fit.answer, group.count) for kind, group in groups.items()),
        values=values,
        device=_device(values),
        libvirt=_libvirt(values),
        steps=tuple(step for entry in PROPERTIES.values() for step in _steps(entry, kept, groups, classes)),
        left_out=left_out,
        unproven=tuple(
            Unproven(
                classes[kind].fingerprint,
                groups[kind].count,
                offers[kind].fit.needs,
                tuple(groups[kind].names[:_MOST_NAMES]),
            )
            for kind in ordered
            if offers[kind].fit.answer == "unknown"
        ),
    )


def count_answers(found: Iterable[tuple[Answer, int]]) -> Answers:
    """Add up how many hosts have which answer."""
    sums: Counter[str] = Counter()
    for answer, hosts in found:
        sums[answer] += hosts
    return Answers(**sums)


def _steps(
    entry: Property,
    kept: Mapping[int, ClassOffer],
    groups: Mapping[int, Group],
    classes: Sequence[HostClass],
) -> Iterable[DriftStep]:
    """For each larger value that some hosts offer: the hosts that would have to go."""
    levels = sorted({offer.known[entry.name] for offer in kept.values()})
    for level in levels[1:]:
        costly = [kind for kind, offer in kept.items() if offer.known[entry.name] < level]
        costly.sort(key=lambda kind: (groups[kind].count, classes[kind].fingerprint))
        names = [name for kind in costly for name in groups[kind].names]
        yield DriftStep(
            property=entry.name,
            value=entry.spell(level),
            hosts=sum(groups[kind].count for kind in costly),
            unknown=sum(groups[kind].count for kind in costly if kept[kind].hoped[entry.name] >= level),
            classes=tuple(classes[kind].fingerprint for kind in costly),
            names=tuple(names[:_MOST_NAMES]),
        )


def baseline_document(
    census: Census,
    classes: Sequence[HostClass],
    qemu: Qemu,
    selection: str,
    *,
    assume_safe: bool = False,
) -> BaselineDocument:
    """The baselines of all pools of a census, by name."""
    offers = {
        kind: offer_of(classes[kind], qemu, assume_safe=assume_safe)
        for kind in sorted({kind for groups in census.pools.values() for kind in groups})
    }
    return BaselineDocument(
        schema="vsmmu.baseline/1",
        qemu=str(qemu),
        selection=selection,
        hosts=census.records,
        refused=census.rejects.count,
        refusals=tuple(census.rejects.examples),
        pools=tuple(
            pool_baseline(pool, groups, classes, offers) for pool, groups in sorted(census.pools.items())
        ),
    )


def _device(values: Mapping[str, str]) -> str:
    """What to append to ``-device arm-smmuv3,...``."""
    return ",".join(f"{name}={value}" for name, value in _pinned(values).items())


def _libvirt(values: Mapping[str, str]) -> str:
    """The element for the domain's devices; libvirt takes the attributes in lower case only."""
    attributes = "".join(f" {name}='{value}'" for name, value in _pinned(values).items())
    if not attributes:
        return ""
    return f"<iommu model='smmuv3'>\n  <driver pciBus='1' accel='on'{attributes}/>\n</iommu>"


def _pinned(values: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in values.items() if PROPERTIES[name].source}


_SOURCES: Final = {entry.source for entry in PROPERTIES.values() if entry.source}
