# SPDX-License-Identifier: Apache-2.0
"""The sources as these tests look at them: every file once, parsed once."""

from __future__ import annotations

import ast
import subprocess
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "vsmmu"


class Module(NamedTuple):
    """One module of the package."""

    name: str
    path: Path
    text: str
    tree: ast.Module

    def place(self, node: ast.AST) -> str:
        """``file:line`` for messages."""
        return f"{self.path.relative_to(ROOT)}:{getattr(node, 'lineno', 1)}"


@cache
def all_modules() -> tuple[Module, ...]:
    """Every module of the package, by path."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = ("vsmmu", *path.relative_to(PACKAGE).with_suffix("").parts)
        name = ".".join(parts).removesuffix(".__init__")
        text = path.read_text(encoding="utf-8")
        found.append(Module(name, path, text, ast.parse(text, str(path))))
    return tuple(found)


@cache
def all_tracked() -> tuple[Path, ...]:
    """Every file that git knows, or would take at ``git add .``."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listing = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return tuple(path for name in sorted(set(listing.split("\0")) - {""}) if (path := ROOT / name).is_file())


@pytest.fixture(scope="session")
def modules() -> tuple[Module, ...]:
    return all_modules()


@pytest.fixture(scope="session")
def tracked() -> tuple[Path, ...]:
    return all_tracked()


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT
