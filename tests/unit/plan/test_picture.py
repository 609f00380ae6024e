# SPDX-License-Identifier: Apache-2.0
"""Pictures: boxes lie in their parents and apart from their neighbours, and any text is text."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from examples import function, host, smmu
from vsmmu.picture.box import Box
from vsmmu.picture.host import host_box
from vsmmu.picture.outline import tree
from vsmmu.picture.svg import svg

if TYPE_CHECKING:
    from vsmmu.picture.box import Shade

Rect = tuple[float, float, float, float]
TEXT = st.text('ab 0<&"\x00\n\u00e9\u4e2d', max_size=8)
SHADES: list[Shade] = ["plain", "place", "strong", "open"]


def boxes() -> st.SearchStrategy[Box]:
    def node(inside: st.SearchStrategy[Box]) -> st.SearchStrategy[Box]:
        children = st.lists(inside, max_size=6).map(tuple)
        return st.builds(Box, TEXT, st.lists(TEXT, max_size=3).map(tuple), children, st.sampled_from(SHADES))

    return st.recursive(st.builds(Box, TEXT), node, max_leaves=12)


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

    assert len(list(tree(box))) == count(box)


@pytest.mark.parametrize("label", ["<script>alert(1)</script>", 'a"b', "a&b", "]]>", "é中"])
def test_labels_of_devices_are_text(label: str) -> None:
    facts = host(smmu(), msgspec.structs.replace(function(), label=label))
    root = ET.fromstring(svg(host_box(facts), label))
    assert {element.tag.rpartition("}")[2] for element in root.iter()} == {"svg", "title", "rect", "text"}
    assert label in [element.text for element in root.iter()]


def test_what_xml_forbids_is_replaced() -> None:
    document = svg(Box("a\x00\ufffe\ud800b"), "t")
    document.encode()
    assert "a\ufffd\ufffd\ufffdb" in [element.text for element in ET.fromstring(document).iter()]


def test_functions_behind_no_smmu_are_drawn_too() -> None:
    said = "\n".join(tree(host_box(host(smmu(), function(), function("0000:09:00.0", None)))))
    assert "behind no SMMUv3" in said
    assert "0000:09:00.0" in said
