# SPDX-License-Identifier: Apache-2.0
"""Standard streams with O_NONBLOCK: whoever shares them wants it so, and we wait all the same.

The flag belongs to the open file and not to the process: a shell's job, ssh or an event loop with the same
pipe may have set it. Python would then take half an input for all of it, and fail in the midst of an answer.
To take the flag away would stop the other one.
"""

from __future__ import annotations

import io
import os
import select
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing import TextIO

__all__ = ["Patient", "patient"]


class Patient(io.RawIOBase):
    """A file by its descriptor, which stays open; waits where the kernel says to try again."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def fileno(self) -> int:
        """The descriptor."""
        return self._descriptor

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return os.isatty(self._descriptor)

    def readable(self) -> bool:
        """As standard input is."""
        return self._descriptor == 0

    def writable(self) -> bool:
        """As the others are."""
        return self._descriptor != 0

    def readinto(self, buffer: Any) -> int:
        """Some bytes, as soon as there are any; 0 at the end."""
        while True:
            try:
                return os.readv(self._descriptor, [buffer])
            except BlockingIOError:
                select.select([self._descriptor], [], [])

    def write(self, data: Any) -> int:
        """Some of the bytes, as soon as there is room."""
        while True:
            try:
                return os.write(self._descriptor, data)
            except BlockingIOError:
                select.select([], [self._descriptor], [])


def patient(stream: TextIO, number: int) -> TextIO:
    """The same standard stream, patient."""
    raw = Patient(number)
    if number == 0:
        return io.TextIOWrapper(io.BufferedReader(raw), stream.encoding, stream.errors)
    return io.TextIOWrapper(io.BufferedWriter(raw), stream.encoding, stream.errors, write_through=number == 2)
