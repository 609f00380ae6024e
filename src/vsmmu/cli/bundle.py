# SPDX-License-Identifier: Apache-2.0
"""``vsmmu bundle``: one file for a bug report, shown before it is written."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

import click

from vsmmu.cli import console
from vsmmu.cli.options import VmCommand, parameters
from vsmmu.cli.plain_form import Question

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from vsmmu.cli.inputs import Inputs

__all__ = ["command"]

_MAX_LOG: Final = 64 << 20
_EXAMPLES = """\b
Examples:
  vsmmu bundle vm.sh                                   look at it
  vsmmu bundle --log qemu.log --write report.json vm.sh
  virsh dumpxml --inactive VM | vsmmu bundle --log /var/log/libvirt/qemu/VM.log
"""


@click.command("bundle", cls=VmCommand, epilog=_EXAMPLES)
@parameters("bundle", Question)
def command(question: Question, logs: tuple[str, ...], write: Path | None, yes: bool) -> int:
    """Pack facts, VM, verdict, QEMU's and the kernel's words and versions into one document.

    Of the VM what decides a start is kept, by a list: types, ids, buses, addresses, switches. Names of hosts
    and VMs, paths, networks, serial numbers and passwords are taken out. It is printed; with --write it is
    printed and then, once you have said yes, written.
    """
    from vsmmu.bundle.model import make_bundle
    from vsmmu.cli.inputs import read_inputs
    from vsmmu.document import encode_document

    inputs = read_inputs(question, whole_host=True)
    lines = [line for path in logs for line in _log(path)]
    made = make_bundle(
        inputs.vm, inputs.host, inputs.qemu, inputs.options, lines, _versions(inputs, question)
    )
    data = encode_document(made)
    console.raw(data)
    if not made.same:
        console.remark(
            "note: without what was taken out, the verdict is another: say so in the report", "note"
        )
    if write is not None:
        _confirm(str(write), yes=yes)
        from vsmmu.host.files import save_bytes

        save_bytes(data, write, "bundle")
        console.remark(f"written to {write}", "note")
    return 0


def _log(path: str) -> Iterator[str]:
    from vsmmu.host.files import read_bounded

    yield from read_bounded(path, _MAX_LOG, "log").decode("utf-8", "replace").splitlines()


def _versions(inputs: Inputs, question: Question) -> dict[str, str]:
    from vsmmu import __version__
    from vsmmu.versions import LATEST_LIBVIRT, spell_version

    assumed = "" if question.qemu is not None else " (assumed)"
    given = inputs.options.libvirt
    libvirt = spell_version(given) if given else f"{spell_version(LATEST_LIBVIRT)} (assumed)"
    return {
        "vsmmu": __version__,
        "python": ".".join(map(str, sys.version_info[:3])),
        "qemu": f"{inputs.qemu}{assumed}",
        **({} if inputs.vm.domain is None else {"libvirt": libvirt}),
        "kernel": inputs.host.kernel.release or "unknown",
    }


def _confirm(path: str, *, yes: bool) -> None:
    """Ask whether what was shown may be written.

    :raise Negative: ``not-confirmed``.
    """
    if yes:
        return
    if sys.stdin.isatty() and click.confirm(f"write it to {path}?", err=True):
        return
    from vsmmu.errors import Negative

    raise Negative(
        "not-confirmed", "nothing is written", where=path, next="look at what is printed; then --yes"
    )
