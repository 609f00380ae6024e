# SPDX-License-Identifier: Apache-2.0
"""Ten tasks, done by following the manual from its first page only, with the number of commands of each."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import pytest
from console import Example, find_blocks, matches, run

DOCS = Path(__file__).parents[2] / "docs"
INDEX = DOCS / "index.md"

#: The link text of the first page -> what the last command prints if the task is done.
GOALS = {
    "Mend a VM that does not start": r"^verdict: starts$",
    "Get the first answer about your own VM": r"^verdict: starts$",
    "Write the values for QEMU 11.0": r"^starts on 11\.0$",
    "Use a distribution's machine type": r"^verdict: starts$",
    "Start a VM whose devices come by hot-plug": r"^verdict: starts$",
    "Fit a libvirt domain to its host": r"^verdict: starts$",
    "Try KubeVirt's hook": r' ssidsize="20" oas="48">',
    "Find values for a fleet": r"accel=on,ats=off,ril=off,ssidsize=0,oas=44",
    "Run a program on a host that you do not have": r" measured$",
    "Boot a real kernel without Arm hardware": r" aarch64$",
}


class Task(NamedTuple):
    """A row of the first page: where its link leads, and how many commands it promises."""

    target: str
    commands: int


_ROW = re.compile(r"^\| \[([^\]]+)\]\(([^)]+)\)[^|]* \| (\d+) \|$", re.M)
TASKS = {
    title: Task(target, int(count))
    for title, target, count in _ROW.findall(INDEX.read_text(encoding="utf-8"))
}
IN_LAB = "Boot a real kernel without Arm hardware"


def slug(heading: str) -> str:
    """The anchor that MyST gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def read_section(target: str) -> str:
    """What a link leads to: a section with those in it, or the page up to its first section."""
    name, _, anchor = target.partition("#")
    text = (DOCS / name).read_text(encoding="utf-8")
    # Headings within a block of code are none.
    bare = re.sub(r"^ *```.*?^ *```$", lambda match: re.sub(r"[^\n]", " ", match[0]), text, flags=re.M | re.S)
    headings = [(match.start(), len(match[1]), match[2]) for match in re.finditer(r"^(#+) (.+)$", bare, re.M)]
    if not anchor:
        return text[: next((start for start, level, _ in headings if level > 1), len(text))]
    begin, depth = next((start, level) for start, level, title in headings if slug(title) == anchor)
    return text[begin : next((at for at, level, _ in headings if at > begin and level <= depth), len(text))]


def read_examples_of(title: str) -> list[Example]:
    """What is to be typed by the section that a task links to."""
    section = read_section(TASKS[title].target)
    return [example for block in find_blocks(section) for example in block.examples]


def do_task(title: str, directory: Path) -> None:
    """Type what the linked section says: each prints what is claimed, and the last the goal."""
    printed = ""
    for example in read_examples_of(title):
        actual = run(example.command, directory)
        assert matches(example, actual), f"{TASKS[title].target}: $ {example.command}\n{actual.output}"
        printed = actual.output
    assert re.search(GOALS[title], printed, re.M), printed


def test_the_first_page_has_ten_tasks() -> None:
    assert len(GOALS) == 10
    assert set(TASKS) == set(GOALS)


@pytest.mark.parametrize("title", GOALS)
def test_the_first_page_counts_the_commands_of(title: str) -> None:
    assert TASKS[title].commands == len(read_examples_of(title))


@pytest.mark.parametrize("title", [title for title in GOALS if title != IN_LAB])
def test_task_is_done_by_what_the_first_page_links(title: str, tmp_path: Path) -> None:
    do_task(title, tmp_path)


@pytest.mark.lab
def test_task_in_the_lab_is_done_by_what_the_first_page_links(tmp_path: Path, lab_built: None) -> None:
    do_task(IN_LAB, tmp_path)


def links_of(page: Path) -> set[Path]:
    """The pages that a page leads to, by links in its text and by its tables of contents."""
    text = page.read_text(encoding="utf-8")
    found = {page.parent / target for target in re.findall(r"\]\(([^)#:]+\.md)(?:#[^)]*)?\)", text)}
    for body in re.findall(r"^```\{toctree\}\n(.*?)^```$", text, re.M | re.S):
        for line in body.splitlines():
            if line and not line.startswith(":"):
                found |= set(page.parent.glob(f"{line}.md"))
    return {path.resolve() for path in found}


def test_every_page_is_found_from_the_first() -> None:
    clicks, step = {INDEX: 0}, {INDEX}
    while step:
        step = {path for page in step for path in links_of(page)} - clicks.keys()
        clicks |= dict.fromkeys(step, max(clicks.values()) + 1)
    pages = {path for path in DOCS.rglob("*.md") if "_build" not in path.parts}
    assert pages - clicks.keys() == set()
    far = {str(page.parent.relative_to(DOCS)) for page, count in clicks.items() if count > 1}
    assert far <= {"decisions"}


def test_every_guide_is_called_by_the_question_that_it_answers() -> None:
    titles = [path.read_text(encoding="utf-8").split("\n", 1)[0] for path in (DOCS / "how-to").glob("*.md")]
    assert [title for title in titles if not title.endswith("?")] == []
