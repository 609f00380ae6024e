# SPDX-License-Identifier: Apache-2.0
"""The linters, as tests: one run tells everything."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

BIN = Path(sys.executable).parent
LINTERS = {
    "ruff-check": ["ruff", "check", "--no-fix", "--output-format=concise", "."],
    "ruff-format": ["ruff", "format", "--check", "."],
    "mypy": ["mypy"],
    "import-linter": ["lint-imports", "--no-cache"],
}


@pytest.mark.parametrize("linter", LINTERS)
def test_linter_is_content(linter: str, root: Path) -> None:
    program, *arguments = LINTERS[linter]
    result = subprocess.run(
        [BIN / program, *arguments], cwd=root, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, f"{result.stdout}{result.stderr}"


def test_shell_scripts_parse(tracked: tuple[Path, ...], root: Path) -> None:
    scripts = [
        path for path in tracked if path.read_bytes()[:64].startswith((b"#!/bin/sh", b"#!/usr/bin/env bash"))
    ]
    assert scripts
    for script in scripts:
        shell = "bash" if b"bash" in script.read_bytes()[:32] else "sh"
        result = subprocess.run([shell, "-n", script], capture_output=True, text=True, check=False)
        assert result.returncode == 0, f"{script.relative_to(root)}: {result.stderr}"
