# SPDX-License-Identifier: Apache-2.0
"""Archives in the ``newc`` form of cpio, which the kernel reads as initramfs and searches for ACPI tables."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

__all__ = ["archive"]

_MAGIC = b"070701"
_TRAILER = "TRAILER!!!"
_REGULAR = 0o100644
_EXECUTABLE = 0o100755
_DIRECTORY = 0o040755


def _padding(size: int) -> bytes:
    return b"\0" * (-size % 4)


def _entry(inode: int, name: str, mode: int, data: bytes) -> bytes:
    """One member: magic, thirteen fields of eight hexadecimal digits, name, data, the last two padded."""
    encoded = name.encode() + b"\0"
    links = 2 if mode == _DIRECTORY else 1
    # ino mode uid gid nlink mtime filesize devmajor devminor rdevmajor rdevminor namesize check
    fields = (inode, mode, 0, 0, links, 0, len(data), 0, 0, 0, 0, len(encoded), 0)
    head = _MAGIC + b"".join(b"%08x" % field for field in fields) + encoded
    return head + _padding(len(head)) + data + _padding(len(data))


def archive(files: Mapping[str, bytes], executable: Collection[str] = ()) -> bytes:
    """An archive of *files* by their relative path, with the directories that lead to them.

    The same files give the same bytes: owner, time and device numbers are zero, the order is by path.

    :param executable: those of the files that can be run.
    """
    parents = {parent for name in files for parent in PurePosixPath(name).parents if parent.parts}
    members: list[tuple[str, int, bytes]] = [(str(path), _DIRECTORY, b"") for path in parents]
    for name, data in files.items():
        members.append((name, _EXECUTABLE if name in executable else _REGULAR, data))
    body = b"".join(_entry(number, *member) for number, member in enumerate(sorted(members), start=1))
    return body + _entry(0, _TRAILER, 0, b"")
