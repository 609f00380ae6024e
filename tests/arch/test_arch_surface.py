# SPDX-License-Identifier: Apache-2.0
"""The public surface: what ``import vsmmu`` offers, in a file, so that review sees a change."""

from __future__ import annotations

import ast
import os
from pathlib import Path
from typing import TYPE_CHECKING

import vsmmu

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Module

SURFACE = Path(__file__).with_name("surface.txt")


def _exported(module: Module) -> list[str] | None:
    for node in module.tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return list(ast.literal_eval(node.value)) if module.name != "vsmmu" else []
    return None


def _defined(module: Module) -> Iterator[str]:
    """Public names that the module itself defines; imported ones are its users' business."""
    for node in module.tree.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names = [node.name]
        elif isinstance(node, ast.Assign):
            names = [target.id for target in node.targets if isinstance(target, ast.Name)]
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names = [node.target.id]
        else:
            names = []
        yield from (name for name in names if not name.startswith("_"))


def test_public_surface() -> None:
    text = "".join(f"{name}\n" for name in sorted(vsmmu.__all__))
    if os.environ.get("VSMMU_REGENERATE"):
        SURFACE.write_text(text, encoding="utf-8")
    assert text == SURFACE.read_text(encoding="utf-8"), (
        "make regenerate, and say in CHANGELOG.md what changed"
    )


def test_modules_with_functions_state_what_is_public(modules: tuple[Module, ...]) -> None:
    bare = [
        module.name
        for module in modules
        if _exported(module) is None and any(isinstance(node, ast.FunctionDef) for node in module.tree.body)
    ]
    assert bare == []


def test_exported_names_exist(modules: tuple[Module, ...]) -> None:
    missing = []
    for module in modules:
        imported = {
            alias.asname or alias.name
            for node in ast.walk(module.tree)
            if isinstance(node, (ast.ImportFrom, ast.Import))
            for alias in node.names
        }
        known = {*_defined(module), *imported}
        missing += [f"{module.name}: {name}" for name in _exported(module) or () if name not in known]
    assert missing == []


def test_no_two_public_classes_have_one_name(modules: tuple[Module, ...]) -> None:
    homes: dict[str, list[str]] = {}
    for module in modules:
        for node in module.tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes.setdefault(node.name, []).append(module.name)
    assert {name: where for name, where in homes.items() if len(where) > 1} == {}
