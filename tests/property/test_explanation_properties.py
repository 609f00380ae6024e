# SPDX-License-Identifier: Apache-2.0
"""Every message of the tables is found by its own printed text, whatever stands in its places."""

from __future__ import annotations

import re
import string

from hypothesis import given, settings
from hypothesis import strategies as st

from vsmmu.explanation.sentences import explain_text, templates
from vsmmu.qemu.outcome import failure
from vsmmu.qemu.texts import MESSAGES

#: What QEMU prints in a place: an id, an address, a number, a property's name.
PRINTED = st.text(f"{string.ascii_letters}{string.digits}_.:/-", min_size=1, max_size=24)
OPTIONS = st.sampled_from(
    ["", "-device vfio-pci,host=0009:01:00.0,bus=rp1", "vm.cfg:12", '-device {"driver":"x"}']
)
BEFORE = st.sampled_from(
    ["", "2026-11-25T19:00:00.123456Z ", "error: internal error: ", "Nov 25 19:00:00 h q[1]: "]
)
ORDINARY = [code for code, row in MESSAGES.items() if row.text != "{text}"]
_PLACE = re.compile(r"\{(\w+)")


@settings(max_examples=300)
@given(code=st.sampled_from(ORDINARY), option=OPTIONS, before=BEFORE, data=st.data())
def test_a_message_of_qemu_is_found_as_it_is_printed(
    code: str, option: str, before: str, data: st.DataObject
) -> None:
    row = MESSAGES[code]
    places = set(_PLACE.findall(f"{row.prefix}{row.text}{row.remedy}")) - {"device"}
    values = {name: data.draw(PRINTED, name) for name in sorted(places)}
    made = failure(code, data.draw(PRINTED, "device"), option, "create", **values)
    found = {entry.code: entry for entry in explain_text(before + made.printed)}
    assert code in found
    # What the sentence tells stands in the remedy.
    for name in set(_PLACE.findall(row.text)) & set(_PLACE.findall(row.remedy)) - {"device", "qemu"}:
        if f"QEMU {{{name}}}" not in row.remedy and not re.search(rf"[a-z]\{{{name}", row.remedy):
            assert values[name] in found[code].mend


@given(number=st.integers(0, len(templates()) - 1), data=st.data())
def test_every_sentence_of_every_table_is_found(number: int, data: st.DataObject) -> None:
    template = templates()[number]
    values: dict[str, str] = {}

    def put(place: re.Match[str]) -> str:
        return values.setdefault(place[1], data.draw(PRINTED, place[1]))

    printed = re.sub(r"\{(\w*)[^}]*\}", put, template.text)
    assert template.code in {entry.code for entry in explain_text(f"said: {printed}")}


@given(text=st.text(max_size=2000))
def test_any_text_is_taken(text: str) -> None:
    explain_text(text)
