# SPDX-License-Identifier: Apache-2.0
"""Interpreter of a script, by its first line, its name or its syntax, and how to run it under ``capture``."""

from __future__ import annotations

import re
from typing import Final

from vsmmu.machine.command_line.foreign import MAKEFILE, PYTHON

__all__ = ["capturing", "interpreter_of"]

_FIRST_LINE: Final = r"\ufeff?#![ \t]*(\S+)(?:[ \t]+-S)?(?:[ \t]+(?:[A-Za-z_]\w*=\S*[ \t]+)*(\S+))?"
#: What the shells have that are called by their names, and ``sh`` of some systems has not.
_BASHISMS: Final = r"\w\+?=\(|^[ \t]*(?:function|declare|mapfile|\[\[)[ \t]|\[[@*]\]\}|<<<|\$'|\w\+="
_ENDINGS: Final = {
    ".py": "python3", ".pl": "perl", ".rb": "ruby", ".js": "node", ".fish": "fish", ".zsh": "zsh",
    ".mk": "make -f",
}  # fmt: skip


def interpreter_of(text: str, where: str = "") -> str:
    """``bash``, ``python3`` and so on; ``sh`` for what any shell reads.

    :param where: its file, which may tell by how it ends.
    """
    first = re.match(_FIRST_LINE, text)
    if first is None:
        name = where.rpartition("/")[2]
        if name.casefold().startswith(("makefile", "gnumakefile")) or re.search(MAKEFILE, text, re.MULTILINE):
            return "make -f"
        told = _ENDINGS.get(name[name.rfind(".") :]) if "." in name else None
        if told or re.search(PYTHON, text, re.MULTILINE):
            return told or "python3"
        return "bash" if re.search(_BASHISMS, text, re.MULTILINE) else "sh"
    name = first[1].rpartition("/")[2]
    return (first[2] or "sh").rpartition("/")[2] if name == "env" else name


def capturing(text: str, where: str) -> str:
    """The command that shows what a script starts.

    :param where: the script's file, or what a text is called that has none.
    """
    script = where if "/" in where or "." in where else "SCRIPT"
    return f"vsmmu capture -- {interpreter_of(text, where)} {script}"
