# SPDX-License-Identifier: Apache-2.0
"""The glossary: sorted, each word once, and each word in use somewhere else in the manual or the code."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reference" / "glossary.md"
ROWS = re.findall(r"^\| ([^|]+?) \| ([^|]+) \|$", PAGE.read_text(encoding="utf-8"), re.M)[1:]


def test_the_glossary_is_sorted_and_has_each_word_once() -> None:
    words = [word for word, _ in ROWS]
    assert len(words) > 30
    assert words == sorted(set(words), key=str.lower)


def test_every_word_of_the_glossary_is_used() -> None:
    pages = [path for path in (ROOT / "docs").rglob("*.md") if path != PAGE and "_build" not in path.parts]
    sources = (ROOT / "src").rglob("*.py")
    text = "\n".join(path.read_text(encoding="utf-8") for path in [*pages, *sources]).lower()
    parts = [part.strip() for word, _ in ROWS for part in word.split(",")]
    assert [part for part in parts if part.lower() not in text] == []
