# SPDX-License-Identifier: Apache-2.0
"""SVG documents and trees: any text is text, links, legends, marks, and a dark scheme."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import msgspec
import pytest
from hypothesis import given, settings

from drawn import a_plan, one, pictures, texts
from examples import function, host, smmu
from vsmmu.host.builtin import builtin_host, builtin_names
from vsmmu.picture.box import MARKS, Box, Picture, spell_mark
from vsmmu.picture.host import host_picture
from vsmmu.picture.layout import PAD, lay_out
from vsmmu.picture.outline import tree
from vsmmu.picture.svg import STYLE, svg

if TYPE_CHECKING:
    from vsmmu.picture.box import Mark

SVG = "{http://www.w3.org/2000/svg}"


@given(pictures())
@settings(max_examples=40, deadline=None)
def test_any_text_gives_well_formed_xml_and_one_line_a_box(picture: Picture) -> None:
    root = ET.fromstring(svg(picture, picture.boxes[0].title))
    assert len(root.findall(f"{SVG}rect")) == 1 + len(list(picture.walk()))
    assert len(list(tree(picture))) == len(list(picture.walk())) + len(picture.notes)


@given(pictures())
@settings(max_examples=40, deadline=None)
def test_a_link_goes_from_the_edge_of_one_box_to_that_of_the_other(picture: Picture) -> None:
    root = ET.fromstring(svg(picture, "a picture"))
    sheet = {entry.laid.box.key: entry for entry in lay_out(picture).boxes}
    paths = [path.get("d", "").split() for path in root.findall(f"{SVG}path")]
    assert len(paths) == len(picture.links)
    for path, (start, end) in zip(paths, picture.links, strict=True):
        left, right = sheet[start], sheet[end]
        assert float(path[0][1:]) == pytest.approx(PAD + left.x + left.laid.width, abs=0.1)
        assert float(path[-2]) == pytest.approx(PAD + right.x, abs=0.1)


def test_a_vsmmu_is_beside_its_host_smmu_and_linked_with_it() -> None:
    picture = a_plan()
    vm, host = picture.boxes
    assert {box.key for box in vm.walk() if box.key} == {link.start for link in picture.links}
    assert {box.key for box in host.walk() if box.key} == {link.end for link in picture.links}
    said = list(tree(picture))
    for start, end in picture.links:
        assert any(line.endswith(f"→ {end}") and start in line for line in said)
        assert any(line.endswith(f"← {start}") and end in line for line in said)
    assert f"{picture.meaning}" in " ".join(texts(svg(picture, "t")))


@pytest.mark.parametrize(
    "said", ["GB200 GPU", "MMIO window 512G", "guest NUMA node 0", "guest NUMA nodes 1-8"]
)
def test_a_plan_says_what_a_function_is_and_what_it_brings(said: str) -> None:
    picture = a_plan()
    assert said in "\n".join(tree(picture))
    assert said in " ".join(texts(svg(picture, "t")))


def test_a_function_without_a_name_is_called_by_its_class() -> None:
    facts = host(smmu(), msgspec.structs.replace(function(), label="", class_code="030200"))
    assert "3D controller" in "\n".join(tree(host_picture(facts)))


@pytest.mark.parametrize("label", ["<script>alert(1)</script>", 'a"b', "a&b", "]]>", "é中"])
def test_labels_of_devices_are_text(label: str) -> None:
    facts = host(smmu(), msgspec.structs.replace(function(), label=label))
    root = ET.fromstring(svg(host_picture(facts), label))
    tags = {element.tag.rpartition("}")[2] for element in root.iter()}
    assert tags == {"svg", "title", "style", "rect", "text", "g"}
    assert label in [element.text for element in root.iter()]


def test_what_xml_forbids_or_a_browser_acts_on_is_an_escape() -> None:
    document = svg(one(Box("a\x00\ufffe\ud800\u202eb")), "t")
    document.encode()
    assert r"a\x00\ufffe\ud800\u202eb" in [element.text for element in ET.fromstring(document).iter()]


def test_functions_behind_no_smmu_are_drawn_too() -> None:
    said = "\n".join(tree(host_picture(host(smmu(), function(), function("0000:09:00.0", None)))))
    assert "behind no SMMUv3" in said
    assert "0000:09:00.0" in said


def marks(picture: Picture) -> set[str]:
    return {box.mark for box in picture.walk()}


def test_an_smmu_is_marked_by_its_least_certain_value() -> None:
    assert "published" in marks(host_picture(builtin_host("gb200")))
    assert "unknown" in marks(host_picture(builtin_host("thunderx2")))
    assert "refused" in marks(host_picture(builtin_host("no-nesting")))
    assert "measured" in marks(host_picture(host(smmu())))


@pytest.mark.parametrize("name", builtin_names())
def test_what_is_marked_is_in_the_legend_and_nothing_else(name: str) -> None:
    picture = host_picture(builtin_host(name))
    for mark in MARKS:
        said = [text for text in texts(svg(picture, name)) if text.startswith(f"{spell_mark(mark)}: ")]
        assert len(said) == (mark in marks(picture))


@pytest.mark.parametrize("name", builtin_names())
def test_what_was_made_up_is_said_in_every_form(name: str) -> None:
    facts = builtin_host(name)
    shapes = [host_picture(facts), *([a_plan(name)] if name == "gb200" else ())]
    for shape in shapes:
        for said in (" ".join(texts(svg(shape, name))), " ".join(tree(shape))):
            assert all(f"made up: {text}" in said for text in facts.synthetic)


def test_a_picture_fits_its_place_and_has_a_dark_scheme() -> None:
    root = ET.fromstring(svg(one(Box("a", mark="unknown")), "t"))
    assert root.get("viewBox") == f"0 0 {root.get('width')} {root.get('height')}"
    assert "max-width: 100%" in STYLE
    classes = {element.get("class") for element in root.iter()} - {None, "boxes", "legend"}
    assert all(f".{name}" in STYLE for name in classes)
    assert "<style>" not in svg(one(Box("a")), "t", alone=False)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("mark", [mark for mark in MARKS if mark])
def test_marks_stand_out_from_their_ground(mark: Mark, scheme: str) -> None:
    """WCAG 2.2, 1.4.3: at least 4.5 to 1, on every ground that a box has."""
    if scheme == "light":
        document = svg(one(Box("a", (), (Box("b", shade="place"), Box("c")), mark=mark)), "t", alone=False)
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
