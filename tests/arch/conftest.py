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
#: The folder in which packages stand -> the package.
PACKAGES = {"src": "vsmmu", "tools": "conformance"}


class Module(NamedTuple):
    """One module of a package."""

    name: str
    path: Path
    text: str
    tree: ast.Module

    def place(self, node: ast.AST) -> str:
        """``file:line`` for messages."""
        return f"{self.path.relative_to(ROOT)}:{getattr(node, 'lineno', 1)}"


@cache
def all_modules(folder: str) -> tuple[Module, ...]:
    """Every module of the package in a folder, by path."""
    found = []
    for path in sorted((ROOT / folder / PACKAGES[folder]).rglob("*.py")):
        name = ".".join(path.relative_to(ROOT / folder).with_suffix("").parts).removesuffix(".__init__")
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
    """The modules that are installed."""
    return all_modules("src")


@pytest.fixture(scope="session")
def sources() -> tuple[Module, ...]:
    """The modules that are installed, and those of tools."""
    return (*all_modules("src"), *all_modules("tools"))


@pytest.fixture(scope="session")
def tracked() -> tuple[Path, ...]:
    return all_tracked()


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT
