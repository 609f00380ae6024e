# SPDX-License-Identifier: Apache-2.0
"""Gaps are filled by the stated rules, facts are kept, and what is made up is said."""

from __future__ import annotations

import pytest
from emulate_helpers import fact, host
from hypothesis import given
from hypothesis import strategies as st

from vsmmu.emulate.fill import RULES, describe, fill
from vsmmu.host.builtin import builtin_host, builtin_names
from vsmmu.host.evidence import Evidence, Fact
from vsmmu.host.facts import SCHEMA, Host, HostSmmu, RegisterFact
from vsmmu.smmuv3.fields import FIELDS, REGISTERS, field


@pytest.mark.parametrize("name", builtin_names())
def test_no_fact_of_a_built_in_host_is_contradicted(name: str) -> None:
    shown = builtin_host(name)
    for smmu in shown.smmus:
        filled = fill(shown, smmu)
        for key in FIELDS:
            reading, value = shown.read_field(smmu, key), filled.registers.get(key)
            assert reading.interval.low <= value <= reading.interval.high
            if reading.exact is not None:
                assert not filled.synthetic.get(field(key).register, 0) & field(key).mask


def test_whole_registers_are_not_touched() -> None:
    shown = host()
    filled = fill(shown, shown.smmus[0])
    assert filled.registers.as_dict() == {n: r.value for n, r in shown.smmus[0].registers.items()} | {
        name: f"{filled.registers.word(name):#010x}" for name in REGISTERS
    }
    assert not filled.synthetic
    assert describe(filled) == ""


def partly(**fields: Fact) -> Host:
    smmu = HostSmmu(name="s", fields={name.replace("_", ".", 1): value for name, value in fields.items()})
    evidence = {"made": Evidence("measured", "a test", "")}
    return Host(schema=SCHEMA, name="partly", smmus=(smmu,), evidence=evidence)


@given(st.sampled_from(sorted(FIELDS)), st.data())
def test_a_known_field_is_the_only_part_that_is_not_synthetic(key: str, data: st.DataObject) -> None:
    entry = field(key)
    value = data.draw(st.integers(0, entry.limit))
    shown = Host(
        schema=SCHEMA,
        name="one",
        smmus=(HostSmmu(name="s", fields={key: fact(value)}),),
        evidence={"made": Evidence("measured", "a test", "")},
    )
    filled = fill(shown, shown.smmus[0])
    assert filled.registers.get(key) == value
    assert filled.synthetic[entry.register] == 0xFFFFFFFF & ~entry.mask
    for other, (rule, _) in RULES.items():
        assert filled.registers.get(other) == (value if other == key else rule)


def test_bounds_hold_against_the_rule() -> None:
    shown = partly(IDR1_SIDSIZE=Fact(20, "made", "at-least"), IDR0_TTENDIAN=Fact(0, "made", "at-most"))
    filled = fill(shown, shown.smmus[0])
    assert (filled.registers.get("IDR1.SIDSIZE"), filled.registers.get("IDR0.TTENDIAN")) == (20, 0)
    assert filled.fields["IDR1.SIDSIZE"] == "the facts say at least 20"


def test_a_known_word_wins_over_rules() -> None:
    smmu = HostSmmu(name="s", registers={"IDR0": RegisterFact("0x00000010", "made")})
    shown = Host(schema=SCHEMA, name="w", smmus=(smmu,), evidence={"made": Evidence("measured", "t", "")})
    filled = fill(shown, smmu)
    assert filled.registers.idr0 == 0x10
    assert "IDR0" not in filled.synthetic
    assert filled.synthetic["IDR5"] == 0xFFFFFFFF
