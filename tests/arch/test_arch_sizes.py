# SPDX-License-Identifier: Apache-2.0
"""Sizes, docstrings, headers: the limits in CONTRIBUTING.md."""

from __future__ import annotations

import ast
from collections import Counter
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import Module

MAX_MODULE = 400
MAX_FUNCTION = 50
SPDX = "# SPDX-License-Identifier: Apache-2.0"
#: Functions that may have up to 75 lines, each with the reason.
LONG: dict[str, str] = {}
Function = ast.FunctionDef | ast.AsyncFunctionDef


def _functions(module: Module) -> Iterator[Function]:
    return (node for node in ast.walk(module.tree) if isinstance(node, Function))


def _length(node: Function) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def test_modules_fit_on_a_few_screens(sources: tuple[Module, ...]) -> None:
    sizes = {module.name: len(module.text.splitlines()) for module in sources}
    assert {name: size for name, size in sizes.items() if size > MAX_MODULE} == {}
    assert median(sizes.values()) <= MAX_MODULE / 2


def test_functions_fit_on_a_screen(sources: tuple[Module, ...]) -> None:
    long = {
        f"{module.name}.{node.name}": _length(node)
        for module in sources
        for node in _functions(module)
        if _length(node) > MAX_FUNCTION
    }
    assert {name: size for name, size in long.items() if name not in LONG} == {}
    assert [name for name in LONG if long.get(name, 0) <= MAX_FUNCTION] == [], "no longer long: take them out"
    assert max(long.values(), default=0) <= 75


def test_functions_are_mostly_short(sources: tuple[Module, ...]) -> None:
    sizes = sorted(_length(node) for module in sources for node in _functions(module))
    assert sizes[len(sizes) * 9 // 10] <= 30


def test_every_module_says_what_it_is_for(sources: tuple[Module, ...]) -> None:
    assert [
        module.name for module in sources if not (ast.get_docstring(module.tree) or "").split("\n")[0]
    ] == []


def _public(body: list[ast.stmt]) -> Iterator[Function | ast.ClassDef]:
    for node in body:
        if isinstance(
            node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
        ) and not node.name.startswith("_"):
            yield node
            if isinstance(node, ast.ClassDef):
                yield from _public(node.body)


def _overrides(node: ast.AST) -> bool:
    decorators = getattr(node, "decorator_list", [])
    return any("override" in ast.unparse(decorator) for decorator in decorators)


def test_every_public_name_has_a_docstring(sources: tuple[Module, ...]) -> None:
    bare = [
        f"{module.place(node)} {node.name}"
        for module in sources
        if not module.name.rpartition(".")[2].startswith("_")
        for node in _public(module.tree.body)
        if not ast.get_docstring(node) and not _overrides(node)
    ]
    assert bare == []


def test_every_source_file_names_its_licence(tracked: tuple[Path, ...], root: Path) -> None:
    sources = [path for path in tracked if path.suffix in (".py", ".sh") or path.name == "Makefile"]
    bare = [path for path in sources if SPDX not in path.read_text(encoding="utf-8").splitlines()[:2]]
    assert [str(path.relative_to(root)) for path in bare] == []


def test_test_files_have_names_of_their_own(tracked: tuple[Path, ...], root: Path) -> None:
    """Test directories are no packages, so pytest needs every base name only once."""
    tests = [path for path in tracked if root / "tests" in path.parents and path.suffix == ".py"]
    names = Counter(path.name for path in tests if path.name != "conftest.py")
    assert [name for name, count in names.items() if count > 1] == []
