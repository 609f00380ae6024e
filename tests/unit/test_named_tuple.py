# SPDX-License-Identifier: Apache-2.0
"""The quick NamedTuple makes the classes that typing's makes."""

from __future__ import annotations

import inspect
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
    "name",
    ["__doc__", "__module__", "_fields", "_field_defaults", "__match_args__", "__slots__", "__bases__"],
)
def test_it_makes_what_typing_makes(name: str) -> None:
    assert getattr(Quick, name) == getattr(Plain, name)


def test_it_has_the_members_of_what_typing_makes() -> None:
    assert vars(Plain).keys() - vars(Quick) == {"__orig_bases__"}
    ours, theirs = (inspect.signature(kind).parameters.values() for kind in (Quick, Plain))
    assert [(p.name, p.kind, p.default) for p in ours] == [(p.name, p.kind, p.default) for p in theirs]


class Undescribed(named_tuple.NamedTuple):
    north: int
    south: int


def test_classes_with_as_many_fields_keep_their_names() -> None:
    one, other = Quick(1), Undescribed(2, south=3)
    assert (one.left, other.north, other.south) == (1, 2, 3)
    assert Undescribed.__doc__ == "Undescribed(north, south)"
    with pytest.raises(AttributeError):
        one.north  # type: ignore[attr-defined] # noqa: B018
    with pytest.raises(TypeError, match="south"):
        Undescribed(1)  # type: ignore[call-arg]


class Called(named_tuple.NamedTuple):
    cls: int
    self: int = 0


def test_a_field_may_have_the_name_of_a_first_parameter() -> None:
    assert (Called(cls=1, self=2).cls, Called(3).self) == (1, 0)


def test_no_field_without_a_default_value_follows_one_that_has_it() -> None:
    with pytest.raises(TypeError, match="late"):

        class Late(named_tuple.NamedTuple):
            early: int = 1
            late: int  # type: ignore[misc]


def test_a_copy_has_the_fields_of_its_class_only() -> None:
    assert Undescribed(1, 2)._replace(south=5) == Undescribed._make([1, 5]) == (1, 5)
    assert Undescribed(1, 2)._asdict() == {"north": 1, "south": 2}
    with pytest.raises(ValueError, match="east"):
        Undescribed(1, 2)._replace(east=5)  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        Undescribed._make([1])


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


def test_fields_are_found_where_python_has_a_function_for_them() -> None:
    """As Python 3.14 hands a class whose annotations are no text to its metaclass."""
    body: dict[str, typing.Any] = {"__module__": __name__, "__qualname__": "Pair", "second": 2}
    body["__annotate_func__"] = lambda _: {"first": int, "second": int}
    base = named_tuple.NamedTuple
    pair = type(base)("Pair", (base,), body)
    assert tuple(pair(1)) == (1, 2)
    assert pair._fields == ("first", "second")
