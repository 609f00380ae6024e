# SPDX-License-Identifier: Apache-2.0
"""``vsmmu capture``: the words of the QEMU that a script would start."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from vsmmu.cli import console
from vsmmu.cli.options import VmCommand, given_words, parameters

if TYPE_CHECKING:
    from vsmmu.emulate.capture import Captured

__all__ = ["command"]

_EXAMPLES = """\b
Examples:
  vsmmu capture -- sh vm.sh
  vsmmu capture -- ./start-vm gpu0 > vm.sh && vsmmu check vm.sh
  vsmmu capture -o nul -- make run | vsmmu check -
"""


class _CaptureCommand(VmCommand):
    """The usage line: a program after ``--``."""

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """The usage line, with the form that click cannot know."""
        return ["[OPTIONS]", "-- PROGRAM..."]


@click.command("capture", cls=_CaptureCommand, epilog=_EXAMPLES)
@parameters("capture")
def command(timeout: float, output: str) -> int:
    """Run PROGRAM with a stand-in QEMU that starts nothing, and print the command line that it got.

    For scripts whose values only a shell knows. Everything else in PROGRAM is really done; sudo and its like
    are left out. A question such as qemu-system-aarch64 --version goes to the real one. Exit status 1 if no
    QEMU is called.
    """
    from vsmmu.emulate.capture import capture
    from vsmmu.errors import UsageError

    words = given_words(click.get_current_context())
    if not words:
        raise UsageError("no-program", "which program?", next="write it after --: vsmmu capture -- sh vm.sh")
    captured = capture(words, timeout)
    if captured.status is None:
        console.remark(f"note: stopped after {timeout:g} s (--timeout)", "note")
    elif captured.status:
        console.remark(f"note: the program ended with status {captured.status}", "note")
    _print(captured, output)
    return 0


def _print(captured: Captured, output: str) -> None:
    from vsmmu.errors import Negative
    from vsmmu.machine.command_line.sources import shell_quote

    if output == "json":
        from vsmmu.emulate.capture import CaptureDocument

        console.answer(CaptureDocument(captured.commands))
    elif output == "nul":
        if len(captured.commands) > 1:
            raise Negative(
                "many-commands",
                f"the program starts QEMU {len(captured.commands)} times",
                next="leave -o nul out: then each is a line of its own",
            )
        console.raw("".join(f"{word}\0" for word in captured.commands[0]).encode("utf-8", "surrogateescape"))
    else:
        lines = [" ".join(map(shell_quote, words)) + "\n" for words in captured.commands]
        console.raw("".join(lines).encode("utf-8", "surrogateescape"))
