# SPDX-License-Identifier: Apache-2.0
"""Every example in README.md and docs/ is run, and prints what the page says (make docs-update rewrites)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from console import Example, find_blocks, matches, rewrite, run

if TYPE_CHECKING:
    from console import Block

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
HAVE = [(page, find_blocks(page.read_text(encoding="utf-8"))) for page in PAGES if "_build" not in page.parts]


def pages(*, lab: bool) -> list[Path]:
    return [page for page, blocks in HAVE if any(block.is_lab == lab for block in blocks)]


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def run_block(page: Path, block: Block, directory: Path) -> list[Example]:
    """Run a block; where a page is to be rewritten, what still matches (with its ``...``) stays."""
    results = []
    for example in block.examples:
        actual = run(example.command, directory)
        matched = matches(example, actual)
        if not os.environ.get("VSMMU_REGENERATE"):
            place = f"{name(page)}:{block.line}: $ {example.command}"
            assert matched, f"{place}\n--- printed, status {actual.status} ---\n{actual.output}"
        results.append(example if matched else actual)
    return results


def check(page: Path, directory: Path, *, lab: bool) -> None:
    text = page.read_text(encoding="utf-8")
    results = {
        block.start: run_block(page, block, directory) for block in find_blocks(text) if block.is_lab == lab
    }
    if os.environ.get("VSMMU_REGENERATE"):
        page.write_text(rewrite(text, results), encoding="utf-8")


@pytest.mark.parametrize("page", pages(lab=False), ids=name)
def test_examples_of(page: Path, tmp_path: Path) -> None:
    check(page, tmp_path, lab=False)


@pytest.mark.lab
@pytest.mark.parametrize("page", pages(lab=True), ids=name)
def test_lab_examples_of(page: Path, tmp_path: Path, lab_built: None) -> None:
    check(page, tmp_path, lab=True)


def test_examples_are_marked_as_such() -> None:
    """A ``$`` command outside a console block would escape these tests."""
    loose = [
        f"{name(page)}: {line}"
        for page, _ in HAVE
        for fence in page.read_text(encoding="utf-8").split("```")[1::2]
        if not fence.startswith("console")
        for line in fence.splitlines()
        if line.startswith("$ ")
    ]
    assert loose == []
