# SPDX-License-Identifier: Apache-2.0
"""``--in-place``: an edited VM written over the file that it was read from, with a backup on request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vsmmu.errors import UsageError

if TYPE_CHECKING:
    from vsmmu.cli.plain_form import Question
    from vsmmu.machine.vm import Vm

__all__ = ["changed", "file_of", "write_back"]


def file_of(question: Question, *, in_place: bool, backup: bool) -> str:
    """The file that is to be written; empty if the VM is to be printed.

    :raise UsageError: ``no-file``, if the VM comes from elsewhere: words, standard input, a process, libvirt;
        ``usage``: a backup of no file.
    """
    from pathlib import Path

    if not in_place:
        if backup:
            raise UsageError("usage", "--backup is of the file that --in-place writes", next="add --in-place")
        return ""
    if question.words is None and question.file not in (None, "-") and Path(question.file or "").is_file():
        return question.file or ""
    raise UsageError(
        "no-file",
        "--in-place needs a file, and the VM comes from elsewhere",
        next="name the file, or leave --in-place out: the result is printed",
    )


def changed(before: Vm, after: Vm | None) -> bool:
    """Whether the VM as it would be written differs from the one that was read."""
    return after is not None and before.render() != after.render()


def write_back(path: str, before: Vm, after: Vm, *, backup: bool) -> bool:
    """Write ``after`` into the file that ``before`` was read from, unless they are the same.

    A reader, and a power failure, finds the old file or the new one, whole, with the same mode and owner; a
    symbolic link stays one. The backup, ``PATH~``, is there before the file changes; an older one is gone.

    :return: whether the file was written.
    :raise OSError: as the kernel says.
    """
    from vsmmu.host.whole_file import write_whole

    if not changed(before, after):
        return False
    if backup:
        write_whole(f"{path}~", before.render(), like=path)
    write_whole(path, after.render())
    return True
