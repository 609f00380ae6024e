# SPDX-License-Identifier: Apache-2.0
"""What plan and show print in each form, for one host; VSMMU_REGENERATE=1 writes it anew."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

from layouts import LAYOUTS
from vsmmu.cli.main import run
from vsmmu.host.files import encode_host
from vsmmu.picture.box import MARKS

if TYPE_CHECKING:
    from collections.abc import Sequence

GOLDEN = Path(__file__).parents[2] / "golden" / "plan"
HOST = ("--host", "builtin:gb200")
PLAN = ("plan", *HOST, "0009:01:00.0", "0019:01:00.0", "--spare", "1")
CASES = {
    "gb200.args": PLAN,
    "gb200.tree": (*PLAN, "-o", "tree"),
    "gb200.svg": (*PLAN, "-o", "svg"),
    "gb200.xml": (*PLAN, "-o", "xml"),
    "gb200.json": (*PLAN, "-o", "json"),
    "gb200.host.tree": ("show", *HOST, "-o", "tree"),
    "gb200.host.svg": ("show", *HOST, "-o", "svg"),
}


@pytest.mark.parametrize("name", CASES)
def test_output_is_the_golden_one(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    compare(name, CASES[name], capsys)


@pytest.mark.parametrize("form", ["args", "xml"])
@pytest.mark.parametrize("name", LAYOUTS)
def test_a_layout_is_the_golden_one(
    name: str, form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    facts = tmp_path / "host.json"
    facts.write_bytes(encode_host(LAYOUTS[name].host()))
    shape = ("-o", "xml") if form == "xml" else ()
    compare(f"{name}.{form}", ("plan", "--host", str(facts), *LAYOUTS[name].arguments(), *shape), capsys)


def compare(name: str, arguments: Sequence[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(list(arguments)) == 0
    said = capsys.readouterr().out
    path = GOLDEN / name
    if os.environ.get("VSMMU_REGENERATE"):
        path.write_text(said, encoding="utf-8")
    assert said == path.read_text(encoding="utf-8")


def test_a_gpu_that_stays_mapped_1_to_1_has_no_layout(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plan", "--host", "builtin:gb10", "000f:01:00.0"]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "[direct-region]" in said.err
    assert "Firmware has requested this device have a 1:1 IOMMU mapping" in said.err


@pytest.mark.parametrize("name", ["gb200.svg", "gb200.host.svg"])
def test_pictures_are_grey_but_for_marks_have_text_and_no_script(name: str) -> None:
    root = ET.parse(GOLDEN / name).getroot()
    tags = {element.tag.rpartition("}")[2] for element in root.iter()}
    assert tags - {"path"} == {"svg", "title", "style", "rect", "text", "g"}
    grey = [element for element in root.iter() if element.get("class") not in MARKS]
    colours = {element.get(name, "") for element in grey for name in ("fill", "stroke")} - {"", "none"}
    assert all(colour[1:3] == colour[3:5] == colour[5:7] for colour in colours)
    texts = [element.text for element in root.iter() if element.tag.endswith("text")]
    assert "0009:01:00.0" in str(texts)
    # Nothing is drawn outside its parent, so nothing overlaps the frame.
    width, height = float(root.get("width", "")), float(root.get("height", ""))
    for rect in root.findall("{http://www.w3.org/2000/svg}rect"):
        assert float(rect.get("x", 0)) + float(rect.get("width", "")) <= width
        assert float(rect.get("y", 0)) + float(rect.get("height", "")) <= height
