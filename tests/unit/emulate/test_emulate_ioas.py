# SPDX-License-Identifier: Apache-2.0
"""An address space, against a plain list of pages."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vsmmu.emulate.errno_error import KernelError
from vsmmu.emulate.ioas import AddressSpace

PAGE = 4096


def answer(function: object, *arguments: int, **named: bool) -> str:
    try:
        return str(function(*arguments, **named))  # type: ignore[operator]
    except KernelError as error:
        return str(error)


@given(
    st.lists(st.tuples(st.sampled_from(["map", "unmap"]), st.integers(0, 20), st.integers(1, 6)), max_size=30)
)
def test_fixed_mappings_and_unmappings(actions: list[tuple[str, int, int]]) -> None:
    space = AddressSpace()
    space.add_table(48)
    areas: dict[int, int] = {}
    for action, first, count in actions:
        inside = {a: n for a, n in areas.items() if a < first + count and first < a + n}
        if action == "map":
            expected = "EEXIST" if inside else str(first * PAGE)
            assert answer(space.map, first * PAGE, count * PAGE, fixed=True) == expected
            if not inside:
                areas[first] = count
        else:
            whole = inside and all(a >= first and a + n <= first + count for a, n in inside.items())
            expected = str(sum(inside.values()) * PAGE) if whole else "ENOENT"
            assert answer(space.unmap, first * PAGE, count * PAGE) == expected
            if whole:
                areas = {a: n for a, n in areas.items() if a not in inside}


@pytest.mark.parametrize(
    ("start", "length", "expected"),
    [
        (0, 0, "EINVAL"),
        (1, PAGE, "EINVAL"),
        (0, 100, "EINVAL"),
        (0x08000000, PAGE, "EINVAL"),
        (0x07FFF000, 2 * PAGE, "EINVAL"),
        (1 << 48, PAGE, "EINVAL"),
        ((1 << 48) - PAGE, PAGE, str((1 << 48) - PAGE)),
        ((1 << 64) - PAGE, 2 * PAGE, "EOVERFLOW"),
        (0x08100000, PAGE, str(0x08100000)),
    ],
)
def test_limits(start: int, length: int, expected: str) -> None:
    space = AddressSpace()
    space.add_table(48)
    assert answer(space.map, start, length, fixed=True) == expected


def test_the_narrowest_table_counts_and_leaves_again() -> None:
    space = AddressSpace()
    assert space.ranges() == [(0, (1 << 64) - 1)]
    space.add_table(48)
    space.add_table(40)
    assert space.ranges()[-1][1] == (1 << 40) - 1
    space.remove_table(40)
    assert space.ranges()[-1][1] == (1 << 48) - 1


def test_a_free_place_is_found_around_what_is_mapped() -> None:
    space = AddressSpace()
    space.add_table(32)
    assert space.map(0, PAGE, fixed=False) == 0
    assert space.map(0, PAGE, fixed=False) == PAGE
    assert space.map(0, 0x08000000, fixed=False) == 0x08100000
    assert answer(space.map, 0, 1 << 32, fixed=False) == "ENOSPC"
    assert space.unmap(0, (1 << 64) - 1) == 2 * PAGE + 0x08000000
    assert space.is_empty


def test_many_mappings_cost_no_more_each_and_have_an_end() -> None:
    space = AddressSpace()
    for place in range(1, 65536):
        space.map(2 * place * PAGE, PAGE, fixed=True)
    assert answer(space.map, 0, PAGE, fixed=True) == "ENOMEM"
    assert answer(space.map, 2 * PAGE, PAGE, fixed=True) == "EEXIST"
    assert answer(space.check_mapped, 2 * PAGE, 2 * PAGE) == "ENOENT"
    assert space.unmap(0, 1 << 40) == 65535 * PAGE
    assert space.is_empty
