# SPDX-License-Identifier: Apache-2.0
"""The codes of diagnoses: each has a row with cause and remedy, and each diagnosis says what to do."""

from __future__ import annotations

import ast
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from codes import diagnoses

from vsmmu.codes import code_table
from vsmmu.doctor.checks import CHECKS
from vsmmu.libvirt.rules import RULES
from vsmmu.probe.refusals import REFUSALS
from vsmmu.qemu.texts import MESSAGES
from vsmmu.smmuv3.properties import PROPERTIES

if TYPE_CHECKING:
    from conftest import Module

#: Made with a text of which the code is a part.
COMPOSED = {
    *(f"{name}-inexpressible" for name in PROPERTIES),
    *(f"{name}-too-large" for name in ("vm", "domain", "baseline")),
    *(f"doctor-{name}" for name in ("iommufd", "kvm")),
}
#: What hands a diagnosis on, or fills the row of a table in.
PASSED_THROUGH = ("diagnostic.py", "errors.py")


def test_every_diagnosis_that_is_made_has_a_row() -> None:
    known = {*code_table(), *MESSAGES, *RULES}
    assert sorted({made.code for made in diagnoses() if made.code} - known) == []
    assert sorted({row.code for row in REFUSALS.values()} - known) == []
    assert sum(code.startswith("doctor-") for code in known) == len(CHECKS)


def test_every_diagnosis_says_what_to_do() -> None:
    silent = [made.place for made in diagnoses() if not made.has_next]
    assert [place for place in silent if not place.startswith(PASSED_THROUGH)] == []
    assert all(row.next for row in REFUSALS.values())
    assert all(row.remedy for row in (*MESSAGES.values(), *RULES.values()))


def test_every_row_is_of_a_code_that_is_made(modules: tuple[Module, ...]) -> None:
    texts = {
        node.value
        for module in modules
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    made = texts | COMPOSED | {entry.code for entry in diagnoses()}
    assert sorted(set(code_table()) - made) == []


@pytest.mark.parametrize("part", ["cause", "next"])
def test_every_row_has_texts_of_its_own(part: str) -> None:
    texts = Counter(getattr(row, part) for row in code_table().values())
    assert [text for text, count in texts.items() if count > 1 or not text.strip()] == []


def test_no_code_is_in_two_tables() -> None:
    tables = (set(code_table()), set(MESSAGES), set(RULES))
    assert [
        code for code, count in Counter(code for table in tables for code in table).items() if count > 1
    ] == []
