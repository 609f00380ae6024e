# SPDX-License-Identifier: Apache-2.0
"""The glossary: sorted, each word once, and each word in use somewhere else in the manual or the code."""

from __future__ import annotations

import re
from pathlib import Path

from vsmmu.smmuv3.properties import PROPERTIES

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


#: Abbreviations that whoever starts VMs knows, not explained.
_KNOWN = set("CPU DPDK GPU JSON KVM NUMA RFC VFIO XML".split())


def test_every_property_and_abbreviation_of_the_guides_is_in_the_glossary() -> None:
    """What two guides or more abbreviate, and what a resolved line has in it."""
    defined = PAGE.read_text(encoding="utf-8")
    assert [name for name in PROPERTIES if f"| {name.upper()} |" not in defined] == []
    seen: dict[str, set[str]] = {}
    for directory in ("tutorial", "how-to", "explanation"):
        for page in (ROOT / "docs" / directory).glob("*.md"):
            prose = re.sub(r"```.*?```|`[^`]*`", "", page.read_text(encoding="utf-8"), flags=re.S)
            for word in re.findall(r"\b[A-Z]{3,}\b", prose):
                seen.setdefault(word, set()).add(page.name)
    words = {word for word, names in seen.items() if len(names) > 1} - _KNOWN
    assert sorted(word for word in words if word not in defined) == []
