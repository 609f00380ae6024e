# SPDX-License-Identifier: Apache-2.0
"""Another process' memory during one system call: the counterpart of copy_from_user()."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Final, Self

from vsmmu.emulate.errno_error import KernelError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

__all__ = ["Memory", "ProcessMemory"]


_READ_WRITE: Final = os.O_RDWR | os.O_CLOEXEC


class Memory:
    """What a call may do with its caller's memory; :class:`ProcessMemory` is the real one."""

    def read(self, address: int, length: int) -> bytes:
        """``length`` bytes.

        :raise KernelError: EFAULT if not all of them are there.
        """
        raise NotImplementedError

    def read_some(self, address: int, length: int) -> bytes:
        """At most ``length`` bytes, up to the first that is not there.

        :raise KernelError: EFAULT if none is.
        """
        raise NotImplementedError

    def write(self, address: int, data: bytes) -> None:
        """Write ``data``.

        :raise KernelError: EFAULT if it does not fit into mapped memory.
        """
        raise NotImplementedError


class ProcessMemory(Memory):
    """The memory of a waiting process, by /proc/PID/mem.

    :param waits: whether it still waits; asked when its memory is open, for until then another process could
        have got its number (seccomp_unotify(2)).

    Opened for one call at a time: a descriptor would go on to mean the old memory after an exec. Unlike the
    kernel's own copies it can write to pages that are mapped read-only.
    """

    def __init__(self, pid: int, waits: Callable[[], bool]) -> None:
        self._pid = pid
        self._waits = waits
        self._file = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of it."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _opened(self) -> int:
        """The file, opened now."""
        try:
            self._file = os.open(f"/proc/{self._pid}/mem", _READ_WRITE)
        except OSError:
            raise KernelError(errno.EFAULT) from None
        if not self._waits():
            raise KernelError(errno.EFAULT)
        return self._file

    def read(self, address: int, length: int) -> bytes:
        """See :meth:`Memory.read`."""
        data = self.read_some(address, length)
        if len(data) != length:
            raise KernelError(errno.EFAULT)
        return data

    def read_some(self, address: int, length: int) -> bytes:
        """See :meth:`Memory.read_some`."""
        try:
            return os.pread(self._file if self._file >= 0 else self._opened(), length, address)
        except (OSError, OverflowError):
            raise KernelError(errno.EFAULT) from None

    def write(self, address: int, data: bytes) -> None:
        """See :meth:`Memory.write`."""
        try:
            done = os.pwrite(self._file if self._file >= 0 else self._opened(), data, address)
        except (OSError, OverflowError):
            raise KernelError(errno.EFAULT) from None
        if done != len(data):
            raise KernelError(errno.EFAULT)
