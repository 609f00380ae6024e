# SPDX-License-Identifier: Apache-2.0
"""The locks are whole closures of what pyproject.toml states, by the metadata of what is installed."""

from __future__ import annotations

import re
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from typing import TYPE_CHECKING

import pytest
from interpreters import ROOT, supported
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if TYPE_CHECKING:
    from collections.abc import Iterator

sys.path.append(str(ROOT / "requirements"))
from wanted import wanted

_PIN = re.compile(
    r"^([\w.-]+)(?:\[([\w,.-]+)\])?==(\S+)((?: \\\n    --hash=sha256:[0-9a-f]{64})+)$", re.MULTILINE
)
LOCKS = ("run", "image", "lock")


@cache
def pins(lock: str) -> dict[str, tuple[frozenset[str], str, tuple[str, ...]]]:
    """Name -> extras, version and hashes of one lock."""
    text = (ROOT / "requirements" / f"{lock}.txt").read_text(encoding="utf-8")
    found = {
        canonicalize_name(name): (
            frozenset(filter(None, extras.split(","))),
            version,
            tuple(sorted(hashes.split()[1::2])),
        )
        for name, extras, version, hashes in _PIN.findall(text)
    }
    assert len(found) == text.count("==")
    return found


def closure(lock: str, python: str) -> Iterator[tuple[str, str, frozenset[str]]]:
    """Name, installed version and extras of a lock's requirements and of all that these need."""
    todo = [Requirement(line) for line in wanted(lock)]
    seen = set()
    while todo:
        need = todo.pop()
        key = (canonicalize_name(need.name), frozenset(need.extras))
        if key in seen:
            continue
        seen.add(key)
        try:
            installed = distribution(need.name)
        except (
            PackageNotFoundError
        ):  # what only another Python needs is not here; it has to be pinned all the same
            yield key[0], pins(lock).get(key[0], (None, "nowhere pinned"))[1], key[1]
            continue
        yield key[0], installed.version, key[1]
        for line in installed.requires or ():
            more = Requirement(line)
            environment = {"python_version": python, "python_full_version": f"{python}.0"}
            if more.marker is None or any(
                more.marker.evaluate(environment | {"extra": extra}) for extra in ("", *need.extras)
            ):
                todo.append(more)


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_is_the_whole_closure_with_extras_and_nothing_else(lock: str) -> None:
    needed: dict[str, tuple[str, set[str]]] = {}
    for python in supported():
        for name, version, extras in closure(lock, python):
            needed.setdefault(name, (version, set()))[1].update(extras)
    locked = {name: (version, set(extras)) for name, (extras, version, _) in pins(lock).items()}
    assert locked == needed


@pytest.mark.parametrize("part", ["run", "image"])
def test_part_pins_what_the_whole_lock_pins(part: str) -> None:
    whole = pins("lock")
    assert {name: pin[1:] for name, pin in pins(part).items()} == {
        name: whole[name][1:] for name in pins(part)
    }
    assert set(pins(part)) < set(whole)


def test_running_installs_nothing_that_only_developers_use() -> None:
    assert not {"pytest", "mypy", "ruff", "sphinx", "grpcio", "pip", "setuptools"} & set(pins("run"))
    assert not {"hatchling", "editables"} & set(pins("image"))
