# SPDX-License-Identifier: Apache-2.0
"""What a reader of a page cannot see, at a width and in a scheme, as the browser itself measures it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chromium import Chromium

__all__ = ["SCHEMES", "WIDTHS", "look"]

LOOK = Path(__file__).with_name("look.js").read_text(encoding="utf-8")
#: Pixels: a screen and a phone.
WIDTHS = (1400, 390)
SCHEMES = ("light", "dark")


def look(browser: Chromium, width: int, scheme: str) -> dict[str, Any]:
    """What cannot be seen of the open page."""
    browser.call(
        "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False
    )
    browser.call(
        "Emulation.setEmulatedMedia",
        features=[
            {"name": "prefers-color-scheme", "value": scheme},
            # Colours that fade from one scheme to the other would be measured on the way.
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ],
    )
    return dict(browser.run(LOOK))
