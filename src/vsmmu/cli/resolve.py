# SPDX-License-Identifier: Apache-2.0
"""``vsmmu resolve``: the same configuration with values pinned."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vsmmu.cli import console

if TYPE_CHECKING:
    from vsmmu.cli.plain_form import Question
    from vsmmu.machine.vm import Vm

__all__ = ["EXAMPLES", "command"]

EXAMPLES: Final = """\b
Examples:
  vsmmu resolve -- qemu-system-aarch64 -M virt,accel=kvm ... -device arm-smmuv3,...,accel=on ...
  vsmmu resolve --host builtin:gb200 --diff vm.sh
  virsh dumpxml --inactive VM | vsmmu resolve | virsh define /dev/stdin
  vsmmu resolve --smmu 0009:01:00.0 vm.sh            no endpoint yet: say for which SMMU
  vsmmu resolve --in-place --backup --unpin vm.sh    a VM from another host; vm.sh~ is what it was
  vsmmu resolve -o nul vm.sh | xargs -0 env          run what comes out
"""


def command(question: Question, diff: bool, in_place: bool, backup: bool, output: str) -> int:
    """Pin what is auto, or not written where accel=on, to values that fit the host.

    VM is a file (a script, a systemd unit, libvirt's log of a domain, ps, NUL-separated words; or a
    domain's XML), - for standard input, a process id of QEMU, its QMP socket, or a libvirt domain. It is
    printed with the values written into it and everything else as it was. What you wrote yourself stays,
    and is checked. Nothing is printed, or written, that QEMU or libvirt would refuse.
    """
    from vsmmu.cli.inputs import read_inputs
    from vsmmu.policy.resolver import resolve

    path = _file(question, in_place=in_place, backup=backup)
    inputs = read_inputs(question)
    _refuse_forms(inputs.vm, output, in_place=in_place)
    resolution = resolve(inputs.vm, inputs.host, inputs.qemu, inputs.options)
    edited = resolution.vm
    for note in () if resolution.problems else resolution.notes:
        console.remark(f"note: {note}", "note")
    if path and edited is not None and not resolution.problems:
        from vsmmu.cli.in_place import write_back

        write_back(path, inputs.vm, edited, backup=backup)
    status = 1 if diff and not path and _differs(inputs.vm, edited) else 0
    if output == "json":
        from vsmmu.cli.documents import resolution_document

        console.answer(resolution_document(resolution, inputs.machine))
        if resolution.problems:
            console.remark(resolution.problems[0], "error")
        return 1 if resolution.problems else status
    resolution.require()
    assert edited is not None  # noqa: S101 - there is no problem
    if diff:
        from vsmmu.cli.diff import difference

        console.difference(difference(inputs.vm, edited))
    elif not path:
        _print(edited, nul=output == "nul")
    return status


def _file(question: Question, *, in_place: bool, backup: bool) -> str:
    """The file that is to be written; empty if the VM is to be printed."""
    if not (in_place or backup):
        return ""
    from vsmmu.cli.in_place import file_of

    return file_of(question, in_place=in_place, backup=backup)


def _differs(before: Vm, after: Vm | None) -> bool:
    from vsmmu.cli.in_place import changed

    return changed(before, after)


def _refuse_forms(vm: Vm, output: str, *, in_place: bool) -> None:
    """Refuse options that do not go together, or not with this kind of VM."""
    from vsmmu.errors import UsageError

    if output == "nul" and vm.domain is not None:
        raise UsageError(
            "output-form", "-o nul is for command lines, and the VM is a libvirt domain", next="leave -o out"
        )
    if output == "nul" and in_place:
        raise UsageError(
            "output-form", "--in-place writes the form that the file has", next="leave -o nul out"
        )


def _print(vm: Vm, *, nul: bool) -> None:
    if nul and vm.command_line is not None:
        console.raw(vm.command_line.render_nul())
        return
    data = vm.render()
    closed = vm.domain is not None or data.endswith((b"\n", b"\0"))
    console.raw(data if closed else data + b"\n")
