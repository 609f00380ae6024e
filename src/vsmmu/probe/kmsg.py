# SPDX-License-Identifier: Apache-2.0
"""The SMMU driver's lines from the kernel's ring buffer, as far as this process may read it."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING, Final

from vsmmu.host.driver_line import DRIVERS
from vsmmu.probe.kernel_log import is_driver_line

if TYPE_CHECKING:
    from vsmmu.probe.system_root import Tree

__all__ = ["read_driver_lines"]

#: A record of /dev/kmsg is at most 8 KiB (PRINTK_MESSAGE_MAX); the ring rarely has more than 2 MiB.
_RECORD: Final = 8192
_LIMIT: Final = 16 << 20
_LINE: Final = 512
_MAX_LINES: Final = 4096
#: Some of these is in every line that is kept (:func:`is_driver_line`).
_MARKS: Final = (*(name.encode() for name in DRIVERS), b"SMMU CMDQ")
_KERNEL_FACILITY: Final = 0


def read_driver_lines(tree: Tree) -> list[str] | None:
    """What arm-smmu-v3 logged in this boot and the ring still has; None if the log may not be read.

    Lines that a program wrote to /dev/kmsg are left out, whatever they say.
    """
    try:
        descriptor = os.open(tree.path("/dev/kmsg"), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        is_ring = stat.S_ISCHR(os.fstat(descriptor).st_mode)
        data = _records(descriptor) if is_ring else os.read(descriptor, _LIMIT)
    except OSError:
        return None
    finally:
        os.close(descriptor)
    lines = [text for record in data.split(b"\n") if (text := _message(record)) is not None]
    return lines[:_MAX_LINES]


def _records(descriptor: int) -> bytes:
    """Every record that mentions the driver; one read gives one record."""
    kept: list[bytes] = []
    size = 0
    while size < _LIMIT:
        try:
            record = os.read(descriptor, _RECORD)
        except BlockingIOError:
            break
        except OSError as error:
            if error.errno == errno.EPIPE:  # overwritten while we read: go on with the oldest that is left
                continue
            raise
        if not record:
            break
        size += len(record)
        if any(mark in record for mark in _MARKS):
            kept.append(record)
    return b"\n".join(kept)


def _message(record: bytes) -> str | None:
    """The text of ``6,339,5140900,-;arm-smmu-v3 ...`` if the driver said it."""
    prefix, found, text = record.partition(b";")
    priority = prefix.split(b",", 1)[0]
    if not found or not priority.isdigit() or len(priority) > 6:
        return None
    if int(priority) >> 3 != _KERNEL_FACILITY:
        return None
    line = text[:_LINE].decode("ascii", "replace")
    return line if line.isprintable() and is_driver_line(line) else None
