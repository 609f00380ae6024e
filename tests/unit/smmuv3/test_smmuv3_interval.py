# SPDX-License-Identifier: Apache-2.0
"""Intervals against the sets of numbers that they stand for."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vsmmu.smmuv3.interval import Interval, exactly, hull, meet

if TYPE_CHECKING:
    from collections.abc import Callable

ends = st.integers(0, 6)
intervals = st.tuples(ends, ends).map(lambda pair: Interval(min(pair), max(pair)))


def members(interval: Interval) -> range:
    return range(interval.low, interval.high + 1)


@given(intervals, intervals)
def test_a_comparison_is_certain_where_it_is_the_same_for_all_values(a: Interval, b: Interval) -> None:
    comparisons: list[tuple[bool | None, Callable[[int, int], bool]]] = [
        (a.at_least(b), int.__ge__),
        (a.at_most(b), int.__le__),
        (a.equals(b), int.__eq__),
    ]
    for answer, relation in comparisons:
        outcomes = {relation(x, y) for x in members(a) for y in members(b)}
        assert answer is (outcomes.pop() if len(outcomes) == 1 else None)


@given(st.lists(intervals, min_size=1, max_size=3))
def test_the_meet_and_the_hull_hold_every_outcome_and_no_more(several: list[Interval]) -> None:
    least = {min(values) for values in itertools.product(*map(members, several))}
    assert meet(several) == Interval(min(least), max(least))
    either = {value for interval in several for value in members(interval)}
    assert hull(several) == Interval(min(either), max(either))


@given(intervals)
def test_exact_is_the_only_value(interval: Interval) -> None:
    assert interval.exact == (interval.low if len(members(interval)) == 1 else None)
    assert interval.convert(lambda code: code * 2) == Interval(interval.low * 2, interval.high * 2)


def test_spelling() -> None:
    assert (exactly(5).spell(), exactly(5).spell_bound()) == ("5", "5")
    assert (Interval(0, 5).spell(hex), Interval(0, 5).spell_bound(hex)) == ("0x0..0x5", "≤0x5")
    assert Interval(2, 5).spell_bound() == "≥2"


@pytest.mark.parametrize("combine", [meet, hull])
def test_nothing_has_no_bounds(combine: Callable[[list[Interval]], Interval]) -> None:
    with pytest.raises(ValueError, match="not enough values"):
        combine([])
