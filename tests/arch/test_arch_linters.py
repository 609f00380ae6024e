# SPDX-License-Identifier: Apache-2.0
"""The linters, as tests: one run tells everything."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

BIN = Path(sys.executable).parent
LINTERS = {
    "ruff-check": ["ruff", "check", "--no-fix", "--output-format=concise", "."],
    "ruff-format": ["ruff", "format", "--check", "."],
    "mypy": ["mypy"],
    "import-linter": ["lint-imports", "--no-cache"],
    "vulture": ["vulture"],
}


@pytest.mark.parametrize("linter", LINTERS)
def test_linter_is_content(linter: str, root: Path) -> None:
    program, *arguments = LINTERS[linter]
    result = subprocess.run(
        [BIN / program, *arguments], cwd=root, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, f"{result.stdout}{result.stderr}"


def _is_shell_script(path: Path) -> bool:
    first = path.read_bytes()[:64].split(b"\n", 1)[0]
    return path.suffix == ".sh" or re.fullmatch(rb"#!.*[/ ](?:ba)?sh( .*)?", first) is not None


def test_shellcheck_is_content(tracked: tuple[Path, ...], root: Path) -> None:
    names = [str(path.relative_to(root)) for path in tracked if _is_shell_script(path)]
    # Golden files are what users write, faults and all.
    scripts = [name for name in names if not name.startswith("tests/golden/")]
    assert {".ci/run", "docs/main-job.sh", "requirements/make-venv", "debian/tests/installed"} <= set(scripts)
    result = subprocess.run(
        [BIN / "shellcheck", *scripts], cwd=root, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_codespell_is_content(tracked: tuple[Path, ...], root: Path) -> None:
    names = [str(path.relative_to(root)) for path in tracked]
    result = subprocess.run(
        [BIN / "codespell", *names], cwd=root, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_pre_commit_runs_the_same_linters(root: Path) -> None:
    config = yaml.safe_load((root / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    (repository,) = config["repos"]
    hooks = {hook["id"]: hook["entry"].split() for hook in repository["hooks"]}
    assert set(hooks) == {*LINTERS, "shellcheck", "codespell"}
    assert repository["repo"] == "local"
    for name, (program, *arguments) in hooks.items():
        assert program == f".venv/bin/{LINTERS[name][0] if name in LINTERS else name}"
        # pre-commit names the files; whatever else is said is said here, too.
        assert set(arguments) <= set(LINTERS.get(name, ()))
