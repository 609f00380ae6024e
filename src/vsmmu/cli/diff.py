# SPDX-License-Identifier: Apache-2.0
"""The difference between two command lines, as ``diff -u`` shows it."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vsmmu.machine.argv import CommandLine

__all__ = ["difference"]


def difference(before: CommandLine, after: CommandLine) -> str:
    """A unified diff: of the text's own lines if it has several, else with one word a line."""
    old, new = before.render(), after.render()
    if old.count("\n") <= 1 or "\0" in old:
        old = "".join(f"{word}\n" for word in before.render_words())
        new = "".join(f"{word}\n" for word in after.render_words())
    lines = difflib.unified_diff(
        old.splitlines(keepends=True), new.splitlines(keepends=True), "as written", "resolved"
    )
    return "".join(line if line.endswith("\n") else f"{line}\n" for line in lines)
