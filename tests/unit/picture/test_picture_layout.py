# SPDX-License-Identifier: Apache-2.0
"""Places of boxes: in their parents, apart from each other, around text that fits, in a width that suits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings

from drawn import a_plan, one, pictures
from vsmmu.host.builtin import builtin_host, builtin_names
from vsmmu.picture.box import Box, Picture, spell_mark
from vsmmu.picture.host import host_picture
from vsmmu.picture.layout import PAD, lay_out, text_width, wrap

if TYPE_CHECKING:
    from vsmmu.picture.layout import Laid, PlacedBox

Rect = tuple[float, float, float, float]
PHONE = 460


def rect(x: float, y: float, laid: Laid) -> Rect:
    return x, y, x + laid.width, y + laid.height


def is_inside(inner: Rect, outer: Rect) -> bool:
    low = inner[0] >= outer[0] and inner[1] >= outer[1]
    return low and inner[2] <= outer[2] + 0.001 and inner[3] <= outer[3] + 0.001


def is_apart(one: Rect, other: Rect) -> bool:
    return one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]


def check(entry: PlacedBox) -> None:
    """The box's children lie in it below its text, and apart from one another."""
    x, y, laid = entry
    children = [rect(x + left, y + top, child) for left, top, child in laid.inside]
    assert all(is_inside(child, rect(x, y, laid)) for child in children)
    assert all(is_apart(child, other) for number, child in enumerate(children) for other in children[:number])
    last = y + 16 * (len(laid.head) + len(laid.lines))
    assert all(top >= last for _, top, _, _ in children)


@given(pictures())
@settings(max_examples=60, deadline=None)
def test_boxes_lie_in_their_parents_and_apart(picture: Picture) -> None:
    sheet = lay_out(picture)
    assert [entry.laid.box for entry in sheet.boxes] == list(picture.walk())
    for entry in sheet.boxes:
        check(entry)
        assert is_inside(rect(*entry), (0, 0, sheet.width, sheet.height))


@given(pictures())
@settings(max_examples=60, deadline=None)
def test_every_word_is_there_and_in_its_frame(picture: Picture) -> None:
    for _, _, laid in lay_out(picture).boxes:
        assert "".join("".join(laid.head).split()) == "".join(laid.box.title.split())
        assert "".join("".join(laid.lines).split()) == "".join("".join(laid.box.lines).split())
        assert all(text_width(line) <= laid.width - 2 * PAD + 0.001 for line in (*laid.head, *laid.lines))
        beside = laid.head[0] if laid.mark_row == 0 else ""
        assert text_width(f"{beside}{spell_mark(laid.box.mark)}") <= laid.width - 2 * PAD + 0.001


@pytest.mark.parametrize("name", builtin_names())
def test_a_narrow_host_fits_a_phone(name: str) -> None:
    assert lay_out(host_picture(builtin_host(name)), narrow=True).width <= PHONE


@pytest.mark.parametrize("name", builtin_names())
def test_a_host_is_no_tower(name: str) -> None:
    sheet = lay_out(host_picture(builtin_host(name)))
    assert sheet.height <= 2 * sheet.width


def test_a_plan_fits_a_phone_with_the_host_beside_the_vm() -> None:
    sheet = lay_out(a_plan())
    vm, host = (entry for entry in sheet.boxes if entry.y == 0)
    assert sheet.width <= 390 / 0.66
    assert vm.x + vm.laid.width + 30 <= host.x


def test_many_boxes_stand_in_rows_as_wide_as_there_is_room() -> None:
    leaves = tuple(Box(f"box {number}") for number in range(200))
    sheet = lay_out(one(Box("all", inside=leaves)))
    assert sheet.width <= 900
    assert sheet.height <= 2 * sheet.width
    rights = {entry.x + entry.laid.width for entry in sheet.boxes[1:]}
    assert max(rights) == pytest.approx(sheet.width - PAD)


def test_boxes_fill_a_parent_that_is_wider() -> None:
    (_, _, laid), *rest = lay_out(one(Box("a title of many words", inside=(Box("a"), Box("b"))))).boxes
    assert max(entry.x + entry.laid.width for entry in rest) == pytest.approx(laid.width - PAD)


def test_wide_characters_count_twice() -> None:
    assert text_width("中") == text_width("ab")


def test_a_word_that_is_too_long_is_broken() -> None:
    assert "".join(wrap("x" * 999, 200)) == "x" * 999
    assert max(map(len, wrap("x" * 999, 200))) <= 200 / 7
