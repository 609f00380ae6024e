# SPDX-License-Identifier: Apache-2.0
"""How facts look in text: exact values plain, bounds with a sign, what is unknown as a question mark."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
    forbidden = host.read(function.ats_not_supported, "ats_not_supported").exact
    capability = host.read(function.ats_capability, "ats_capability").exact
    root_complex = host.read(function.root_complex_ats, "root_complex_ats").exact
    if forbidden == 1 or capability == 0 or root_complex == 0:
        return "no"
    return "yes" if forbidden == 0 and capability == 1 else "?"
