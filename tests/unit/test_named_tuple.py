# SPDX-License-Identifier: Apache-2.0
"""The quick NamedTuple makes the classes that typing's makes."""

from __future__ import annotations

import pickle
import typing

import msgspec
import pytest

from vsmmu import named_tuple


class Quick(named_tuple.NamedTuple):
    """A pair."""

    left: int
    right: tuple[str, ...] = ()
    note: str | None = None

    @property
    def both(self) -> str:
        return f"{self.left}{self.right}"

    def swapped(self) -> Quick:
        return self._replace(left=-self.left)


class Plain(typing.NamedTuple):
    """A pair."""

    left: int
    right: tuple[str, ...] = ()
    note: str | None = None


@pytest.mark.parametrize(
    "name", ["__doc__", "__module__", "_fields", "_field_defaults", "__slots__", "__bases__"]
)
def test_it_makes_what_typing_makes(name: str) -> None:
    assert getattr(Quick, name) == getattr(Plain, name)


def test_annotations_can_be_evaluated() -> None:
    assert typing.get_type_hints(Quick) == typing.get_type_hints(Plain)


def test_instances_are_tuples_with_names() -> None:
    mine, other = Quick(1, note="x"), Plain(1, note="x")
    assert mine == other == (1, (), "x")
    assert hash(mine) == hash(other)
    assert repr(mine) == repr(other).replace("Plain", "Quick")
    assert mine.both == "1()"
    assert mine.swapped() == (-1, (), "x")
    assert pickle.loads(pickle.dumps(mine)) == mine
    with pytest.raises(AttributeError):
        mine.left = 2  # type: ignore[misc]
    with pytest.raises(TypeError):
        Quick()  # type: ignore[call-arg]


def test_msgspec_takes_it_for_a_named_tuple() -> None:
    assert msgspec.json.decode(b'[1, ["a"], null]', type=Quick) == Quick(1, ("a",))
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b'["x"]', type=Quick)
