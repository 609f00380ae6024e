# SPDX-License-Identifier: Apache-2.0
"""``vsmmu fix``: the VM with its faults mended, where the mend is certain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from vsmmu.cli import console
from vsmmu.cli.options import VmCommand, parameters
from vsmmu.cli.plain_form import Question
from vsmmu.visible import visible

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vsmmu.mend.mending import Mending

__all__ = ["command"]

#: Where distributions have a UEFI firmware for Arm: Debian, Fedora and RHEL, SUSE.
_FIRMWARE: Final = (
    "/usr/share/AAVMF/AAVMF_CODE.no-secboot.fd",
    "/usr/share/AAVMF/AAVMF_CODE.fd",
    "/usr/share/qemu-efi-aarch64/QEMU_EFI.fd",
    "/usr/share/edk2/aarch64/QEMU_EFI.fd",
    "/usr/share/qemu/aavmf-aarch64-code.bin",
)
_EXAMPLES = """\b
Examples:
  vsmmu fix --host builtin:gb200 --diff vm.sh
  vsmmu fix --accelerate --unpin vm.sh               a vSMMU for every function, values of this host
  vsmmu fix --in-place --backup vm.xml
  vsmmu fix --accelerate VM | virsh define /dev/stdin
"""


@click.command("fix", cls=VmCommand, epilog=_EXAMPLES)
@parameters("fix", Question)
def command(
    question: Question,
    accelerate: bool,
    only: tuple[str, ...],
    diff: bool,
    in_place: bool,
    backup: bool,
    output: str,
) -> int:
    """Mend what would keep the VM from starting, as far as each mend is certain.

    The VM is printed with the changes in it and everything else as it was. Where there are two ways to mend
    a fault none is taken, and both are named. What is mended is judged again: nothing is printed that QEMU
    or libvirt would refuse, and what is left is listed. Exit status 0 only if the result starts.
    """
    from vsmmu.cli.in_place import file_of, write_back
    from vsmmu.cli.inputs import read_inputs
    from vsmmu.mend.mending import Wishes, mend

    _refuse_unknown(only)
    file = file_of(question, in_place=in_place, backup=backup)
    inputs = read_inputs(question)
    wishes = Wishes(frozenset(only), frozenset(inputs.options.unpin), accelerate, _firmware(question.host))
    mending = mend(inputs.vm, inputs.host, inputs.qemu, inputs.options, wishes)
    startable = mending.verdict.would_start(assume_safe=question.assume_safe)
    if file and mending.verdict.answer != "refused":
        write_back(file, inputs.vm, mending.vm, backup=backup)
    if output == "json":
        from vsmmu.cli.documents import mending_document

        console.answer(mending_document(mending, inputs.host.name, startable=startable))
        return 0 if startable else 1
    for note in mending.notes:
        console.remark(f"note: {note}", "note")
    if diff:
        console.difference("".join(_hunks(mending)))
    else:
        _print(mending, written=bool(file))
    return 0 if startable else 1


def _firmware(host: str) -> str:
    """A UEFI firmware of this machine; empty if there is none, or the VM is for another host."""
    from pathlib import Path

    return next((file for file in _FIRMWARE if host == "live" and Path(file).is_file()), "")


def _refuse_unknown(codes: tuple[str, ...]) -> None:
    """Refuse a code that nothing mends: one that is misspelt would leave all as it is without a word."""
    from vsmmu.mend.table import MENDS

    for code in codes:
        if code not in MENDS:
            from vsmmu.errors import UsageError
            from vsmmu.suggestion import did_you_mean

            raise UsageError(
                "no-such-mend",
                f"no mend is known for a code {code!r:.60}",
                next=f"{did_you_mean(code, MENDS)}without --only all is mended for which one is known",
            )


def _print(mending: Mending, *, written: bool) -> None:
    """The VM on standard output; what was mended and what is left beside it."""
    from vsmmu.mend.describe import spell_step

    for step in mending.applied:
        console.remark(f"mended: {spell_step(step)}", "good")
    for found in mending.left:
        console.remark(f"left: {found}", found.severity)
    if mending.verdict.answer == "refused":
        console.remark("nothing is written: what is left would keep the VM from starting", "error")
    elif not written:
        data = mending.vm.render()
        closed = mending.vm.domain is not None or data.endswith((b"\n", b"\0"))
        console.raw(data if closed else data + b"\n")


def _hunks(mending: Mending) -> Iterator[str]:
    """Each change as a diff of its own, with code and reason in front; patch(1) takes them one by one."""
    from vsmmu.cli.diff import difference
    from vsmmu.mend.describe import spell_step

    for step in mending.applied:
        yield f"# mended: {visible(spell_step(step))}\n"
        yield difference(step.before, step.after, "mended")
    for found in mending.left:
        yield from (f"# left: {visible(line)}\n" for line in str(found).split("\n"))
