# SPDX-License-Identifier: Apache-2.0
"""An interval of whole numbers in which a value lies that may be known only in part."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vsmmu.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["Interval", "exactly", "hull", "meet"]


class Interval(NamedTuple):
    """Both ends belong to it: register codes, numbers of a property, or 0 and 1 for no and yes.

    Comparisons answer True or False where that holds for every value in either interval, and None (open)
    where it depends on which one is true.
    """

    low: int
    high: int

    @property
    def exact(self) -> int | None:
        """The value, if there is only one."""
        return self.low if self.low == self.high else None

    def at_least(self, other: Interval) -> bool | None:
        """Whether a value of this interval is no less than one of ``other``."""
        return True if self.low >= other.high else False if self.high < other.low else None

    def at_most(self, other: Interval) -> bool | None:
        """Whether a value of this interval is no more than one of ``other``."""
        return other.at_least(self)

    def equals(self, other: Interval) -> bool | None:
        """Whether the values are the same; of two open intervals this is never certain."""
        if self.high < other.low or self.low > other.high:
            return False
        return True if self.exact is not None and self == other else None

    def convert(self, unit: Callable[[int], int]) -> Interval:
        """The interval in another unit; ``unit`` keeps the order."""
        return Interval(unit(self.low), unit(self.high))

    def spell(self, value: Callable[[int], str] = str) -> str:
        """Write it as ``5``, or as ``0..5``.

        :param value: writes one number.
        """
        return value(self.low) if self.low == self.high else f"{value(self.low)}..{value(self.high)}"

    def spell_bound(self, value: Callable[[int], str] = str) -> str:
        """Write it as ``5``, ``≥5`` (which a lower end above 0 stands for) or ``≤5``."""
        if self.low == self.high:
            return value(self.low)
        return f"≥{value(self.low)}" if self.low > 0 else f"≤{value(self.high)}"


def exactly(value: int) -> Interval:
    """The interval of one value."""
    return Interval(value, value)


def meet(intervals: Iterable[Interval]) -> Interval:
    """The least of several values, which is the most that all of them offer.

    :raise ValueError: of none.
    """
    lows, highs = zip(*intervals, strict=True)
    return Interval(min(lows), min(highs))


def hull(intervals: Iterable[Interval]) -> Interval:
    """The smallest interval in which each of several values lies.

    :raise ValueError: of none.
    """
    lows, highs = zip(*intervals, strict=True)
    return Interval(min(lows), max(highs))
