# SPDX-License-Identifier: Apache-2.0
"""``python -m device_tables --out FILE -- PROGRAM...``: write the table of a binary."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from device_tables.ask import ask
from device_tables.tried import accepted, correct
from vsmmu.qemu.table_folding import fold


def main() -> None:
    """Read the arguments, ask the binary, write the file."""
    parser = argparse.ArgumentParser(prog="python -m device_tables", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="where the table goes")
    parser.add_argument("--build", default="", help="which build it is, where the binary does not say")
    parser.add_argument("program", nargs="+", help="a QEMU binary, with whatever must stand before it")
    options = parser.parse_args()
    answers = ask(options.program)
    answers = answers._replace(build=options.build or answers.build)
    table = fold(answers, accepted(options.program))
    correct(options.program, table["devices"])
    options.out.write_text(rows(table), encoding="utf-8")


def rows(table: dict[str, object]) -> str:
    """JSON with one type a line, so that two versions can be compared."""
    parts = []
    for key, value in table.items():
        if isinstance(value, dict) and value:
            lines = ",\n".join(
                f"{json.dumps(name)}:{json.dumps(entry, separators=(',', ':'))}"
                for name, entry in value.items()
            )
            parts.append(f"{json.dumps(key)}:{{\n{lines}}}")
        else:
            parts.append(f"{json.dumps(key)}:{json.dumps(value)}")
    return "{" + ",\n".join(parts) + "}\n"


if __name__ == "__main__":
    main()
