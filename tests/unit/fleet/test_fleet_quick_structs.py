# SPDX-License-Identifier: Apache-2.0
"""Structs without patterns are those of the facts; texts of functions without labels."""

from __future__ import annotations

import json
import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_examples import PATTERNED
from vsmmu.fleet import quick_structs
from vsmmu.host.facts import Host, HostFunction, Kernel

LABEL = re.compile(r'"label":""')
#: Names of members and texts that look like labels, or end like them.
TEXTS = st.sampled_from(["label", 'a"label', 'label":"', '"label":"b', "", "\\", "é"]) | st.text(max_size=4)
DOCUMENTS = st.recursive(
    TEXTS | st.none() | st.integers(0, 9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=12,
)


def test_the_unchecked_structs_are_the_strict_ones_without_patterns() -> None:
    pairs = ((quick_structs._UncheckedFunction, HostFunction), (quick_structs._UncheckedKernel, Kernel))
    for quick, strict in pairs:
        assert quick is not strict
        assert quick.__struct_fields__ == strict.__struct_fields__
        assert quick.__struct_defaults__ == strict.__struct_defaults__
    assert quick_structs.Head.__struct_fields__ == Host.__struct_fields__


def test_what_is_left_out_of_a_function_is_checked_in_another_way() -> None:
    unlike = [
        strict.name
        for quick, strict in zip(
            msgspec.structs.fields(quick_structs._UncheckedFunction),
            msgspec.structs.fields(HostFunction),
            strict=True,
        )
        if quick.type != strict.type
    ]
    assert unlike == list(PATTERNED)


def compact(document: object) -> str:
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False)


@given(DOCUMENTS, st.data())
def test_texts_that_are_the_same_without_labels_say_the_same_but_for_these(
    document: object, data: st.DataObject
) -> None:
    """Whatever looks like a label in a text that can be decoded is the whole text of some member."""
    without = quick_structs.without_labels(compact(document).encode()).decode()
    emptied = json.loads(without)
    labels = st.text(st.characters(codec="ascii", exclude_characters='"\\', exclude_categories=["C"]))
    labelled = LABEL.sub(lambda _: f'"label":"{data.draw(labels)}"', without)
    assert quick_structs.without_labels(labelled.encode()).decode() == without
    assert unlabelled(json.loads(labelled)) == unlabelled(emptied) == unlabelled(document)


def unlabelled(document: object) -> object:
    """Without the texts of members whose name ends in that of a label."""
    if isinstance(document, list):
        return [unlabelled(entry) for entry in document]
    if not isinstance(document, dict):
        return document
    return {
        name: None if name.endswith("label") and isinstance(value, str) else unlabelled(value)
        for name, value in document.items()
    }


@pytest.mark.parametrize("label", ["a\\u0000b", "\u00e9", "a\\\\", "a" * 256])
def test_a_label_that_is_not_plain_stays(label: str) -> None:
    text = f'[{{"address":"0001:00:00.0","label":"{label}"}}]'.encode()
    assert quick_structs.without_labels(text) == text
