# SPDX-License-Identifier: Apache-2.0
"""Ask a QEMU binary for its types, and find the widths of objects' numbers, which QMP does not tell."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING, Final

from vsmmu.monitor.table_probe import ask_types

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vsmmu.qemu.table_folding import AskedTypes

__all__ = ["ask", "refusal"]

_VIRT: Final = "-machine virt -accel tcg -S -display none -nodefaults -no-user-config -monitor none".split()
_OBJECT_TYPE: Final = re.compile(r"expects an? (?P<type>size|uint64|int64) value(?P<list> or range)?")


def refusal(program: Sequence[str], *words: str) -> str:
    """What the ``virt`` machine says to these options; empty if it starts."""
    quit_at_once = '{"execute": "qmp_capabilities"}\n{"execute": "quit"}\n'
    done = subprocess.run(
        [*program, *_VIRT, "-qmp", "stdio", *words],
        input=quit_at_once, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    return done.stderr if done.returncode else ""


def ask(program: Sequence[str]) -> AskedTypes:
    """Ask ``program`` (a binary, with whatever stands before it) for everything."""
    answers = ask_types(program)
    objects = {
        name: [(member, _exact(program, name, members, member, kind), must) for member, kind, must in members]
        for name, members in answers.objects.items()
    }
    return answers._replace(objects=objects)


def _exact(
    program: Sequence[str], name: str, members: list[tuple[str, str, bool]], member: str, kind: str
) -> str:
    """The width of an integer, which QMP's schema does not tell, from QEMU's refusal of another value."""
    if kind not in ("int", "[int]"):
        return kind
    others = "".join(f",{other}=1" for other, _, must in members if must and other != member)
    match = _OBJECT_TYPE.search(refusal(program, "-object", f"{name},id=x{others},{member}=?"))
    if match is None:
        return kind
    return f"[{match['type']}]" if match["list"] else match["type"]
