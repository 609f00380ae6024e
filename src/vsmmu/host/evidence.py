# SPDX-License-Identifier: Apache-2.0
"""Evidence of a value: an interval, how it is known, and its source.

Annotations are objects here, not text that msgspec would compile at each start.
"""

from typing import TYPE_CHECKING, Literal

import msgspec

from vsmmu.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from vsmmu.smmuv3.interval import Interval

__all__ = ["UNKNOWN", "Bound", "Evidence", "Fact", "Kind", "Reading"]

Kind = Literal["measured", "published", "inferred", "unknown"]
Bound = Literal["exact", "at-least", "at-most"]


class Evidence(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a value comes from.

    ``kind`` is *measured* (this host's kernel answered), *published* (somebody states it of this model of
    host), *inferred* (it follows from something else; ``detail`` says how) or *unknown* (``detail`` says
    why, and how to find out).
    """

    kind: Kind
    source: str
    detail: str = ""


class Fact(msgspec.Struct, frozen=True, omit_defaults=True):
    """One number with a reference into the host's table of evidence.

    ``value`` is null where it is not known. ``bound`` says whether the true value may lie above
    (*at-least*) or below (*at-most*): a VM that starts proves a minimum, not the register.
    """

    value: int | None = None
    evidence: str = ""
    bound: Bound = "exact"


#: A fact of which nothing was said.
UNKNOWN = Fact()


class Reading(NamedTuple):
    """A fact looked up: the interval in which the true value lies, and why we believe that.

    :param key: what was asked, such as ``IDR0.ATS``.
    :param interval: the values that the evidence allows.
    :param word: the whole register, if it is known; None otherwise.
    """

    key: str
    interval: "Interval"
    evidence: Evidence
    word: int | None = None

    @property
    def exact(self) -> int | None:
        """The value, if the evidence settles it."""
        return self.interval.exact

    @property
    def is_unknown(self) -> bool:
        """Whether there is no evidence at all (a bound is some)."""
        return self.evidence.kind == "unknown"

    def spell(self, value: "Callable[[int], str]" = str) -> str:
        """Write it as ``5``, ``≥5`` or ``≤5``, or as ``?`` where there is no evidence."""
        return "?" if self.is_unknown else self.interval.spell_bound(value)
