# SPDX-License-Identifier: Apache-2.0
"""The entry point: find the verb, run it, turn what it raises into a message and an exit status.

A start of vsmmu lies on the path of a VM's start, so nothing is imported before a verb asks for it.
"""

from __future__ import annotations

import gc
import os
import sys

from vsmmu.cli import stdout
from vsmmu.cli.outcome import end_quickly, exit_status

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final, NoReturn

    from vsmmu.errors import VsmmuError

__all__ = ["main", "run"]

#: These read one VM and one host and give one answer: what they leave in cycles, or open, goes with the
#: process; and a VM's start waits for them, so they do without click where they can.
_ABOUT_A_VM: Final = ("resolve", "explain", "check", "run")
#: Set by the shell's completion, which is click's.
_COMPLETING: Final = "_VSMMU_COMPLETE"


def main() -> NoReturn:
    """Run the command line of this process and exit with the status that :mod:`vsmmu.errors` names."""
    arguments = sys.argv[1:]
    if not arguments or arguments[0] not in (*_ABOUT_A_VM, "--version", "-V"):
        sys.exit(run(arguments))
    gc.disable()
    end_quickly(run(arguments))


def run(arguments: list[str]) -> int:
    """Run one command line; every outcome becomes an exit status, and nothing a traceback."""
    json = _wants_json(arguments)
    return exit_status(lambda: _run(arguments, json=json), _report if json else None)


def _run(arguments: list[str], *, json: bool) -> int:
    if arguments in (["--version"], ["-V"]):
        from vsmmu import __version__

        stdout.raw(f"vsmmu {__version__}\n")
        return 0
    from vsmmu.cli import console

    console.use_colour("never" if json else "auto")
    if os.environ.get(_COMPLETING):
        from vsmmu.cli.shells import register

        register()
    elif arguments and arguments[0] in _ABOUT_A_VM:
        from importlib import import_module

        from vsmmu.cli.late_modules import load_msgspec
        from vsmmu.cli.plain_form import parse_plainly

        load_msgspec()
        verb, *rest = arguments
        if (given := parse_plainly(verb, rest)) is not None:
            status: int = import_module(f"vsmmu.cli.{verb}").command(**given)
            return status
    from vsmmu.cli.group import run as run_with_click

    return run_with_click(arguments)


def _report(error: VsmmuError) -> None:
    from vsmmu.cli import console
    from vsmmu.cli.documents import error_document

    console.answer(error_document(error))


def _wants_json(arguments: list[str]) -> bool:
    """Whether ``-o json`` is among the arguments, which may be too wrong for click to say so."""
    mine = arguments[: arguments.index("--")] if "--" in arguments else arguments
    if not any(word.endswith("json") for word in mine):
        return False
    import re

    pairs = zip(mine, [*mine[1:], ""], strict=True)
    return any(re.fullmatch(_JSON, f"{word} {value}") or re.fullmatch(_JSON, word) for word, value in pairs)


#: ``-o json``, ``-qo json``, ``-ojson``, ``--output json``, ``--output=json``.
_JSON: Final = r"(-[a-z]*o ?|--output[ =])json"
