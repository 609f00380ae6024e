# SPDX-License-Identifier: Apache-2.0
"""Tell the forms of a VM apart: domain XML, or a QEMU command line as words, shell text or NUL-separated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vsmmu.machine.command_line.argv import read_source, read_words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vsmmu.machine.command_line.assemble import Reader
    from vsmmu.machine.vm import Vm

__all__ = ["MAX_VM_BYTES", "read_vm"]

#: Each form refuses more than it takes by itself; this is the larger limit, that of domain XML.
MAX_VM_BYTES: Final = 4 << 20
#: XML starts with ``<``, after blanks, a byte order mark and, in UTF-16, NULs; no command line does.
_HEAD: Final = 4096
_BLANKS: Final = b" \t\r\n\0\xef\xbb\xbf\xff\xfe"


def read_vm(source: bytes | str | Sequence[str], where: str = "", reader: Reader | None = None) -> Vm:
    """A VM from its text, or from the words of a QEMU command.

    :param where: what the text is called in errors, such as its file.
    :param reader: gives the bytes of ``-readconfig`` files.
    :raise InputRefused: malformed, too large, or neither form.
    """
    if not isinstance(source, (bytes, str)):
        return read_words(source, reader)
    data = source.encode("utf-8", "surrogateescape") if isinstance(source, str) else source
    if data[:_HEAD].lstrip(_BLANKS).startswith(b"<"):
        from vsmmu.machine.domain.document import read_domain_xml

        return read_domain_xml(data, where or "domain")
    return read_source(data, where or "command line", reader)
