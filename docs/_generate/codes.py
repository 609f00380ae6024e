# SPDX-License-Identifier: Apache-2.0
"""The error codes of vsmmu, read out of its sources: code, exit status, sentence."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import vsmmu
from vsmmu import errors

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["error_codes"]

_CODE = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)+")
#: Calls that make an error, with the exit status that follows; the tree's own classes come on top.
_STATUSES = {"Diagnostic": 1, "LabFailed": 5, "refusal": 3, "kind": 3}
for _name in errors.__all__:
    if isinstance(_class := getattr(errors, _name), type):
        _STATUSES[_name] = _class.exit_status


def _sentence(node: ast.expr) -> str:
    """The text of a message; what is filled in is shown as a name in capitals."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(
            _placeholder(part.value) if isinstance(part, ast.FormattedValue) else _sentence(part)
            for part in node.values
        )
    return ""


def _placeholder(node: ast.expr) -> str:
    names = [part.attr if isinstance(part, ast.Attribute) else part.id for part in ast.walk(node)
             if isinstance(part, (ast.Attribute, ast.Name))]  # fmt: skip
    return (names[0].strip("_") if names else "value").upper()


def _errors(tree: ast.Module) -> Iterator[tuple[str, int, str]]:
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _STATUSES):
            continue
        first = node.args[0] if node.args else None
        if isinstance(first, ast.Constant) and isinstance(first.value, str) and _CODE.fullmatch(first.value):
            sentence = _sentence(node.args[1]) if len(node.args) > 1 else ""
            yield first.value, _STATUSES[node.func.id], sentence


def error_codes() -> dict[str, tuple[list[int], list[str]]]:
    """Every code with its exit statuses and sentences."""
    found: dict[str, tuple[set[int], set[str]]] = defaultdict(lambda: (set(), set()))
    for path in sorted(Path(vsmmu.__path__[0]).rglob("*.py")):
        for name, status, sentence in _errors(ast.parse(path.read_text(encoding="utf-8"))):
            found[name][0].add(status)
            if sentence:
                found[name][1].add(sentence)
    return {name: (sorted(statuses), sorted(texts)) for name, (statuses, texts) in sorted(found.items())}
