# SPDX-License-Identifier: Apache-2.0
"""The tables of registers, fields and properties."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vsmmu.smmuv3.fields import FIELDS, OAS_BITS, REGISTERS, Field, field, fields_of, oas_code
from vsmmu.smmuv3.properties import (
    AUTO,
    LIBVIRT_ORDER,
    PROPERTIES,
    REALIZE_ORDER,
    REGISTER_PROPERTIES,
    Property,
)
from vsmmu.smmuv3.registers import IdRegisters

ALL_FIELDS = pytest.mark.parametrize("entry", FIELDS.values(), ids=FIELDS)
ALL_PROPERTIES = pytest.mark.parametrize("entry", PROPERTIES.values(), ids=PROPERTIES)
WORDS = st.integers(0, 0xFFFFFFFF)


@ALL_FIELDS
def test_a_field_lies_in_a_register_of_32_bits(entry: Field) -> None:
    assert entry.register in REGISTERS
    assert 0 <= entry.lsb <= entry.msb < 32
    assert all(0 <= value <= entry.limit for value in entry.meanings)
    assert entry.title


@pytest.mark.parametrize("register", REGISTERS)
def test_no_two_fields_of_a_register_overlap(register: str) -> None:
    seen = 0
    for entry in fields_of(register):
        assert not seen & entry.mask, entry.key
        seen |= entry.mask


@ALL_FIELDS
@given(word=WORDS, data=st.data())
def test_encoding_changes_one_field_and_decodes_back(entry: Field, word: int, data: st.DataObject) -> None:
    value = data.draw(st.integers(0, entry.limit))
    encoded = entry.encode(word, value)
    assert entry.decode(encoded) == value
    assert encoded & ~entry.mask == word & ~entry.mask


@ALL_FIELDS
def test_a_value_that_does_not_fit_is_refused(entry: Field) -> None:
    for value in (-1, entry.limit + 1):
        with pytest.raises(ValueError, match=entry.key):
            entry.encode(0, value)


@pytest.mark.parametrize(
    ("key", "bits"),
    [("IDR0.ATS", "[10]"), ("IDR1.SSIDSIZE", "[10:6]"), ("IDR3.RIL", "[10]"), ("IDR5.OAS", "[2:0]")],
)
def test_the_four_fields_stand_where_qemu_looks(key: str, bits: str) -> None:
    assert field(key).bits == bits


def test_an_unknown_field_is_an_error_of_the_caller() -> None:
    with pytest.raises(KeyError):
        field("IDR0.NONE")


@pytest.mark.parametrize(
    ("key", "value", "meaning"),
    [
        ("IDR0.ATS", 1, "yes"),
        ("IDR5.OAS", 5, "48-bit"),
        ("IDR0.TTF", 0, "reserved"),
        ("IDR1.SSIDSIZE", 20, ""),
    ],
)
def test_values_have_words_where_the_architecture_has_them(key: str, value: int, meaning: str) -> None:
    assert field(key).meaning(value) == meaning


@pytest.mark.parametrize(("code", "bits"), OAS_BITS.items())
def test_every_address_size_has_its_code(code: int, bits: int) -> None:
    assert oas_code(bits) == code


def test_there_is_no_code_for_other_sizes() -> None:
    with pytest.raises(ValueError, match="50 bits"):
        oas_code(50)


@given(words=st.lists(WORDS, min_size=8, max_size=8), key=st.sampled_from(sorted(FIELDS)))
def test_registers_are_what_their_fields_say(words: list[int], key: str) -> None:
    registers = IdRegisters(*words)
    entry = field(key)
    shown = {decoded.key: decoded.value for decoded in registers.decode(entry.register)}
    assert shown[key] == registers.get(key) == entry.decode(registers.word(entry.register))
    assert registers.replace(key, registers.get(key)) == registers


def test_words_are_spelt_with_eight_digits() -> None:
    assert IdRegisters(aidr=1).as_dict() == dict.fromkeys(REGISTERS, "0x00000000") | {"AIDR": "0x00000001"}


# --- properties ---------------------------------------------------------------------------------------------


@ALL_PROPERTIES
def test_every_spelling_is_read_and_written_back(entry: Property) -> None:
    for text, value in entry.spellings.items():
        assert entry.parse(text) == value
        assert entry.spell(value) == text


@ALL_PROPERTIES
@pytest.mark.parametrize("text", ["", "ON", "Auto", " 44", "044", "21", "50", "true", "1.0"])
def test_qemus_parser_takes_nothing_else(entry: Property, text: str) -> None:
    with pytest.raises(ValueError, match=entry.name):
        entry.parse(text)


@ALL_PROPERTIES
def test_what_can_be_pinned_is_ascending_and_has_a_spelling(entry: Property) -> None:
    assert list(entry.pinnable) == sorted(set(entry.pinnable))
    assert set(entry.pinnable) <= set(entry.spellings.values()) - {AUTO}
    assert entry.safe == entry.pinnable[0]


@pytest.mark.parametrize("entry", REGISTER_PROPERTIES, ids=lambda entry: entry.name)
def test_codes_and_numbers_are_two_ways_to_say_one_thing(entry: Property) -> None:
    for value in entry.pinnable:
        assert entry.from_code(entry.to_code(value)) == value
    assert entry.source_field.limit >= entry.to_code(entry.pinnable[-1])


@pytest.mark.parametrize(
    ("name", "limit", "best"),
    [
        ("oas", 40, None), ("oas", 44, 44), ("oas", 47, 44), ("oas", 48, 48), ("oas", 52, 48),
        ("ssidsize", 0, 0), ("ssidsize", 20, 20), ("ssidsize", 31, 20),
        ("ats", 0, 0), ("ats", 1, 1), ("ril", 0, 0), ("ril", 1, 1),
    ],
)  # fmt: skip
def test_the_best_pin_is_the_most_that_can_be_written(name: str, limit: int, best: int | None) -> None:
    assert PROPERTIES[name].best_pin(limit) == best


@ALL_PROPERTIES
def test_one_number_at_most_does_without_acceleration(entry: Property) -> None:
    assert [value for value in entry.pinnable if not entry.needs_accel(value)] == [entry.software]
    assert not entry.needs_accel(AUTO)
    assert not entry.needs_accel(None)


@pytest.mark.parametrize("order", [LIBVIRT_ORDER, REALIZE_ORDER])
def test_every_order_has_all_five(order: tuple[Property, ...]) -> None:
    assert sorted(entry.name for entry in order) == sorted(PROPERTIES)


def test_cmdqv_has_no_register() -> None:
    with pytest.raises(KeyError):
        _ = PROPERTIES["cmdqv"].source_field
