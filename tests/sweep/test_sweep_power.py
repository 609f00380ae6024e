# SPDX-License-Identifier: Apache-2.0
"""Which orders of calls a loss of power can take something from."""

from __future__ import annotations

import os

import pytest

from sweep.power import uncertain
from sweep.supervise import Moment

GOOD = ("openat f+", "write f", "fsync f", "rename f t", "fsync .")


def moments(*lines: str) -> list[Moment]:
    found = []
    for line in lines:
        name, *words = line.split()
        paths = tuple("/d" if word == "." else f"/d/{word.removesuffix('+')}" for word in words)
        found.append(Moment(name, paths, (0, 0, os.O_CREAT if line.endswith("+") else 0, 0, 0, 0)))
    return found


def test_data_before_the_name_and_the_name_at_the_end() -> None:
    assert list(uncertain(moments(*GOOD), "/d")) == []


@pytest.mark.parametrize("left_out", ["fsync f", "fsync ."])
def test_each_fsync_is_needed(left_out: str) -> None:
    assert list(uncertain(moments(*(line for line in GOOD if line != left_out)), "/d"))


def test_a_name_that_is_certain_before_its_data() -> None:
    assert list(uncertain(moments("openat f+", "write f", "rename f t", "fsync t", "fsync ."), "/d"))


def test_a_driver_is_changed_only_after_the_journal_is_certain() -> None:
    change = "write host/sys/bind"
    journal = ("openat j+", "write j", "fsync j", "fsync .")
    assert list(uncertain(moments(*journal, change), "/d")) == []
    assert list(uncertain(moments(*journal[:3], change, "fsync ."), "/d"))
    assert list(uncertain(moments(*journal[:2], change, "fsync j", "fsync ."), "/d"))
