# SPDX-License-Identifier: Apache-2.0
"""Numbers in attributes of a domain: the forms that libvirt takes, and nothing else."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from number_domains import FORMS, PLACES, RECORDED, number_domain
from vsmmu.errors import InputRefused
from vsmmu.libvirt.lint import lint
from vsmmu.machine.domain.document import read_domain_xml
from vsmmu.machine.domain.numbers import BASES, integer

#: What is never written, as far as libvirt is concerned, if it is negative.
UNSET = ("pciBus", "ssidsize", "oas")


@pytest.mark.parametrize("place", PLACES)
def test_the_forms_are_those_that_libvirt_took(place: str) -> None:
    name, _ = PLACES[place]
    taken = json.loads(RECORDED.read_text(encoding="utf-8"))[place]
    ours = []
    for form in FORMS:
        value = integer(name, form)
        if (value is not None and (value >= 0 or name in UNSET)) or (name == "node" and not form):
            ours.append(form)
    assert ours == taken


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("form", ["2 ", "-1", "2a", "\u0662", "1e1", "4294967298"])
def test_another_form_is_refused_wherever_it_stands(place: str, form: str) -> None:
    name, _ = PLACES[place]
    if name in UNSET:
        reading = read_domain_xml(number_domain(place, form), "vm.xml").reading
        assert form == "-1" or "value-refused" in {found.code for found in lint(reading)}
        return
    with pytest.raises(InputRefused) as caught:
        read_domain_xml(number_domain(place, form), "vm.xml").machine()
    assert caught.value.code in ("domain-number", "domain-address", "domain-controller")
    assert caught.value.where.startswith("line ")
    assert caught.value.next


@given(st.integers(0, 0xFFFFFFFF), st.sampled_from(sorted(BASES)), st.sampled_from(["", "+", " ", "\n\t +"]))
def test_numbers_are_read_as_c_reads_them(value: int, name: str, before: str) -> None:
    assert integer(name, f"{before}{value}") == value
    c = {f"{value:#x}": value, f"0{value:o}": value, f"{value:#b}": value}
    for text, meant in c.items():
        assert integer(name, f"{before}{text}") == (meant if BASES[name] == 0 else _decimal(text))
        assert integer(name, f"{text} ") is None


def _decimal(text: str) -> int | None:
    return int(text) if text.isdecimal() and int(text) <= 0xFFFFFFFF else None


@given(st.text(max_size=12), st.sampled_from(sorted(BASES)))
def test_any_other_text_is_no_number(text: str, name: str) -> None:
    value = integer(name, text)
    assert value is None or (text.isascii() and text[-1:].isalnum())
