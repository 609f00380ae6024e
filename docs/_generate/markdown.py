# SPDX-License-Identifier: Apache-2.0
"""Markdown of tables and definitions, escaped."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["NOTICE", "code", "page", "prose", "table"]

NOTICE = "<!-- Generated from the code by docs/_generate: change the code, then `make regenerate`. -->"


def code(text: object) -> str:
    """``text`` as code, also within a table."""
    return f"`{str(text).replace('|', '&#124;') if '`' not in str(text) else text}`" if str(text) else ""


def prose(text: str) -> str:
    """A docstring's reStructuredText on one line of Markdown."""
    return " ".join(text.replace("``", "`").split()).replace("|", "\\|").replace("<", "\\<")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; cells are Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def page(title: str, *blocks: str) -> str:
    """A whole page; blocks are separated by empty lines."""
    body = "\n\n".join(block.strip("\n") for block in blocks if block.strip())
    return f"{NOTICE}\n\n# {title}\n\n{body}\n"
