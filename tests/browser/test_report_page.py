# SPDX-License-Identifier: Apache-2.0
"""The report in a real browser: it is quiet, stays at home, sorts, searches, prints, and escapes."""

from __future__ import annotations

import base64
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest
from chromium import MARKS

from vsmmu.host.builtin import builtin_host, builtin_names
from vsmmu.host.facts import Kernel

if TYPE_CHECKING:
    from chromium import Chromium

pytestmark = MARKS
HOSTILE = (
    "<script>window.pwned=1</script>",
    '"><img src=x onerror="window.pwned=1">',
    "</style></title><svg onload=window.pwned=1>",
    "{{ 7 * 7 }}{% raw %}",
    "javascript:window.pwned=1",
    "&lt;b&gt; ' onmouseover='window.pwned=1",
)
CSS = Path(sys.modules["vsmmu"].__file__ or "").parent / "fleet" / "page" / "report.css"


def make_page(directory: Path, *arguments: str) -> Path:
    code = "import sys; from vsmmu.cli.main import run; sys.exit(run(sys.argv[1:]))"
    words = [sys.executable, "-c", code, "report", "-o", "html", *arguments]
    path = directory / "report.html"
    with path.open("wb") as out:
        subprocess.run(words, stdout=out, check=True)
    return path


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three hosts of each built-in kind, half of them changed since."""
    directory = tmp_path_factory.mktemp("pool")
    old, new = directory / "old.jsonl", directory / "new.jsonl"
    with old.open("wb") as before, new.open("wb") as after:
        for number, name in enumerate(builtin_names() * 3):
            host = msgspec.structs.replace(builtin_host(name), name=f"node-{number:02}")
            before.write(msgspec.json.encode(host) + b"\n")
            if number == 3:
                host = msgspec.structs.replace(builtin_host("gh200"), name=host.name)
            after.write(msgspec.json.encode(host) + b"\n")
    return make_page(directory, str(new), "--since", str(old), "--pool", "title")


@pytest.fixture
def page(browser: Chromium, pool: Path) -> Chromium:
    browser.open(pool)
    return browser


def column(page: Chromium, table: str, number: int) -> list[str]:
    rows = f"[...document.querySelectorAll('#{table} tbody tr')].filter(row => !row.hidden)"
    return list(page.run(f"{rows}.map(row => row.cells[{number}].textContent.trim())"))


def assert_quiet(page: Chromium) -> None:
    assert page.events("Runtime.exceptionThrown", "Log.entryAdded", "Runtime.consoleAPICalled") == []
    urls = [event["request"]["url"] for event in page.events("Network.requestWillBeSent")]
    assert [url for url in urls if not url.startswith("data:")] == [page.run("location.href")]


def test_nothing_is_logged_and_nothing_is_requested(page: Chromium) -> None:
    assert_quiet(page)
    assert page.run("document.querySelectorAll('[src], link[href]:not([rel=icon])').length") == 0
    outside = (
        "[...document.querySelectorAll('a')].filter(a => !a.getAttribute('href').startsWith('#')).length"
    )
    assert page.run(outside) == 0


def test_the_policy_stops_what_was_not_written_by_us(page: Chromium) -> None:
    page.run("document.body.append(Object.assign(document.createElement('script'), {text: 'window.late=1'}))")
    assert page.run("window.late === undefined") is True
    assert page.run("fetch('file:///etc/hostname').then(() => 'fetched', () => 'stopped')") == "stopped"


@pytest.mark.parametrize(("table", "number", "kind"), [("host-table", 0, str), ("class-table", 1, int)])
def test_a_click_on_a_heading_sorts_up_and_then_down(
    page: Chromium, table: str, number: int, kind: type
) -> None:
    button = f"document.querySelectorAll('#{table} thead button')[{number}]"
    found = column(page, table, number)
    page.run(f"{button}.click()")
    up = [kind(text) for text in column(page, table, number)]
    assert up == sorted(kind(text) for text in found)
    assert page.run(f"{button}.parentElement.getAttribute('aria-sort')") == "ascending"
    page.run(f"{button}.click()")
    assert [kind(text) for text in column(page, table, number)] == sorted(up, reverse=True)
    assert page.run(f"{button}.parentElement.getAttribute('aria-sort')") == "descending"


def test_the_keyboard_is_enough_to_sort(page: Chromium) -> None:
    page.run("document.querySelector('#host-table thead button').focus()")
    page.press("Enter", 13)
    page.press("Enter", 13)
    names = column(page, "host-table", 0)
    assert names == sorted(names, reverse=True)
    assert len(names) == 3 * len(builtin_names())


def test_search_leaves_the_rows_that_have_every_word(page: Chromium) -> None:
    page.run("document.querySelector('input[aria-controls=host-table]').focus()")
    count = len(builtin_names())
    found = [f"node-{builtin_names().index('thunderx2') + count * turn:02}" for turn in range(3)]
    page.type(f"marvell {found[1]}")
    assert column(page, "host-table", 0) == [found[1]]
    page.run("document.activeElement.select()")
    page.type("marvell")
    assert column(page, "host-table", 0) == found
    status = page.run("document.activeElement.closest('label').querySelector('output').textContent")
    assert status == f"3 of {3 * count} rows"


def test_a_link_to_a_topology_opens_its_picture(page: Chromium) -> None:
    page.run("for (const entry of document.querySelectorAll('details')) entry.open = false")
    page.run("document.querySelector('#host-table a[href^=\"#topology-\"]').click()")
    target = page.run("location.hash.slice(1)")
    assert page.run(f"document.getElementById('{target}').open") is True
    assert "smmu3." in page.run(f"document.querySelector('#{target} svg').textContent")


def test_everything_can_be_read_without_the_script(browser: Chromium, pool: Path) -> None:
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.open(pool)
        text = browser.call("Page.captureSnapshot", format="mhtml")["data"]
    finally:
        browser.call("Emulation.setScriptExecutionDisabled", value=False)
    assert "node-29" in text


def test_the_page_prints(page: Chromium) -> None:
    data = base64.b64decode(page.call("Page.printToPDF", printBackground=False)["data"])
    assert data.startswith(b"%PDF")
    page.call("Emulation.setEmulatedMedia", media="print")
    hidden = page.run("getComputedStyle(document.querySelector('label.search')).display")
    page.call("Emulation.setEmulatedMedia", media="")
    assert hidden == "none"


def test_tables_say_what_they_are_and_what_their_cells_belong_to(page: Chromium) -> None:
    bare = page.run(
        "[...document.querySelectorAll('table')].filter(table => !table.caption || "
        "![...table.querySelectorAll('th')].every(th => th.scope)).length"
    )
    assert bare == 0
    assert page.run("document.documentElement.lang") == "en"
    unnamed = "[...document.querySelectorAll('input')].filter(input => !input.labels.length).length"
    assert page.run(unnamed) == 0
    levels = page.run("[...document.querySelectorAll('h1,h2,h3')].map(h => +h.tagName[1])")
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_every_part_that_scrolls_can_be_reached_with_the_keyboard(page: Chromium) -> None:
    assert page.run("[...document.querySelectorAll('.scroll, figure')].every(part => part.tabIndex === 0)")


def test_drift_and_pools_are_told(page: Chromium) -> None:
    drift = page.run("document.querySelector('#drift').textContent")
    assert "node-03" in drift
    assert "node-05" not in drift


def test_hostile_names_stay_text(browser: Chromium, tmp_path: Path) -> None:
    hosts = []
    for number, text in enumerate(HOSTILE):
        host = builtin_host(("gh200", "gb200", "thunderx2")[number % 3])
        functions = tuple(msgspec.structs.replace(entry, label=text) for entry in host.functions)
        smmus = tuple(msgspec.structs.replace(entry, device=text) for entry in host.smmus)
        kernel = Kernel(release=text)
        changes = {"name": text, "title": text, "functions": functions, "smmus": smmus, "kernel": kernel}
        hosts.append(msgspec.structs.replace(host, **changes))
    facts = tmp_path / "hosts.jsonl"
    facts.write_bytes(b"".join(msgspec.json.encode(host) + b"\n" for host in hosts) + b'{"<script>": 1}\n')
    browser.open(make_page(tmp_path, str(facts), "--pool", "kernel", "--title", HOSTILE[0]))
    assert browser.run("window.pwned === undefined")
    assert_quiet(browser)
    assert browser.run("document.scripts.length") == 1
    assert browser.run("document.querySelectorAll('img, iframe, object, [onload], [onerror]').length") == 0
    assert browser.run("document.title") == HOSTILE[0]
    names = column(browser, "host-table", 0)
    assert sorted(names) == sorted(HOSTILE)


def _luminance(color: str) -> float:
    digits = color.lstrip("#")
    digits = "".join(2 * digit for digit in digits) if len(digits) == 3 else digits
    parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    red, green, blue = (c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def schemes() -> dict[str, dict[str, str]]:
    """The colours of the light scheme, and those of the dark one, by variable."""
    light, dark = re.findall(r":root \{([^}]*)\}", CSS.read_text(encoding="utf-8"))
    found = {"light": dict(re.findall(r"--(\w+): (#\w+)", light))}
    return {**found, "dark": found["light"] | dict(re.findall(r"--(\w+): (#\w+)", dark))}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["ink", "soft", "good", "bad", "open", "link"])
@pytest.mark.parametrize("ground", ["page", "ground", "mark"])
def test_text_stands_out_from_its_ground(scheme: str, name: str, ground: str) -> None:
    """WCAG 2.2, 1.4.3: at least 4.5 to 1."""
    colours = schemes()[scheme]
    low, high = sorted((_luminance(colours[ground]), _luminance(colours[name])))
    assert (high + 0.05) / (low + 0.05) >= 4.5


def test_no_colour_of_the_page_stands_outside_the_schemes() -> None:
    rest = re.sub(r":root \{[^}]*\}", "", CSS.read_text(encoding="utf-8"))
    assert re.findall(r"#[0-9a-f]{3,8}\b(?=[^{}]*;)", rest) == []
