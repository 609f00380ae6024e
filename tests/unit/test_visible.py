# SPDX-License-Identifier: Apache-2.0
"""Nothing that a terminal or a browser acts on is left in a text, and what can be seen stays."""

from __future__ import annotations

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from vsmmu.visible import visible


@given(st.text(st.one_of(st.characters(), st.sampled_from("\x1b\x9b\u202e\u2066\x07\ud800\n\t"))))
def test_only_what_can_be_seen_is_left(text: str) -> None:
    shown = visible(text)
    assert not [mark for mark in shown if unicodedata.category(mark) in ("Cc", "Cf", "Cs", "Cn", "Zl", "Zp")]
    shown.encode()
    if text.isprintable():
        assert shown == text
