# SPDX-License-Identifier: Apache-2.0
"""The report about a fleet as data; :mod:`vsmmu.fleet.page` renders it as HTML."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from vsmmu.fleet.baseline import count_answers, offer_of, pool_baseline
from vsmmu.fleet.capability import KEYS
from vsmmu.fleet.comparison import compare_capabilities
from vsmmu.fleet.documents import (
    FieldComparison,
    PoolBaseline,
    ReportClass,
    ReportDocument,
    ReportHost,
    ReportMove,
    Unproven,
)
from vsmmu.smmuv3.interval import meet
from vsmmu.smmuv3.properties import PROPERTIES, Property

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from vsmmu.fleet.baseline import ClassOffer
    from vsmmu.fleet.capability import Capability
    from vsmmu.fleet.census import Census
    from vsmmu.fleet.classes import HostClass
    from vsmmu.qemu.versions import Qemu

__all__ = ["class_names", "class_values", "report_document"]


def report_document(
    census: Census,
    classes: Sequence[HostClass],
    qemu: Qemu,
    *,
    title: str,
    made_at: str,
    selection: str = "",
    compared: bool = False,
) -> ReportDocument:
    """Everything that the pages and tables of a report show.

    :param made_at: the date to print; this package reads no clock.
    :param compared: whether the census knows earlier facts.
    """
    counted = _counted(census)
    offers = {kind: offer_of(classes[kind], qemu) for kind in counted}
    titles = {kind: _title(kind, classes[kind], offers[kind], census) for kind in counted}
    names = class_names({kind: (classes[kind].fingerprint, titles[kind]) for kind in counted})
    pools = tuple(
        pool_baseline(pool, groups, classes, offers) for pool, groups in sorted(census.pools.items())
    )
    found = [_class(kind, names[kind], classes[kind], offers[kind], census, pools) for kind in counted]
    return ReportDocument(
        schema="vsmmu.report/1",
        title=title,
        made_at=made_at,
        qemu=str(qemu),
        selection=selection,
        hosts=census.records,
        refused=census.rejects.count,
        refusals=tuple(census.rejects.examples),
        compared=compared,
        answers=count_answers((offers[kind].fit.answer, hosts) for kind, hosts in counted.items()),
        probe=tuple(_to_probe(counted, census, classes, offers)),
        pools=pools,
        classes=tuple(sorted(found, key=lambda entry: (-entry.hosts, entry.kind))),
        moves=tuple(_moves(census, classes, qemu)),
        named=tuple(_named(census, classes, offers)),
    )


def _title(number: int, kind: HostClass, offer: ClassOffer, census: Census) -> str:
    """What one of its hosts calls itself; hosts without the function have nothing but that in common."""
    if offer.fit.answer == "absent":
        return f"hosts without {kind.selection}"
    return census.titles.get(number, "")


def _counted(census: Census) -> dict[int, int]:
    """How many hosts there are of each class, over all pools."""
    counted: Counter[int] = Counter()
    for groups in census.pools.values():
        counted.update({kind: group.count for kind, group in groups.items()})
    return dict(sorted(counted.items()))


def class_names(classes: Mapping[int, tuple[str, str]]) -> dict[int, str]:
    """A name for each class that people can say: its title, with what tells it from others of that title.

    :param classes: fingerprint and title of each; a title may be empty.
    """
    titles = Counter(title for _, title in classes.values())
    prints = [fingerprint for fingerprint, _ in classes.values()]
    digits = next((length for length in range(4, 12) if _differ(prints, length)), 12)
    return {
        kind: title if title and titles[title] == 1 else f"{title or 'untitled'} ({fingerprint[:digits]})"
        for kind, (fingerprint, title) in classes.items()
    }


def _differ(prints: Collection[str], length: int) -> bool:
    return len({fingerprint[:length] for fingerprint in prints}) == len(prints)


def _to_probe(
    counted: Mapping[int, int],
    census: Census,
    classes: Sequence[HostClass],
    offers: Mapping[int, ClassOffer],
) -> Iterator[Unproven]:
    """The hosts of which a missing fact keeps the answer open, most of a class first."""
    for kind, hosts in sorted(counted.items(), key=lambda item: (-item[1], item[0])):
        if offers[kind].fit.answer == "unknown":
            groups = [groups[kind] for _, groups in sorted(census.pools.items()) if kind in groups]
            names = tuple(name for group in groups for name in group.names)
            yield Unproven(classes[kind].fingerprint, hosts, offers[kind].fit.needs, names)


def class_values(kind: HostClass) -> dict[str, str]:
    """What is known of each property over all SMMUs of such a host, in QEMU's spelling."""
    return {name: _spell(entry, kind.capabilities) for name, entry in PROPERTIES.items()}


def _spell(entry: Property, capabilities: Iterable[Capability]) -> str:
    offers = [capability.offer(entry) for capability in capabilities]
    if not offers:
        return "-"
    low, high = meet(offers)
    if low == high:
        return entry.spell(low)
    return "?" if low == entry.from_code(0) else f"≥{entry.spell(low)}"


def _class(
    number: int,
    name: str,
    kind: HostClass,
    offer: ClassOffer,
    census: Census,
    pools: Sequence[PoolBaseline],
) -> ReportClass:
    mine = [(pool, groups[number].count) for pool, groups in census.pools.items() if number in groups]
    costly = {step.property for pool in pools for step in pool.steps if kind.fingerprint in step.classes}
    return ReportClass(
        kind=kind.fingerprint,
        name=name,
        title=census.titles.get(number, ""),
        hosts=sum(count for _, count in mine),
        pools=tuple(sorted(pool for pool, _ in mine)),
        values=class_values(kind),
        answer=offer.fit.answer,
        reason=offer.fit.text,
        holds_back=tuple(name for name in PROPERTIES if name in costly),
        smmus=tuple(capability.fingerprint for capability in kind.capabilities),
        fields=tuple(_fields(capability) for capability in kind.capabilities),
    )


def _fields(capability: Capability) -> dict[str, str]:
    """Every key of the fingerprint with its value as the canonical text spells it."""
    words = capability.canonical.split(" ")[1:]
    found: Mapping[str, str] = dict(word.split("=", 1) for word in words)
    return {key: found[key] for key in KEYS}


def _moves(census: Census, classes: Sequence[HostClass], qemu: Qemu) -> Iterator[ReportMove]:
    for move, group in sorted(census.moves.items(), key=lambda item: (-item[1].count, item[0])):
        before, after = classes[move.before], classes[move.after]
        yield ReportMove(
            before=before.fingerprint,
            after=after.fingerprint,
            hosts=group.count,
            names=tuple(group.names),
            fields=_changed(before, after, qemu),
        )


def _changed(before: HostClass, after: HostClass, qemu: Qemu) -> tuple[FieldComparison, ...]:
    """The fields that differ, if both have one kind of SMMU; otherwise fields do not line up."""
    if len(before.capabilities) != 1 or len(after.capabilities) != 1:
        return ()
    fields = compare_capabilities(before.capabilities[0], after.capabilities[0], qemu)
    return tuple(field for field in fields if field.a != field.b)


def _named(
    census: Census, classes: Sequence[HostClass], offers: Mapping[int, ClassOffer]
) -> Iterator[ReportHost]:
    for pool, groups in sorted(census.pools.items()):
        for kind, group in groups.items():
            for name, topology in zip(group.names, group.topologies, strict=True):
                answer = offers[kind].fit.answer
                yield ReportHost(name, pool, classes[kind].fingerprint, answer, topology)
