# SPDX-License-Identifier: Apache-2.0
"""Pictures: boxes lie in their parents and apart from their neighbours, and any text is text."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from examples import Q11_1, function, host, smmu
from vsmmu.host.builtin import builtin_host, builtin_names
from vsmmu.picture.box import MARKS, Box, spell_mark
from vsmmu.picture.host import host_box, made_up_lines
from vsmmu.picture.outline import tree
from vsmmu.picture.svg import STYLE, svg
from vsmmu.plan.boxes import plan_box
from vsmmu.plan.planner import Order, plan

if TYPE_CHECKING:
    from vsmmu.picture.box import Mark, Shade
    from vsmmu.plan.model import Plan

Rect = tuple[float, float, float, float]
TEXT = st.text('ab 0<&"\x00\n\u00e9\u4e2d', max_size=8)
SHADES: list[Shade] = ["plain", "place", "strong", "open"]


def boxes() -> st.SearchStrategy[Box]:
    def node(inside: st.SearchStrategy[Box]) -> st.SearchStrategy[Box]:
        children = st.lists(inside, max_size=4).map(tuple)
        lines = st.lists(TEXT, max_size=3).map(tuple)
        return st.builds(Box, TEXT, lines, children, st.sampled_from(SHADES), st.sampled_from(["", *MARKS]))

    # Not st.recursive: it throws away what has too many leaves, which may be nearly all.
    leaf = st.builds(Box, TEXT)
    return node(leaf | node(leaf | node(leaf)))


def rectangles(document: str) -> list[Rect]:
    """All boxes in document order, the ground left out."""
    root = ET.fromstring(document)
    found = root.findall("{http://www.w3.org/2000/svg}rect")[1:]
    corners = [[float(rect.get(name, "")) for name in ("x", "y", "width", "height")] for rect in found]
    return [(x, y, x + width, y + height) for x, y, width, height in corners]


def inside(inner: Rect, outer: Rect) -> bool:
    low = inner[0] >= outer[0] and inner[1] >= outer[1]
    return low and inner[2] <= outer[2] + 0.2 and inner[3] <= outer[3] + 0.2


def apart(one: Rect, other: Rect) -> bool:
    return one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]


def check(box: Box, rects: list[Rect]) -> Rect:
    """Take the box's rectangles from the front of the list and compare them with one another."""
    own = rects.pop(0)
    children = [check(child, rects) for child in box.inside]
    assert all(inside(child, own) for child in children)
    assert all(apart(one, other) for n, one in enumerate(children) for other in children[:n])
    return own


@given(boxes())
@settings(max_examples=40, deadline=None)
def test_boxes_lie_in_their_parents_and_apart(box: Box) -> None:
    rects = rectangles(svg(box, "a picture"))
    check(box, rects)
    assert rects == []


@given(boxes())
@settings(max_examples=40, deadline=None)
def test_any_text_gives_well_formed_xml_and_one_line_a_box(box: Box) -> None:
    ET.fromstring(svg(box, box.title))

    def count(one: Box) -> int:
        return 1 + sum(count(child) for child in one.inside)

    assert len(list(tree(box))) == count(box) + len(box.notes)


@pytest.mark.parametrize("label", ["<script>alert(1)</script>", 'a"b', "a&b", "]]>", "é中"])
def test_labels_of_devices_are_text(label: str) -> None:
    facts = host(smmu(), msgspec.structs.replace(function(), label=label))
    root = ET.fromstring(svg(host_box(facts), label))
    tags = {element.tag.rpartition("}")[2] for element in root.iter()}
    assert tags == {"svg", "title", "style", "rect", "text"}
    assert label in [element.text for element in root.iter()]


def test_what_xml_forbids_is_replaced() -> None:
    document = svg(Box("a\x00\ufffe\ud800b"), "t")
    document.encode()
    assert "a\ufffd\ufffd\ufffdb" in [element.text for element in ET.fromstring(document).iter()]


def test_functions_behind_no_smmu_are_drawn_too() -> None:
    said = "\n".join(tree(host_box(host(smmu(), function(), function("0000:09:00.0", None)))))
    assert "behind no SMMUv3" in said
    assert "0000:09:00.0" in said


def a_plan() -> Plan:
    order = Order(("0009:01:00.0", "0019:01:00.0"))
    return plan(order, builtin_host("gb200"), Q11_1)


def walk(box: Box) -> set[str]:
    """All marks of a picture."""
    return {box.mark}.union(*(walk(child) for child in box.inside))


def test_an_smmu_is_marked_by_its_least_certain_value() -> None:
    assert "published" in walk(host_box(builtin_host("gb200")))
    assert "unknown" in walk(host_box(builtin_host("thunderx2")))
    assert "refused" in walk(host_box(builtin_host("no-nesting")))
    assert "measured" in walk(host_box(host(smmu())))


@pytest.mark.parametrize("name", builtin_names())
def test_what_is_marked_is_in_the_legend_and_nothing_else(name: str) -> None:
    box = host_box(builtin_host(name))
    texts = [element.text or "" for element in ET.fromstring(svg(box, name)).iter()]
    for mark in MARKS:
        said = [text for text in texts if text.startswith(f"{spell_mark(mark)}: ")]
        assert len(said) == (mark in walk(box))


@pytest.mark.parametrize("name", builtin_names())
def test_what_was_made_up_is_said_in_every_form(name: str) -> None:
    facts = builtin_host(name)
    shapes = (svg(host_box(facts), name), svg(plan_box(a_plan(), made_up_lines(facts)), name))
    texts = [" ".join(element.text or "" for element in ET.fromstring(shape).iter()) for shape in shapes]
    texts.append("\n".join(tree(host_box(facts))))
    for text in facts.synthetic:
        assert all(f"made up: {text}" in said for said in texts)


def test_a_picture_fits_its_place_and_has_a_dark_scheme() -> None:
    root = ET.fromstring(svg(Box("a", mark="unknown"), "t"))
    assert root.get("viewBox") == f"0 0 {root.get('width')} {root.get('height')}"
    assert "max-width: 100%" in STYLE
    classes = {element.get("class") for element in root.iter()} - {None, "boxes"}
    assert all(f".{name}" in STYLE for name in classes)
    assert "<style>" not in svg(Box("a"), "t", alone=False)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("mark", [mark for mark in MARKS if mark])
def test_marks_stand_out_from_their_ground(mark: Mark, scheme: str) -> None:
    """WCAG 2.2, 1.4.3: at least 4.5 to 1, on every ground that a box has."""
    if scheme == "light":
        document = svg(Box("a", (), (Box("b", shade="place"), Box("c")), mark=mark), "t", alone=False)
        grounds = set(re.findall(r'<rect[^>]* fill="(#\w+)"', document))
        (ink,) = set(re.findall(rf'class="{mark}" fill="(#\w+)"', document))
    else:
        (ink,) = re.findall(rf"\.{mark}[^{{]*{{ fill: (#\w+)", STYLE)
        grounds = set(re.findall(r"\.(?:ground|plain|place)[^{]*{ fill: (#\w+)", STYLE))
    for ground in grounds:
        low, high = sorted((luminance(ground), luminance(ink)))
        assert (high + 0.05) / (low + 0.05) >= 4.5


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
