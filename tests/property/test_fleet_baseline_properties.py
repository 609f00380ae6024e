# SPDX-License-Identifier: Apache-2.0
"""A baseline is what its name says: accepted everywhere, no larger one is, and order does not matter."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

import strategies
from fleet_examples import baseline_of, line, taken
from vsmmu.cli import show
from vsmmu.fleet.capability import Capability, capability_of, host_with
from vsmmu.fleet.classes import EVERYTHING, class_of
from vsmmu.fleet.comparison import compare_hosts, relation
from vsmmu.fleet.fit import values_fit
from vsmmu.host.evidence import UNKNOWN, Fact
from vsmmu.kubevirt.nfd import PREFIX, labels_of
from vsmmu.qemu.versions import LATEST
from vsmmu.smmuv3.interval import Interval
from vsmmu.smmuv3.properties import PROPERTIES, REGISTER_PROPERTIES

if TYPE_CHECKING:
    from vsmmu.host.facts import Host

pools = st.lists(strategies.hosts(), min_size=1, max_size=6)
known_pools = st.lists(strategies.hosts(known=True), min_size=1, max_size=6)
intervals = st.tuples(st.integers(0, 3), st.integers(0, 3)).map(lambda pair: Interval(min(pair), max(pair)))


def numbered(hosts: list[Host]) -> list[Host]:
    return [msgspec.structs.replace(host, name=f"n{number}") for number, host in enumerate(hosts)]


def values_of(document: object) -> dict[str, int]:
    (pool,) = document.pools  # type: ignore[attr-defined]
    return {
        name: int(PROPERTIES[name].parse(text))
        for name, text in pool.values.items()
        if PROPERTIES[name].source
    }


def usable(hosts: list[Host], values: dict[str, int]) -> list[Capability]:
    """The SMMUs behind which a VM starts with the least values, as far as is known."""
    least = {entry.name: entry.pinnable[0] for entry in REGISTER_PROPERTIES}
    found = []
    for host in hosts:
        for capability in class_of(host).capabilities:
            fit = values_fit(least, capability, LATEST)
            if fit.answer != "refused" and "IDR5.OAS" not in fit.needs:
                found.append(capability)
    assert bool(found) == bool(values)
    return found


@given(pools)
def test_it_is_accepted_behind_every_usable_smmu_of_every_host(hosts: list[Host]) -> None:
    values = values_of(baseline_of(numbered(hosts)))
    sources = {entry.source for entry in REGISTER_PROPERTIES}
    for capability in usable(hosts, values):
        fit = values_fit(values, capability, LATEST)
        assert fit.answer != "refused"
        assert not sources & set(fit.needs), "no doubt about the values themselves"


@given(known_pools)
def test_where_everything_is_known_it_certainly_starts(hosts: list[Host]) -> None:
    values = values_of(baseline_of(numbered(hosts)))
    for capability in usable(hosts, values):
        assert values_fit(values, capability, LATEST).answer == "starts"


@given(pools)
def test_no_value_can_be_raised_without_losing_a_host(hosts: list[Host]) -> None:
    values = values_of(baseline_of(numbered(hosts)))
    capabilities = usable(hosts, values)
    before = [values_fit(values, capability, LATEST).needs for capability in capabilities]
    for name, value in values.items():
        for larger in (number for number in PROPERTIES[name].pinnable if number > value):
            raised = {**values, name: larger}
            after = [values_fit(raised, capability, LATEST) for capability in capabilities]
            lost = [
                fit.answer == "refused" or len(fit.needs) > len(needs)
                for fit, needs in zip(after, before, strict=True)
            ]
            assert any(lost), f"{name}={larger} would have done"


@given(pools, st.randoms(use_true_random=False))
def test_order_does_not_matter(hosts: list[Host], random: object) -> None:
    hosts = numbered(hosts)
    shuffled = list(hosts)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    one, other = baseline_of(hosts).pools[0], baseline_of(shuffled).pools[0]
    assert (one.values, one.classes, one.holds) == (other.values, other.classes, other.holds)
    assert [(s.property, s.value, s.hosts, s.unknown, s.classes) for s in one.steps] == [
        (s.property, s.value, s.hosts, s.unknown, s.classes) for s in other.steps
    ]


@given(pools)
def test_counting_a_host_twice_changes_no_value(hosts: list[Host]) -> None:
    once, twice = baseline_of(numbered(hosts)), baseline_of(numbered(hosts + hosts))
    assert once.pools[0].values == twice.pools[0].values


@given(pools)
def test_a_step_keeps_its_promise(hosts: list[Host]) -> None:
    """Without the hosts that it names, the value does hold."""
    hosts = numbered(hosts)
    for step in baseline_of(hosts).pools[0].steps:
        rest = [host for host in hosts if host.name not in step.names]
        assert len(rest) == len(hosts) - step.hosts
        assert baseline_of(rest).pools[0].values[step.property] == step.value


@given(pools, strategies.hosts())
def test_one_more_host_never_raises_anything(hosts: list[Host], more: Host) -> None:
    before = values_of(baseline_of(numbered(hosts)))
    after = values_of(baseline_of(numbered([*hosts, more])))
    assert all(after[name] <= value for name, value in before.items())


@given(strategies.hosts())
def test_a_class_stands_for_its_hosts(host: Host) -> None:
    for capability in class_of(host).capabilities:
        made = host_with(capability, ["0000:01:00.0"])
        assert capability_of(made, made.smmus[0], made.functions) == capability


@given(pools)
def test_the_quick_way_of_reading_is_the_strict_way(hosts: list[Host]) -> None:
    reader, _ = taken(numbered(hosts))
    for host in hosts:
        again = reader.read(line(host), "again")
        assert again.host is None
        assert reader.classes[again.kind].fingerprint == class_of(host).fingerprint


@given(strategies.hosts())
def test_a_host_is_identical_to_itself(host: Host) -> None:
    assert compare_hosts(host, host, EVERYTHING, LATEST).verdict == "identical"


@given(intervals, intervals)
def test_the_words_of_a_comparison_mean_what_they_say(a: Interval, b: Interval) -> None:
    word = relation(a, b)
    truths = [(x, y) for x in range(a.low, a.high + 1) for y in range(b.low, b.high + 1)]
    if word == "identical":
        assert a == b
    elif word == "superset":
        assert b.low >= a.low
    elif word == "incompatible":
        assert all(y < x for x, y in truths)
    else:
        assert any(y < x for x, y in truths)


@given(strategies.hosts(), st.lists(st.sampled_from([Fact(0, "known"), UNKNOWN]), min_size=3, max_size=3))
@settings(max_examples=60)
def test_a_label_and_show_agree_on_command_queues(host: Host, made: list[Fact]) -> None:
    smmus = tuple(
        msgspec.structs.replace(smmu, cmdqv_viommu=value)
        for smmu, value in zip(host.smmus, made, strict=False)
    )
    host = msgspec.structs.replace(host, smmus=smmus)
    column = show._COLUMNS.index("CMDQV")
    shown = {show._smmu_row(host, smmu)[column] for smmu in host.smmus}
    labels = labels_of(host, LATEST)
    label = labels.get(f"{PREFIX}cmdqv")
    if label is not None:
        assert {"on": "yes", "off": "no"}[label] in shown
    if shown == {"?"}:
        assert label is None
    elif len(shown) == 1 and "?" not in shown and f"{PREFIX}oas" in labels:
        assert shown == {{"on": "yes", "off": "no"}[str(label)]}
