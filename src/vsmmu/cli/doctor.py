# SPDX-License-Identifier: Apache-2.0
"""``vsmmu doctor``: is this host ready for accelerated vSMMUs, and what to do if not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from vsmmu.cli import console
from vsmmu.cli.options import parameters

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vsmmu.doctor.model import Check, Status

__all__ = ["command"]

_EPILOG = """\b
Examples:
  vsmmu doctor            every check, one line each, with the remedy where one is needed
  vsmmu doctor -q         only what should be looked at; nothing if all is well
  vsmmu doctor -o json    the same for programs (vsmmu.doctor/1)
  vsmmu doctor --for vm.sh    the least Linux, QEMU and libvirt for what this VM uses, and what is here

\b
PASS   it is so                       FAIL   an accelerated vSMMU cannot work like this
WARN   it works, less well            SKIP   it could not be found out
Exit status 1 if a check fails; with --for, if anything is not known to fit.
Nothing is changed, and no function is touched.
"""
_MEANING: Final[dict[Status, console.Meaning]] = {
    "PASS": "good",
    "WARN": "warning",
    "FAIL": "error",
    "SKIP": "unknown",
}
_WORTH_A_LOOK: Final = ("WARN", "FAIL")


@click.command(name="doctor", epilog=_EPILOG)
@parameters("doctor")
@click.pass_context
def command(context: click.Context, quiet: bool, vm: str | None, output: str) -> None:
    """Is this host ready for accelerated vSMMUs, and what to do if not?"""
    if vm is not None:
        from vsmmu.cli.requirements import requirements_here

        context.exit(requirements_here(vm, quiet=quiet, output=output))
    from vsmmu.doctor.checks import examine
    from vsmmu.doctor.observe import observe

    checks = examine(observe())
    shown = tuple(check for check in checks if not quiet or check.status in _WORTH_A_LOOK)
    if output == "json":
        from vsmmu.doctor.model import diagnosis_of

        console.answer(diagnosis_of(shown))
    else:
        console.say(*(line for check in shown for line in _lines(check)))
    if any(check.status == "FAIL" for check in checks):
        context.exit(1)


def _lines(check: Check) -> Iterator[console.Line]:
    detail = f": {check.detail}" if check.detail else ""
    code = "".join(f" [{entry.code}]" for entry in check.diagnostics)
    yield console.Styled(check.status, _MEANING[check.status]), f"  {check.title}{detail}{code}"
    yield from (f"      next: {entry.next}" for entry in check.diagnostics)
