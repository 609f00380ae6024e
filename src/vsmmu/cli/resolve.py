# SPDX-License-Identifier: Apache-2.0
"""``vsmmu resolve``: the same configuration with values pinned."""

from __future__ import annotations

import click

from vsmmu.cli.options import Question, VmCommand, output_option, vm_options

__all__ = ["command"]

_EXAMPLES = """\b
Examples:
  vsmmu resolve -- qemu-system-aarch64 -M virt,accel=kvm ... -device arm-smmuv3,...,accel=on ...
  vsmmu resolve --host builtin:gb200 --diff vm.sh
  vsmmu resolve --smmu 0009:01:00.0 vm.sh            no endpoint yet: say for which SMMU
  vsmmu resolve -o nul vm.sh | xargs -0 env          run what comes out
"""


@click.command("resolve", cls=VmCommand, epilog=_EXAMPLES)
@vm_options
@click.option("--diff", is_flag=True, help="Show the change instead; exit status 1 if there is one.")
@output_option("nul")
def command(question: Question, diff: bool, output: str) -> int:
    """Pin what is auto, or not written where accel=on, to values that fit the host.

    The VM is a QEMU command line: in a FILE (shell text, or NUL-separated as in /proc/PID/cmdline), on
    standard input, or after --. It is printed with the values written into it and everything else as it
    was. What you wrote yourself stays, and is checked. Nothing is printed that QEMU would refuse.
    """
    from vsmmu.cli.inputs import read_inputs
    from vsmmu.resolve.resolver import resolve

    inputs = read_inputs(question)
    resolution = resolve(inputs.machine, inputs.host, inputs.qemu, policy=inputs.policy, wishes=inputs.wishes)
    for note in () if resolution.problems else resolution.notes:
        click.echo(f"vsmmu: note: {note}", err=True)
    if output == "json":
        from vsmmu.cli.documents import encode, resolution_document

        click.echo(encode(resolution_document(resolution, inputs.line)), nl=False)
        if resolution.problems:
            click.echo(f"vsmmu: {resolution.problems[0].as_error()}", err=True)
        return 1 if resolution.problems or (diff and resolution.edits) else 0
    resolution.require()
    edited = inputs.line.edit(resolution.edits)
    if diff:
        from vsmmu.cli.diff import difference

        click.echo(difference(inputs.line, edited), nl=False)
        return 1 if resolution.edits else 0
    text = edited.render_nul() if output == "nul" else edited.render()
    click.echo(text, nl=not text.endswith(("\n", "\0")))
    return 0
