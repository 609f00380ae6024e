# SPDX-License-Identifier: Apache-2.0
"""The codes of the diagnoses that vsmmu's sources make, with the exit status that follows."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import vsmmu
from vsmmu import errors

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Made", "diagnoses", "exit_statuses"]

_CODE: Final = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*")
#: What makes a diagnosis, with the exit status that follows (None: it is one line of an answer) and the
#: position of the next step, where that is not given by name.
_MAKERS: Final[dict[str, tuple[int | None, int]]] = {
    "Diagnostic": (1, 4),
    "LabFailed": (125, 99),
    "refusal": (3, 99),
    "Check.found": (None, 4),
    "super().__init__": (None, 99),
}


class Made(NamedTuple):
    """One call that makes a diagnosis.

    :param code: as written; empty if it is computed.
    :param status: of the exit; None where it is not an error or not known.
    :param has_next: whether the next step is given.
    """

    place: str
    code: str
    status: int | None
    has_next: bool


def diagnoses() -> Iterator[Made]:
    """Every diagnosis that the sources make."""
    makers = dict(_MAKERS)
    for name in errors.__all__:
        if isinstance(kind := getattr(errors, name), type):
            makers[name] = (kind.exit_status, 99)
    root = Path(vsmmu.__path__[0])
    for path in sorted(root.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and (maker := makers.get(ast.unparse(node.func))):
                yield from _made(node, f"{path.relative_to(root)}:{node.lineno}", *maker)


def _made(node: ast.Call, place: str, status: int | None, position: int) -> Iterator[Made]:
    first = node.args[0] if node.args else None
    code = first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) else ""
    if ast.unparse(node.func) == "super().__init__" and not (code and "-" in code):
        return  # some other class's
    if ast.unparse(node.func) == "Check.found":
        code = f"doctor-{code}" if code else ""
    # A table's default: an option that QEMU's parser refuses has "correct the option".
    has_next = ast.unparse(node.func) == "refusal" or len(node.args) > position
    given = {keyword.arg: keyword.value for keyword in node.keywords}
    drift = place.startswith("monitor/inspection.py")
    if getattr(given.get("severity"), "value", "") in ("warning", "note") and not drift:
        status = None  # beside an answer that it does not change
    if "next" in given:
        value = given["next"]
        has_next = not (isinstance(value, ast.Constant) and not value.value)
    yield Made(place, code if _CODE.fullmatch(code) else "", status, has_next)


def exit_statuses() -> dict[str, list[int]]:
    """The exit statuses of each code that is written where it is made."""
    found: dict[str, set[int]] = defaultdict(set)
    for made in diagnoses():
        if made.code and made.status is not None:
            found[made.code].add(made.status)
    return {code: sorted(statuses) for code, statuses in found.items()}
