# SPDX-License-Identifier: Apache-2.0
"""Record what a QEMU says to command lines: ``python -m device_tables.record FILE -- PROGRAM...``.

FILE has a JSON object with a ``command`` a line; ``exit`` and ``stderr`` are written anew.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

_QUIT = '{"execute": "qmp_capabilities"}\n{"execute": "quit"}\n'


def answer(program: Sequence[str], command: str) -> dict[str, Any]:
    """Run one command line and tell the VM to quit; warnings are no answer."""
    done = subprocess.run(
        [*program, *shlex.split(command)[1:], "-qmp", "stdio"],
        input=_QUIT, capture_output=True, text=True, check=False, timeout=60,
        env={**os.environ, "LC_ALL": "C"},
    )  # fmt: skip
    lines = done.stderr.splitlines()
    warned = any("short-form boolean" in line for line in lines)
    kept = [
        line for line in lines if "warning:" not in line and not (warned and line.startswith("Please use"))
    ]
    return {"exit": done.returncode, "stderr": kept} if kept else {"exit": done.returncode}


def main() -> None:
    """Read the arguments and rewrite the file."""
    parser = argparse.ArgumentParser(prog="python -m device_tables.record", description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("program", nargs="+", help="a QEMU binary, with whatever must stand before it")
    options = parser.parse_args()
    cases = [json.loads(line) for line in options.file.read_text(encoding="utf-8").splitlines()]
    for case in cases:
        for member in ("exit", "stderr"):
            case.pop(member, None)
        case.update(answer(options.program, case["command"]))
    text = "".join(json.dumps(case, ensure_ascii=False) + "\n" for case in cases)
    options.file.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
