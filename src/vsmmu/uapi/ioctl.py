# SPDX-License-Identifier: Apache-2.0
"""ioctl numbers from their parts, and the one place that calls ioctl(2)."""

from __future__ import annotations

import fcntl
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import ctypes

__all__ = ["IOMMUFD_TYPE", "VFIO_BASE", "VFIO_TYPE", "ioctl", "request"]

# include/uapi/asm-generic/ioctl.h: the number in bits 7:0, the type in 15:8. Size and direction follow above
# and are 0 for _IO(), which is all that iommufd and vfio use; so the numbers are equal on all architectures
# that encode "no direction" as 0, arm64 and x86 among them.
_TYPE_SHIFT: Final = 8

#: ``IOMMUFD_TYPE`` in include/uapi/linux/iommufd.h.
IOMMUFD_TYPE: Final = ord(";")
#: ``VFIO_TYPE`` in include/uapi/linux/vfio.h; it shares the letter with iommufd, the numbers do not overlap.
VFIO_TYPE: Final = ord(";")
#: ``VFIO_BASE``: vfio's numbers start here.
VFIO_BASE: Final = 100


def request(kind: int, number: int) -> int:
    """The number of an ioctl without encoded size and direction: the kernel's ``_IO()``."""
    return kind << _TYPE_SHIFT | number


def ioctl(descriptor: int, number: int, argument: ctypes.Structure) -> int:
    """Make the call on a structure that the kernel may change in place; again when a signal interrupts.

    :func:`fcntl.ioctl` does not retry by itself (unlike most of :mod:`os`), and all calls of this package
    may be repeated: the kernel gives EINTR before it has done anything.

    :raise OSError: with the kernel's errno.
    """
    while True:
        try:
            answer: int = fcntl.ioctl(descriptor, number, argument)
        except InterruptedError:
            continue
        return answer
