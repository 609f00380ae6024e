# SPDX-License-Identifier: Apache-2.0
"""The manual in a real browser: every page at two widths in two schemes, and what its buttons copy."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from chromium import MARKS
from look import SCHEMES, WIDTHS, look

if TYPE_CHECKING:
    from chromium import Chromium

pytestmark = MARKS
DOCS = Path(__file__).parents[2] / "docs"
PAGES = sorted(
    str(path.relative_to(DOCS).with_suffix("")) for path in DOCS.rglob("*.md") if "_build" not in path.parts
)


@pytest.fixture(scope="module")
def manual(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("manual")
    words = ["-q", "-b", "html", "-d", directory / "trees", DOCS, directory / "html"]
    subprocess.run([sys.executable, "-m", "sphinx", *words], check=True)
    return directory / "html"


@pytest.mark.parametrize("name", PAGES)
def test_everything_on_the_page_can_be_seen(browser: Chromium, manual: Path, name: str) -> None:
    """Nothing is wider than the page, no code is cut off, and text stands out by WCAG AA (1.4.3)."""
    browser.open(manual / f"{name}.html")
    for width in WIDTHS:
        for scheme in SCHEMES:
            found = look(browser, width, scheme)
            texts = found.pop("texts")
            assert texts > 10
            bad = {key: value for key, value in found.items() if value}
            assert bad == {}, f"{width} pixels, {scheme}"


def test_a_wide_table_keeps_its_first_column_in_sight_on_a_phone(browser: Chromium, manual: Path) -> None:
    browser.open(manual / "reference" / "properties.html")
    look(browser, 390, "light")
    left, row = browser.run(
        """(() => {
            const table = document.querySelector(".table-wrapper table"), place = table.parentElement;
            place.scrollLeft = 1e6;
            const [first, last] = [0, 3].map(at => table.rows[1].cells[at].getBoundingClientRect());
            const start = first.left - place.getBoundingClientRect().left;
            return [place.scrollLeft, [start, first.right, last.left]];
        })()"""
    )
    start, end, last = row
    assert left > 0
    assert abs(start) < 8, "but for the border"
    assert 0 < end < 390 / 2
    assert last < end, "what was scrolled away lies under it"


def test_the_look_finds_what_cannot_be_seen(browser: Chromium, tmp_path: Path) -> None:
    page = tmp_path / "bad.html"
    page.write_text(
        "<body style='background: white; color: black'><pre style='overflow: hidden; width: 9em'>"
        f"{'x' * 99}</pre><p style='color: #aaa'>faint</p><p style='white-space: nowrap'>{'wide ' * 999}</p>"
        "<p style='margin: 0 0 -1em'>under</p><p style='margin: 0'>upon it</p>",
        encoding="utf-8",
    )
    browser.open(page)
    found = look(browser, 390, "light")
    assert found["overflow"] > 0
    assert [text[:4] for text in found["clipped"]] == ["xxxx", "wide"]
    assert found["faint"] == ["2.32 : faint"]
    assert found["cut"] == [80 * "x"]
    assert found["over"] == ["under / upon it"]


def test_the_button_copies_the_commands_alone(browser: Chromium, manual: Path) -> None:
    browser.open(manual / "how-to" / "hot-plug.html")
    copied = browser.run("commandsOf(document.querySelector('.highlight-console pre'))")
    lines = copied.splitlines()
    assert lines[0] == "cat > empty.sh <<'EOF'"
    assert lines[-2:] == ["EOF", "vsmmu check --host builtin:gb200 empty.sh"]
    assert browser.run("document.querySelectorAll('.copy').length") > 2


def test_prompts_commands_and_output_look_different(browser: Chromium, manual: Path) -> None:
    browser.open(manual / "how-to" / "hot-plug.html")
    colour = "getComputedStyle(document.querySelector('.highlight-console {}')).color"
    colours = {browser.run(colour.format(part)) for part in (".gp", "pre", ".go")}
    assert len(colours) == 3
    assert browser.run(colour.format(".gp").replace("color", "userSelect")) == "none"


@pytest.mark.parametrize(
    ("words", "title"),
    [
        ("CANWBS", "Glossary"),
        ("qemu-ril", "My VM does not start: what now?"),
        ("facts-unknown", "Exit statuses and error codes"),
    ],
)
def test_the_search_finds_it(browser: Chromium, manual: Path, words: str, title: str) -> None:
    browser.open(manual / "search.html")
    found = browser.run(
        f"""new Promise(resolve => {{
            Search.performSearch({words!r});
            const done = () => {{
                const links = [...document.querySelectorAll('#search-results li > a')];
                const isOver = document.querySelector('.search-summary')?.textContent.includes('found');
                if (isOver) resolve(links.map(link => link.textContent)); else setTimeout(done, 50);
            }};
            done();
        }})"""
    )
    assert title in found
