# SPDX-License-Identifier: Apache-2.0
"""Mutate the model of QEMU and the policy, and list the mutants that no test kills (``make mutate``).

A sample of places is drawn by a seed, of each place one mutant; cosmic-ray makes it in a copy of the tree and
runs the tests. Places that decide nothing are left out: annotations, docstrings and ``if TYPE_CHECKING``.
It takes the interpreter of ``build/mutate``, where cosmic-ray is; the tests run with that of ``.venv``.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import random
import shutil
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).resolve().parents[1]
PACKAGES: Final = ("policy", "qemu")
#: Quickest first: the first failure ends a run.
TESTS: Final = (
    "tests/unit/policy tests/unit/qemu tests/unit/api tests/unit/kubevirt/test_kubevirt_hook.py "
    "tests/conformance"
)
_SECONDS: Final = 150.0
_Span = tuple[tuple[int, int], tuple[int, int]]


def main() -> int:
    """Draw, run, and write ``results.jsonl`` and ``survivors.md`` beside the copy."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--mutants", type=int, default=200)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--directory", type=Path, default=ROOT / "build" / "mutate-run")
    asked = options.parse_args()
    tree = copy_tree(asked.directory)
    command = f"{ROOT}/.venv/bin/python -m pytest -x -q -p no:cacheprovider {TESTS}"
    os.environ["PYTHONPATH"] = str(tree / "src")
    os.chdir(tree)
    subprocess.run(command.split(), check=True, stdout=subprocess.DEVNULL)  # a failure here would kill all
    results = []
    with (asked.directory / "results.jsonl").open("w", encoding="utf-8") as file:
        for mutation in draw(asked.mutants, asked.seed):
            results.append(run(mutation, command))
            file.write(json.dumps(results[-1]) + "\n")
            file.flush()
    survivors = [result for result in results if result["outcome"] == "survived"]
    text = "".join(f"{result['place']}\n```diff\n{result['diff']}\n```\n" for result in survivors)
    (asked.directory / "survivors.md").write_text(text, encoding="utf-8")
    sys.stdout.write(f"{len(results)} mutants, {len(results) - len(survivors)} killed\n")
    return 0


def copy_tree(directory: Path) -> Path:
    """The files of the project as they are now, in a folder where they may be changed."""
    tree = directory / "tree"
    shutil.rmtree(tree, ignore_errors=True)
    listed = subprocess.run(
        ["git", "ls-files", "-zco", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_file():
            shutil.copy2(ROOT / name, tree / name)
    return tree


def draw(count: int, seed: int) -> list[Any]:
    """So many mutations, each at another place."""
    from cosmic_ray.commands import init
    from cosmic_ray.work_db import WorkDB, use_db

    paths = [path for name in PACKAGES for path in sorted(Path("src/vsmmu", name).glob("*.py"))]
    session = "../session.sqlite"
    with use_db(session, WorkDB.Mode.create) as database:
        init(paths, database, {})
        mutations = [item.mutations[0] for item in database.work_items]
    places: dict[tuple[str, Any, Any], list[Any]] = defaultdict(list)
    idle = {str(path): list(_idle(ast.parse(path.read_bytes()))) for path in paths}
    for mutation in mutations:
        file, start, end = str(mutation.module_path), tuple(mutation.start_pos), tuple(mutation.end_pos)
        if not any(first <= start and end <= last for first, last in idle[file]):
            places[file, start, end].append(mutation)
    chance = random.Random(seed)  # noqa: S311 - a sample, not a secret
    chosen = chance.sample(sorted(places), min(count, len(places)))
    return [chance.choice(sorted(places[place], key=lambda one: one.operator_name)) for place in chosen]


def _idle(tree: ast.AST) -> Iterator[_Span]:
    """The places of what is never evaluated: annotations (PEP 563) and imports for the type checker."""
    for node in ast.walk(tree):
        idle: list[ast.expr | ast.stmt | None] = []
        if isinstance(node, (ast.AnnAssign, ast.arg)):
            idle.append(node.annotation)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            idle.append(node.returns)
        elif isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            idle.append(node)
        for one in filter(None, idle):
            yield (one.lineno, one.col_offset), (one.end_lineno or 0, one.end_col_offset or 0)


def run(mutation: Any, command: str) -> dict[str, str]:
    """The outcome of one mutation, its place and its difference."""
    from cosmic_ray.mutating import mutate_and_test

    done = mutate_and_test([mutation], command, _SECONDS)
    outcome = done.test_outcome.value if done.test_outcome else done.worker_outcome.value
    place = f"{mutation.module_path}:{mutation.start_pos[0]} {mutation.operator_name}"
    return {"outcome": outcome, "place": place, "diff": done.diff or ""}


if __name__ == "__main__":
    sys.exit(main())
