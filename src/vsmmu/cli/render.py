# SPDX-License-Identifier: Apache-2.0
"""Facts as text: exact values plain, bounds with a sign, unknown values as a question mark."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vsmmu.host.judgements import ats

if TYPE_CHECKING:
    from vsmmu.host.evidence import Fact, Reading
    from vsmmu.host.facts import Host, HostFunction
    from vsmmu.smmuv3.fields import Field

__all__ = ["spell_ats", "spell_fact", "spell_field"]


def spell_field(entry: Field, reading: Reading) -> str:
    """A register field's value with its meaning, such as ``2 (AArch64)``."""
    meaning = "" if reading.exact is None else entry.meaning(reading.exact)
    return reading.interval.spell_bound() + (f" ({meaning})" if meaning else "")


def spell_fact(fact: Fact, *, switch: bool = True) -> str:
    """A fact that stands outside the registers: yes and no, or a number."""
    if fact.value is None:
        return "?"
    return ("yes" if fact.value else "no") if switch else str(fact.value)


def spell_ats(host: Host, function: HostFunction) -> str:
    """Whether a function can use ATS, from everything that is known besides its SMMU."""
    return spell_answer(ats(host, function).answer)


def spell_answer(answer: bool | None) -> str:
    """A judgement in a cell of a table."""
    return {True: "yes", False: "no", None: "?"}[answer]
