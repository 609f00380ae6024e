# SPDX-License-Identifier: Apache-2.0
"""Tell the forms of a VM apart: domain XML, or a QEMU command line as words, NUL-separated or in a text.

Each form is recognised by what only it has; what is none of them is refused with what it looks like.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from vsmmu.errors import InputRefused
from vsmmu.machine.command_line.argv import read_source, read_words
from vsmmu.machine.command_line.sources import is_emulator

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vsmmu.machine.command_line.argv import CommandLine
    from vsmmu.machine.command_line.assemble import Reader
    from vsmmu.machine.vm import Vm

__all__ = ["MAX_VM_BYTES", "read_vm"]

#: Each form refuses more than it takes by itself; this is the larger limit, that of domain XML.
MAX_VM_BYTES: Final = 4 << 20
#: XML starts with ``<``, after blanks, a byte order mark and, in UTF-16, NULs; no command line does.
_HEAD: Final = 4096
_BLANKS: Final = b" \t\r\n\0\xef\xbb\xbf\xff\xfe"
#: Options that every QEMU command has one of, if its program is called anything.
_TELLING: Final = frozenset({"machine", "M", "device"})


def read_vm(source: bytes | str | Sequence[str], where: str = "", reader: Reader | None = None) -> Vm:
    """A VM from its text, or from the words of a QEMU command.

    :param where: what the text is called in errors, such as its file.
    :param reader: gives the bytes of ``-readconfig`` files.
    :raise InputRefused: malformed, too large, or no form of a VM (``not-a-vm``).
    """
    if not isinstance(source, (bytes, str)):
        line = read_words(source, reader)
        if not _is_qemu(line):
            raise _not_qemu(line.words)
        return line
    data = source.encode("utf-8", "surrogateescape") if isinstance(source, str) else source
    head = data[:_HEAD].lstrip(_BLANKS)
    if head.startswith(b"<"):
        return _domain(data, where or "domain")
    where = where or "command line"
    # Only what a QEMU command cannot begin with is told by its looks before it is read.
    if head.startswith((b"{", b"[{", b"apiVersion:", b"---")) or b"\0\0" in data[:64]:
        raise _not_a_vm(data, where)
    try:
        line = read_source(data, where, reader)
    except InputRefused as error:
        unread = error.code in ("shell-syntax", "shell-expansion", "not-utf8") and not _mentions(data)
        if error.code == "not-a-vm" or unread:
            raise _not_a_vm(data, where) from None
        raise
    if not _is_qemu(line):
        raise _not_a_vm(data, where)
    return line


def _domain(data: bytes, where: str) -> Vm:
    from vsmmu.machine.domain.document import read_domain_xml

    try:
        return read_domain_xml(data, where)
    except InputRefused:
        if len(re.findall(rb"</domain>\s*(?=<(?:\?xml[^>]*>\s*<)?domain\b)", data)):
            raise InputRefused(
                "many-domains",
                "there is more than one domain in it",
                where=where,
                why="virt-install --print-xml prints one for the installation and one for afterwards",
                next="give one of them: virt-install --print-xml 2 prints the last alone",
            ) from None
        raise


def _is_qemu(line: CommandLine) -> bool:
    """Whether a command is QEMU by its name, or by its options."""
    return (
        is_emulator(line.program)
        or any(option.name in _TELLING for option in line.options())
        or (not line.program and any(word.startswith("-") for word in line.words))
    )


def _mentions(data: bytes) -> bool:
    return b"qemu" in data or re.search(rb"(?:^|\s)-(?:device|machine|M)\s", data) is not None


def _not_qemu(words: Sequence[str]) -> InputRefused:
    """The refusal of a program that is not QEMU."""
    name = words[0].rpartition("/")[2]
    said = " ".join(words[:3])
    nexts = {
        "sh": f"give the script as a file ({words[-1]:.60}), or run it: vsmmu capture -- {said:.60}",
        "virt-install": "virt-install ... --print-xml 2 | vsmmu check -",
        "virsh": "virsh dumpxml --inactive NAME | vsmmu check -, or name the domain: vsmmu check NAME",
        "qm": "qm showcmd VMID | vsmmu check -",
    }
    nexts["bash"] = nexts["dash"] = nexts["ksh"] = nexts["zsh"] = nexts["sh"]
    return InputRefused(
        "not-a-vm",
        f"{words[0]!r:.80} is not QEMU, nor has it QEMU's options",
        where="after --",
        next=nexts.get(
            name, f"write the QEMU command there, or see what it starts: vsmmu capture -- {said:.60}"
        ),
    )


def _not_a_vm(data: bytes, where: str) -> InputRefused:
    from vsmmu.machine.looks import not_a_vm  # only for what is refused

    return not_a_vm(data, where)
