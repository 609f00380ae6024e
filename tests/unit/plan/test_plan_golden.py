# SPDX-License-Identifier: Apache-2.0
"""What plan and show print in each form, for one host; VSMMU_REGENERATE=1 writes it anew."""

from __future__ import annotations

import os
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from layouts import LAYOUTS
from vsmmu.cli.main import run
from vsmmu.picture.box import MARKS

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

CASES |= {
    f"{name}.{form}": (
        "plan",
        "--host",
        f"builtin:{host}",
        *devices,
        *(("-o", "xml") if form == "xml" else ()),
    )
    for name, (host, *devices) in LAYOUTS.items()
    for form in ("args", "xml")
}


@pytest.mark.parametrize("name", CASES)
def test_output_is_the_golden_one(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(list(CASES[name])) == 0
    said = capsys.readouterr().out
    path = GOLDEN / name
    if os.environ.get("VSMMU_REGENERATE"):
        path.write_text(said, encoding="utf-8")
    assert said == path.read_text(encoding="utf-8")


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
