# SPDX-License-Identifier: Apache-2.0
"""Sphinx: Markdown through MyST, the furo theme (make docs)."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import vsmmu

if TYPE_CHECKING:
    from sphinx.application import Sphinx

DOCS = Path(__file__).parent
sys.path += [str(DOCS / "_generate"), str(DOCS.parent / "tests" / "docs")]

project = "vsmmu"
author = "The vsmmu authors"
version = release = vsmmu.__version__
copyright = author  # noqa: A001 - Sphinx names it

extensions = ["myst_parser"]
exclude_patterns = ["_build", "_generate"]
myst_heading_anchors = 3
# Options and quoted values stand in running text, too: --validate, accel='on'.
smartquotes = False
html_theme = "furo"
html_title = f"vsmmu {version}"
html_static_path = ["_static"]
html_css_files = ["manual.css"]
html_js_files = ["copy.js"]


def setup(app: Sphinx) -> None:
    """Console blocks as the tests read them."""
    from lexer import ConsoleLexer  # the path is set only now

    app.add_lexer("console", ConsoleLexer)
