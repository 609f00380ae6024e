# SPDX-License-Identifier: Apache-2.0
"""The difference between two forms of a VM, as ``diff -u`` shows it."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vsmmu.machine.command_line.argv import CommandLine
    from vsmmu.machine.domain.document import DomainXml

__all__ = ["difference"]


def difference(before: CommandLine | DomainXml, after: CommandLine | DomainXml) -> str:
    """A unified diff: of the text's own lines if it has several, else with one word (or tag) a line."""
    lines = difflib.unified_diff(_lines(before), _lines(after), "as written", "resolved")
    return "".join(line if line.endswith("\n") else f"{line}\n" for line in lines)


def _lines(vm: CommandLine | DomainXml) -> list[str]:
    from vsmmu.machine.command_line.argv import CommandLine

    if not isinstance(vm, CommandLine):
        return vm.lines()
    text = vm.render()
    if text.count("\n") <= 1 or "\0" in text:
        return [f"{word}\n" for word in vm.render_words()]
    return text.splitlines(keepends=True)
