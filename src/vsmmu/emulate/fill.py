# SPDX-License-Identifier: Apache-2.0
"""Complete the registers of a partly known SMMU by rules, and name the bits that are made up.

A program reads whole registers, facts are often single fields. A gap gets the value of the rule below: what
any SMMU must have whose functions can be given to a VM, and otherwise the least. So a program that works here
does not depend on something that the real host may lack.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from vsmmu.host.evidence import Evidence
from vsmmu.host.facts import RegisterFact
from vsmmu.smmuv3.fields import FIELDS, REGISTERS, fields_of
from vsmmu.smmuv3.registers import IdRegisters

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vsmmu.host.facts import Host, HostSmmu

__all__ = ["RULES", "Filled", "completed", "fill"]

#: Field -> (value, why). A field without a rule is 0.
RULES: Final[Mapping[str, tuple[int, str]]] = MappingProxyType(
    {
        "IDR0.S1P": (1, "a VM's own translation needs stage 1"),
        "IDR0.S2P": (1, "the VM itself needs stage 2"),
        "IDR0.TTF": (2, "AArch64 tables, the least that Linux takes"),
        "IDR0.COHACC": (1, "vfio refuses an SMMU that is not coherent"),
        "IDR0.ASID16": (1, "as every known implementation"),
        "IDR0.VMID16": (1, "as every known implementation"),
        "IDR0.TTENDIAN": (2, "little-endian, the least that Linux takes"),
        "IDR0.STALL_MODEL": (1, "terminate only: no stalls, the least"),
        "IDR0.TERM_MODEL": (1, "faults are reported, the least"),
        "IDR0.ST_LEVEL": (1, "two levels, as every known implementation"),
        "IDR1.SIDSIZE": (16, "one PCI segment"),
        "IDR1.CMDQS": (8, "enough for Linux"),
        "IDR1.EVENTQS": (8, "enough for Linux"),
        "IDR5.OAS": (4, "44 bits, the least that QEMU's explicit values allow"),
        "IDR5.GRAN4K": (1, "as every known implementation"),
        "IDR5.GRAN16K": (1, "as every known implementation"),
        "IDR5.GRAN64K": (1, "as every known implementation"),
    }
)


#: The evidence of filled registers in completed facts.
_FILLED: Final = "emulated"


class Filled(NamedTuple):
    """Complete registers.

    :param synthetic: for each register the bits that no fact determines.
    :param fields: the fields with such bits that are not 0, with the rule that gave them their value.
    """

    registers: IdRegisters
    synthetic: Mapping[str, int]
    fields: Mapping[str, str]


def fill(host: Host, smmu: HostSmmu) -> Filled:
    """Complete the registers of one SMMU."""
    words: dict[str, int] = {}
    synthetic: dict[str, int] = {}
    made_up: dict[str, str] = {}
    for register in REGISTERS:
        known = smmu.registers.get(register)
        if known is not None:
            words[register.lower()] = known.word
            continue
        word = 0
        mask = 0xFFFFFFFF
        for entry in fields_of(register):
            value, why = _value(host, smmu, entry.key)
            word = entry.encode(word, value)
            if not why:
                mask &= ~entry.mask
            elif value:
                made_up[entry.key] = why
        words[register.lower()] = word
        synthetic[register] = mask
    return Filled(IdRegisters(**words), synthetic, made_up)


def completed(host: Host, filled: Mapping[str, Filled]) -> Host:
    """``host`` with the registers of its SMMUs filled, so that judgements are on what a program is shown.

    :param filled: by name of the SMMU.
    """
    smmus = tuple(
        msgspec.structs.replace(
            smmu,
            registers={
                name: RegisterFact(word, _FILLED)
                for name, word in filled[smmu.name].registers.as_dict().items()
            },
        )
        for smmu in host.smmus
    )
    evidence = host.evidence | {_FILLED: Evidence("inferred", "the facts, and the rules for gaps in them")}
    return msgspec.structs.replace(host, smmus=smmus, evidence=evidence)


def _value(host: Host, smmu: HostSmmu, key: str) -> tuple[int, str]:
    """A field's value, and why it is made up; an empty reason for a fact."""
    reading = host.read_field(smmu, key)
    if reading.exact is not None:
        return reading.exact, ""
    rule, why = RULES.get(key, (0, "the least"))
    if key == "IDR3.FWB" and _needs_forced_writes(host, smmu):
        rule, why = 1, "the kernel makes vIOMMUs, and no root complex is known to have CANWBS"
    low, high = reading.interval
    if rule < low:
        return low, f"the facts say at least {low}"
    if rule > high:
        return high, f"the facts say at most {high}"
    return rule, why


def _needs_forced_writes(host: Host, smmu: HostSmmu) -> bool:
    """Whether nesting was found on an SMMU all of whose functions lack CANWBS, as far as is known."""
    snoops = {host.read(entry.canwbs, "canwbs").exact for entry in host.behind(smmu)}
    return host.read(smmu.nesting, "nesting").exact == 1 and 0 in snoops and 1 not in snoops


def describe(filled: Filled) -> str:
    """The made-up fields on one line."""
    return ", ".join(
        f"{key}={FIELDS[key].decode(filled.registers.word(FIELDS[key].register))}" for key in filled.fields
    )
