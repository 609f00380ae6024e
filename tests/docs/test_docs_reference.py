# SPDX-License-Identifier: Apache-2.0
"""The generated pages are what the code says now, and the manual builds without a warning."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
from man import man_pages
from pages import PAGES

from vsmmu.cli.group import VERBS
from vsmmu.cli.option_table import OPTIONS

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
REFERENCE = DOCS / "reference"
MAN = ROOT / "packaging" / "man"
MAN_PAGES = man_pages()


@pytest.mark.parametrize("name", PAGES)
def test_generated_page_is_current(name: str) -> None:
    text, path = PAGES[name](), REFERENCE / name
    if os.environ.get("VSMMU_REGENERATE"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8"), "make regenerate"


@pytest.mark.parametrize("name", MAN_PAGES)
def test_man_page_is_current_as_generated(name: str) -> None:
    path = MAN / name
    if os.environ.get("VSMMU_REGENERATE"):
        MAN.mkdir(parents=True, exist_ok=True)
        path.write_text(MAN_PAGES[name], encoding="utf-8")
    assert MAN_PAGES[name] == path.read_text(encoding="utf-8"), "make man"


def test_there_is_a_man_page_for_each_verb_and_no_other() -> None:
    expected = {"vsmmu.1", "onDefineDomain.1", *(f"vsmmu-{verb}.1" for verb in VERBS)}
    assert {path.name for path in MAN.glob("*")} == expected


@pytest.mark.skipif(shutil.which("groff") is None, reason="no groff here")
@pytest.mark.parametrize("name", MAN_PAGES)
def test_man_page_is_roff_without_a_warning(name: str) -> None:
    """What man shows: every option and example, on lines of a terminal's width."""
    command = ["groff", "-man", "-Tutf8", "-P-c", "-P-b", "-P-o", "-P-u", "-ww", MAN / name]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    options = {word for row in OPTIONS for word in row.names.split() if f"vsmmu-{row.verbs[0]}.1" == name}
    assert [word for word in options if word.startswith("-") and word not in done.stdout] == []


def test_every_verb_is_in_the_command_line_page() -> None:
    text = (REFERENCE / "command-line.md").read_text(encoding="utf-8")
    assert [verb for verb in VERBS if f"\n## `vsmmu {verb}`\n" not in text] == []


@pytest.mark.parametrize("path", sorted((REFERENCE / "schemas").glob("*.json")), ids=lambda path: path.name)
def test_schema_is_a_schema(path: Path) -> None:
    jsonschema.Draft202012Validator.check_schema(json.loads(path.read_text(encoding="utf-8")))


def test_manual_builds_without_a_warning(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "sphinx",
        "-q",
        "-W",
        "--keep-going",
        "-n",
        "-d",
        tmp_path / "trees",
        "-b",
        "html",
    ]
    result = subprocess.run([*command, DOCS, tmp_path / "html"], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    pages = {
        path.relative_to(DOCS).with_suffix(".html")
        for path in DOCS.rglob("*.md")
        if "_build" not in path.parts
    }
    assert [page for page in sorted(pages) if not (tmp_path / "html" / page).is_file()] == []


def test_links_to_files_of_the_repository_hold() -> None:
    link = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")
    broken = [
        f"{name}: {target}"
        for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")
        for target in link.findall((ROOT / name).read_text(encoding="utf-8"))
        if not (ROOT / target).exists()
    ]
    assert broken == []


def test_tests_that_the_manual_names_exist() -> None:
    text = (DOCS / "explanation" / "requirements.md").read_text(encoding="utf-8")
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", text)
    assert set(re.findall(r"^\| (S\d+) \|", text, re.M)) == {f"S{number}" for number in range(1, 12)}
    missing = [
        f"{file}::{test}"
        for file, test in named
        if not re.search(rf"^def {test}\(", (ROOT / file).read_text(encoding="utf-8"), re.M)
    ]
    assert named
    assert missing == []


def test_every_package_has_its_place_in_the_architecture() -> None:
    text = (DOCS / "explanation" / "architecture.md").read_text(encoding="utf-8")
    children = (ROOT / "src" / "vsmmu").iterdir()
    packages = {path.stem for path in children if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert {name for name in packages if not name.startswith("_")} == set(
        re.findall(r"^\| `(\w+)` \|", text, re.M)
    )
