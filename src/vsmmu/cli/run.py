# SPDX-License-Identifier: Apache-2.0
"""``vsmmu run``: resolve, check, and execute QEMU in place of vsmmu."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vsmmu.cli import console

if TYPE_CHECKING:
    from vsmmu.cli.inputs import Inputs
    from vsmmu.cli.plain_form import Question
    from vsmmu.machine.command_line.argv import CommandLine

__all__ = ["EXAMPLES", "command"]

EXAMPLES: Final = """\b
Examples:
  vsmmu run -- qemu-system-aarch64 -M virt -accel kvm ... -device arm-smmuv3,...,accel=on ...
  vsmmu run --dry-run vm.sh                     what would be started
  vsmmu run --fd -- setpriv --reuid=qemu ... qemu-system-aarch64 ...
"""


def command(question: Question, dry_run: bool, fd: bool) -> int:
    """Start the VM with values that fit the host, if it would start.

    QEMU replaces vsmmu, so the exit status, signals and terminal are QEMU's. Its version and machine types
    are asked of the binary itself, once. What cannot be resolved, or would be refused, is not started.
    """
    from vsmmu.policy.resolver import resolve_machine

    inputs = _inputs(question)
    resolution = resolve_machine(inputs.machine, inputs.host, inputs.qemu, inputs.options)
    resolution.require()
    for note in resolution.notes:
        console.remark(f"note: {note}", "note")
    line = _command_line(inputs).edit(resolution.edits)
    if dry_run:
        _say(line, fd=fd)
        return 0
    return _start(line, fd=fd)


def _inputs(question: Question) -> Inputs:
    """The inputs, with the QEMU that the command names, unless --qemu says which.

    The file that is asked is written into the command: nothing later may find another one.
    """
    from vsmmu.cli.inputs import read_inputs
    from vsmmu.errors import UsageError

    inputs = read_inputs(question)
    line = _command_line(inputs)
    if not inputs.machine.program:
        raise UsageError(
            "no-program",
            "the command does not begin with an emulator",
            next="write qemu-system-aarch64 first",
        )
    if question.qemu is not None:
        return inputs
    from vsmmu.monitor.binary_cache import find, installed, with_own_table
    from vsmmu.qemu.installed import fit_machine

    path = find(inputs.machine.program, line.prefix)
    known = installed(path)
    return inputs._replace(
        vm=line.with_program(path),
        qemu=with_own_table(known, path),
        machine=fit_machine(inputs.machine, known),
    )


def _command_line(inputs: Inputs) -> CommandLine:
    """The VM, which must be a command line."""
    if inputs.vm.command_line is not None:
        return inputs.vm.command_line
    from vsmmu.errors import UsageError

    raise UsageError(
        "not-a-command",
        "a libvirt domain is started by libvirt",
        next="vsmmu resolve FILE, virsh define, start",
    )


def _say(line: CommandLine, *, fd: bool) -> None:
    from vsmmu.machine.command_line.sources import shell_quote

    if fd:
        from vsmmu.monitor.launch import openings

        for opening in openings(line.machine()):
            console.remark(f"would {opening.describe()}")
    console.raw(" ".join(shell_quote(word) for word in line.render_words()) + "\n")


def _start(line: CommandLine, *, fd: bool) -> int:
    from vsmmu.monitor.launch import execute, openings, with_descriptors

    if fd:
        line, _ = with_descriptors(line, openings(line.machine()))
    console.finish()
    console.settle()
    execute(line.render_words())
