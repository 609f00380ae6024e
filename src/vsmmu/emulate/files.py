# SPDX-License-Identifier: Apache-2.0
"""Emulated open files: which descriptors of the program are ours, and when the last one is closed.

An emulated device file is an ordinary one of the kernel's under the name that the program opens
(:mod:`vsmmu.emulate.stand_ins`). So opening, duplicating, passing and inheriting descriptors needs no
emulation, and costs nothing. What tells such open files apart is an open file description lock (fcntl(2),
F_OFD_SETLK) on a byte that no other has: it goes wherever the descriptor goes, /proc/PID/fdinfo shows it, and
the kernel removes it with the last descriptor.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import secrets
import struct
import time
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

from vsmmu.emulate.errno_error import KernelError
from vsmmu.emulate.libc import IN_CLOSE, inotify_add_watch, inotify_init1, syscall
from vsmmu.emulate.stand_ins import has_notices, is_stand_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["OpenFile", "OpenFiles"]

# fcntl(2); struct flock of 64-bit machines.
_F_OFD_GETLK, _F_OFD_SETLK = 36, 37
_FLOCK: Final = struct.Struct("=hh4xqqi4x")
_LOCK: Final = re.compile(rb"\nlock:\s+\d+: OFDLCK\s+ADVISORY\s+(?:READ|WRITE)\s+\S+ \S+ (\d+) ")
_NODE: Final = re.compile(r"(?:^|/)dev/(iommu|vfio/devices/(?:noiommu-)?vfio\d+)$")
_SYS_PIDFD_GETFD: Final = 438
#: Bytes: struct inotify_event of a file, which has no name.
_NOTICE: Final = 16
#: Seconds. The kernel tells of a closing shortly before it removes the lock, and once of two in a row; its
#: queue may overflow; and what it told of may have been none of ours.
_CLOSING: Final = 0.05
_UNTOLD: Final = 1.0
#: A text of fdinfo is read so far, and so many of the files stay open.
_MOST_SHOWN, _KEPT_OPEN = 4096, 64


class OpenFile(NamedTuple):
    """One open file description of an emulated node.

    :param token: the byte that it holds the lock on.
    :param node: ``iommu``, or the name of a vfio device such as ``vfio0``.
    :param inode: device and number of the file that is locked.
    """

    token: int
    node: str
    inode: tuple[int, int]


class OpenFiles:
    """All open files of the program that are ours."""

    def __init__(self) -> None:
        self._files: dict[int, OpenFile] = {}
        # Where the files are the host's own, other programs may lock bytes of them, though hardly these.
        self._next = secrets.randbits(61)
        self._probes: dict[tuple[int, int], int] = {}
        self._shown = _Shown()
        #: Readable after somebody closed a file that is watched; None without.
        self.notices = _notices()
        self._deaf = self.notices is None
        self._looked = self._told = 0.0
        #: Closings that were told and not found yet.
        self._due = 0

    def close(self) -> None:
        """Let go of the stand-ins."""
        for descriptor in self._probes.values():
            os.close(descriptor)
        self._probes.clear()
        self._shown.close()
        if self.notices is not None:
            os.close(self.notices)

    def take_notices(self) -> None:
        """To be called when :attr:`notices` can be read: files are looked through for closed ones."""
        if self.notices is not None:
            self._due += len(os.read(self.notices, 4096)) // _NOTICE
            self._told = time.monotonic()

    def find(self, pid: int, descriptor: int) -> OpenFile | None:
        """What ``descriptor`` is in process ``pid``; None if it is none of ours.

        :raise KernelError: EBADF if it is not open.
        """
        token = self._token(pid, descriptor)
        known = self._files.get(token) if token is not None else None
        return known if known is not None else self._adopt(pid, descriptor)

    def closed(self) -> Iterable[OpenFile]:
        """The files whose last descriptor has been closed since the last time; they are forgotten.

        They are asked one by one, but only where the kernel has told that any was closed.
        """
        now = time.monotonic()
        return self._look_through(now) if self._may_be_closed(now) else ()

    def _look_through(self, now: float) -> Iterator[OpenFile]:
        self._looked = now
        for token, file in list(self._files.items()):
            if not self._is_held(file):
                del self._files[token]
                self._due = max(self._due - 1, 0)
                yield file

    def _may_be_closed(self, now: float) -> bool:
        window = _UNTOLD if self._due else _CLOSING
        return self._deaf or now < self._told + window or now > self._looked + _UNTOLD

    def _token(self, pid: int, descriptor: int) -> int | None:
        try:
            return _token_in(self._shown.text(pid, descriptor))
        except OSError:
            raise KernelError(errno.EBADF) from None

    def _adopt(self, pid: int, descriptor: int) -> OpenFile | None:
        """A file that was opened through one of our nodes gets its lock now."""
        try:
            path = os.readlink(f"/proc/{pid}/fd/{descriptor}")  # noqa: PTH115 - a magic link
        except OSError:
            raise KernelError(errno.EBADF) from None
        match = _NODE.search(path)
        if match is None:
            return None
        node = match[1].rpartition("/")[2]
        ours = duplicate(pid, descriptor)
        try:
            found = os.fstat(ours)
            if not is_stand_in(found, node, pid):
                return None
            file = OpenFile(self._next, node, (found.st_dev, found.st_ino))
            if file.inode not in self._probes:
                self._probe(file.inode, ours)
            _lock(ours, file.token)
        except OSError as error:
            raise KernelError(error.errno or errno.EIO) from None
        finally:
            os.close(ours)
        self._next += 1
        self._files[file.token] = file
        return file

    def _probe(self, inode: tuple[int, int], descriptor: int) -> None:
        """Open an inode that is new, to ask for its locks, and have its closings told."""
        path = f"/proc/self/fd/{descriptor}"
        self._probes[inode] = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        if self.notices is None:
            return
        with contextlib.suppress(OSError):  # a user may have so many of them
            if has_notices(os.fstat(descriptor)):
                inotify_add_watch(self.notices, path, IN_CLOSE)
                return
        self._deaf = True

    def _is_held(self, file: OpenFile) -> bool:
        wanted = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, file.token, 1, 0)
        kind, _, start, length, _ = _FLOCK.unpack(fcntl.fcntl(self._probes[file.inode], _F_OFD_GETLK, wanted))
        if kind == fcntl.F_UNLCK or (start, length) == (file.token, 1):
            return bool(kind != fcntl.F_UNLCK)
        return _is_listed(file)  # a stranger's lock of more bytes hides it, or is alone


class _Shown:
    """What the kernel shows of descriptors in /proc/PID/fdinfo.

    The files stay open, because opening one takes longer than all else that finds what a descriptor is. Each
    reading shows what has the number at that moment. A file goes on to mean its thread: once that is gone,
    and its number somebody else's, reading fails.
    """

    def __init__(self) -> None:
        self._files: dict[tuple[int, int], int] = {}

    def close(self) -> None:
        """Let go of them."""
        while self._files:
            os.close(self._files.popitem()[1])

    def text(self, pid: int, descriptor: int) -> bytes:
        """What is shown now.

        :raise OSError: the descriptor is not open, or there is no such process.
        """
        file = self._files.get((pid, descriptor))
        if file is not None:
            try:
                return os.pread(file, _MOST_SHOWN, 0)
            except OSError:
                os.close(self._files.pop((pid, descriptor)))
        if len(self._files) >= _KEPT_OPEN:
            self.close()
        file = os.open(f"/proc/{pid}/fdinfo/{descriptor}", os.O_RDONLY | os.O_CLOEXEC)
        self._files[pid, descriptor] = file
        return os.pread(file, _MOST_SHOWN, 0)


@lru_cache(maxsize=_KEPT_OPEN)
def _token_in(shown: bytes) -> int | None:
    """The byte that a text of fdinfo names as locked; the same text is met at each call."""
    match = _LOCK.search(shown)
    return int(match[1]) if match else None


def _is_listed(file: OpenFile) -> bool:
    """Whether /proc/locks has the lock of a file of ours."""
    with open("/proc/locks", "rb") as locks:  # noqa: PTH123
        return any(line.split()[-2:] == [b"%d" % file.token] * 2 for line in locks)


def _notices() -> int | None:
    """An inotify descriptor; None without."""
    try:
        return inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:  # a user may have so many of them
        return None


def duplicate(pid: int, descriptor: int) -> int:
    """A descriptor of ours for the open file of another process (pidfd_getfd(2)).

    :raise KernelError: EBADF if it cannot be had.
    """
    try:
        process = os.pidfd_open(_leader(pid))
    except OSError:
        raise KernelError(errno.EBADF) from None
    try:
        return syscall(_SYS_PIDFD_GETFD, process, descriptor, 0)
    except OSError:
        raise KernelError(errno.EBADF) from None
    finally:
        os.close(process)


def _leader(thread: int) -> int:
    """The process of a thread: a pidfd is of a process, notifications name threads."""
    try:
        with open(f"/proc/{thread}/status", "rb") as status:  # noqa: PTH123 - on the path of a call
            match = re.search(rb"^Tgid:\s+(\d+)", status.read(), re.MULTILINE)
    except OSError:
        raise KernelError(errno.EBADF) from None
    return int(match[1]) if match else thread


def _lock(descriptor: int, token: int) -> None:
    for kind in (fcntl.F_RDLCK, fcntl.F_WRLCK):
        try:
            fcntl.fcntl(descriptor, _F_OFD_SETLK, _FLOCK.pack(kind, os.SEEK_SET, token, 1, 0))
        except OSError as error:
            # A shared lock needs a file that is open for reading, an exclusive one for writing.
            if error.errno != errno.EBADF:
                raise
        else:
            return
    raise KernelError(errno.EBADF)
