# SPDX-License-Identifier: Apache-2.0
"""The exception of a failed emulated call: an errno."""

from __future__ import annotations

import errno

__all__ = ["KernelError", "errno_name", "errno_number"]


class KernelError(Exception):
    """The emulated kernel answers with this errno."""

    def __init__(self, number: int) -> None:
        super().__init__(errno_name(number))
        self.number = number


def errno_name(number: int) -> str:
    """``EINVAL`` for 22; the number itself if Linux has no name for it.

    EOPNOTSUPP and ENOTSUP are one number, of which Python shows the name that the kernel never uses.
    """
    if number == errno.EOPNOTSUPP:
        return "EOPNOTSUPP"
    return errno.errorcode.get(number, str(number))


def errno_number(name: str) -> int | None:
    """22 for ``EINVAL`` (or ``22``); None if there is no such errno."""
    if name.isdecimal():
        return int(name) if 0 < int(name) < 4096 else None
    number = getattr(errno, name, None) if name.startswith("E") else None
    return number if isinstance(number, int) else None
