# SPDX-License-Identifier: Apache-2.0
"""Sphinx: Markdown through MyST, the furo theme (make docs)."""

import vsmmu

project = "vsmmu"
author = "The vsmmu authors"
version = release = vsmmu.__version__
copyright = author  # noqa: A001 - Sphinx names it

extensions = ["myst_parser"]
exclude_patterns = ["_build", "_generate"]
myst_heading_anchors = 3
html_theme = "furo"
html_title = f"vsmmu {version}"
