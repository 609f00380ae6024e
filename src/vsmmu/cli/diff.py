# SPDX-License-Identifier: Apache-2.0
"""The difference between two forms of a VM, as ``diff -u`` shows it."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vsmmu.machine.vm import Vm

__all__ = ["difference"]


def difference(before: Vm, after: Vm, name: str = "resolved") -> str:
    """A unified diff: of the text's own lines if it has several, else with one word (or tag) a line.

    :param name: what ``after`` is called.
    """
    lines = difflib.unified_diff(before.lines(), after.lines(), "as written", name)
    return "".join(line if line.endswith("\n") else f"{line}\n" for line in lines)
