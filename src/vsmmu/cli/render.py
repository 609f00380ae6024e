# SPDX-License-Identifier: Apache-2.0
"""How facts look in text: exact values plain, bounds with a sign, what is unknown as a question mark."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vsmmu.host.evidence import Fact, Reading
    from vsmmu.host.facts import Host, HostFunction
    from vsmmu.smmuv3.fields import Field
    from vsmmu.smmuv3.properties import Property

__all__ = ["spell_ats", "spell_fact", "spell_field", "spell_reading"]


def spell_reading(entry: Property, reading: Reading) -> str:
    """A property's value as a host offers it, in QEMU's spelling."""
    if reading.exact is not None:
        return entry.spell(entry.from_code(reading.exact))
    if reading.is_unknown:
        return "?"
    if reading.low > 0:
        return f"≥{entry.spell(entry.from_code(reading.low))}"
    return f"≤{entry.spell(entry.from_code(reading.high))}"


def spell_field(entry: Field, reading: Reading) -> str:
    """A register field's value with its meaning, such as ``2 (AArch64)``."""
    if reading.exact is None:
        return f"≥{reading.low}" if reading.low > 0 else f"≤{reading.high}"
    meaning = entry.meaning(reading.exact)
    return f"{reading.exact} ({meaning})" if meaning else str(reading.exact)


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
