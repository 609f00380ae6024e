# SPDX-License-Identifier: Apache-2.0
"""Pictures in a real browser: text stays in its frame, apart from other text, readable on a phone too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from chromium import MARKS

from drawn import a_plan
from vsmmu.host.builtin import builtin_host, builtin_names
from vsmmu.picture.host import host_picture
from vsmmu.picture.svg import svg

if TYPE_CHECKING:
    from pathlib import Path

    from chromium import Chromium

pytestmark = MARKS
PICTURES = {name: host_picture(builtin_host(name)) for name in builtin_names()} | {"plan": a_plan()}
WIDTHS = (1400, 390)
#: Pixels that a font has at least, on a screen with one pixel to a point; a phone has two or three.
LEAST_FONT = 7.8
#: The browser's own measures, in pixels of the screen.
LOOK = """(() => {
    const corners = box => [box.left, box.top, box.right, box.bottom];
    const around = entry => corners(entry.getBoundingClientRect());
    const root = document.documentElement;
    return {
        texts: [...document.querySelectorAll("text")].map(around),
        frames: [...document.querySelectorAll("rect:not(.ground)")].map(around),
        whole: around(root),
        seen: [root.scrollWidth, window.innerWidth],
        font: 12 * root.getBoundingClientRect().width / root.viewBox.baseVal.width,
        ground: getComputedStyle(root.querySelector(".ground")).fill,
    };
})()"""


def look(browser: Chromium, path: Path, width: int, scheme: str = "light") -> dict[str, Any]:
    browser.call(
        "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False
    )
    browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    browser.open(path)
    return dict(browser.run(LOOK))


def is_across(text: list[float], frame: list[float]) -> bool:
    """Whether a line of text lies partly in a frame and partly outside it."""
    in_height = text[1] >= frame[1] - 1 and text[3] <= frame[3] + 1
    in_width = text[0] >= frame[0] - 1 and text[2] <= frame[2] + 1
    beside = text[2] <= frame[0] or text[0] >= frame[2] or text[3] <= frame[1] or text[1] >= frame[3]
    return not beside and not (in_height and in_width)


def is_over(one: list[float], other: list[float]) -> bool:
    """Whether two lines of text overlap, but for what their fonts leave between lines."""
    wide = min(one[2], other[2]) - max(one[0], other[0])
    high = min(one[3], other[3]) - max(one[1], other[1])
    return wide > 1 and high > 2


@pytest.mark.parametrize("name", PICTURES)
def test_text_is_in_its_frame_apart_from_other_text_and_large_enough(
    browser: Chromium, tmp_path: Path, name: str
) -> None:
    path = tmp_path / f"{name}.svg"
    path.write_text(svg(PICTURES[name], name), encoding="utf-8")
    for width in WIDTHS:
        found = look(browser, path, width)
        texts = found["texts"]
        assert len(texts) > 5
        assert not [text for text in texts for frame in found["frames"] if is_across(text, frame)]
        assert not [text for at, text in enumerate(texts) for other in texts[:at] if is_over(text, other)]
        assert all(text[2] <= found["whole"][2] and text[3] <= found["whole"][3] for text in texts)
        assert found["font"] >= LEAST_FONT
        assert found["whole"][2] <= found["seen"][0] + 1, "what is wider than the window is scrolled to"


@pytest.mark.parametrize("name", ["plan", "gb10", "thunderx2"])
def test_a_small_picture_needs_no_scrolling_on_a_phone(browser: Chromium, tmp_path: Path, name: str) -> None:
    path = tmp_path / f"{name}.svg"
    path.write_text(svg(PICTURES[name], name), encoding="utf-8")
    whole, window = look(browser, path, 390)["seen"]
    assert whole <= window


def test_the_dark_scheme_reaches_the_ground(browser: Chromium, tmp_path: Path) -> None:
    path = tmp_path / "plan.svg"
    path.write_text(svg(PICTURES["plan"], "a plan"), encoding="utf-8")
    grounds = [look(browser, path, 1400, scheme)["ground"] for scheme in ("light", "dark")]
    assert grounds == ["rgb(255, 255, 255)", "rgb(20, 23, 26)"]


def test_the_look_finds_text_outside_its_frame() -> None:
    frame = [0.0, 0.0, 100.0, 50.0]
    assert is_across([90.0, 10.0, 120.0, 20.0], frame)
    assert not is_across([10.0, 10.0, 90.0, 20.0], frame)
    assert not is_across([110.0, 10.0, 120.0, 20.0], frame)
    assert is_over([0, 0, 10, 10], [5, 5, 15, 15])
    assert not is_over([0, 0, 10, 10], [0, 9, 10, 19])
