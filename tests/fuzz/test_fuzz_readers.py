# SPDX-License-Identifier: Apache-2.0
"""The readers on their seeds, on what fuzzing has found, and on a few mutants; ``make fuzz`` tries many."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fuzz.__main__ import cases
from fuzz.mutators import mutate_json, mutate_words
from fuzz.readers import READERS, takes

if TYPE_CHECKING:
    from pathlib import Path

MUTANTS = 40


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No file that an input names lies here."""
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", READERS)
def test_a_seed_is_taken(name: str) -> None:
    """Else mutants of it show nothing."""
    assert all(takes(READERS[name], seed) for seed in READERS[name].seeds)


@pytest.mark.parametrize("name", READERS)
def test_what_was_found_is_mended(name: str) -> None:
    for case in cases(name):
        takes(READERS[name], case.read_bytes())


@pytest.mark.parametrize("name", READERS)
def test_mutants_are_taken_or_refused(name: str) -> None:
    reader = READERS[name]
    for seed in range(MUTANTS):
        given = reader.seeds[seed % len(reader.seeds)]
        mutant = mutate_json(given, reader.longest, seed) if reader.json and seed % 2 else None
        takes(reader, mutant or mutate_words(given, reader.seeds[0], reader.longest, seed))


def test_a_mutant_is_another_and_not_too_long() -> None:
    given = READERS["facts"].seeds[0]
    mutants = {mutate_json(given, len(given), seed) for seed in range(50)}
    assert len(mutants) > 30
    assert all(mutant is None or len(mutant) <= len(given) for mutant in mutants)
    assert len({mutate_words(given, given, len(given), seed) for seed in range(50)}) > 40
