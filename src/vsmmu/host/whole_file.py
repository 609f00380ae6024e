# SPDX-License-Identifier: Apache-2.0
"""Write a file whole or not at all: the new one takes the old one's place, and is on disk then."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import tempfile
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["write_whole"]

#: As many symbolic links as the kernel follows.
_MOST_LINKS: Final = 40
#: Of a file's name in that of its successor, which must not grow too long for a file system.
_LONGEST_PREFIX: Final = 40
_ATTEMPTS: Final = 1000
#: The end of its name, which no file of anybody else has.
_NEW: Final = ".vsmmu-new"


def write_whole(path: str, data: bytes, *, like: str = "") -> None:
    """Write a file so that a reader finds the old one or the new one, whole, also after a loss of power.

    The new one is made beside it, under a name that begins with a dot, and renamed; it keeps the old one's
    permissions, and its owner where that is permitted. A symbolic link stays, and the file that it names is
    replaced, as with a shell's ``>``. What a killed writer has left beside it, the next one removes. What is
    no regular file (a device, a FIFO, ``/dev/stdout``) cannot be replaced: it is written to.

    :param like: the file whose permissions and owner it gets instead, as a backup does.
    :raise OSError: as the kernel says.
    """
    try:
        old = os.stat(path)  # noqa: PTH116 - no pathlib on the path of a VM's start, here and below
    except FileNotFoundError:
        old = None
    places = _places(path, exists=old is not None)
    open_file = _open_file(places)
    if old is not None and (not stat.S_ISREG(old.st_mode) or open_file is not None):
        _write_through(path, open_file, data)
    else:
        _replace(places[-1], data, os.stat(like) if like else old)  # noqa: PTH116


def _places(path: str, *, exists: bool) -> list[str]:
    """The file, and before it the symbolic links that lead to it, each in a directory without links.

    :func:`os.path.realpath` takes a link that cannot be read for the file, which would then replace the link.

    :param exists: whether there is such a file.
    :raise OSError: as the kernel says.
    """
    places: list[str] = []
    while len(places) < _MOST_LINKS:
        directory = os.path.realpath(os.path.dirname(path), strict=True)  # noqa: PTH120
        places.append(os.path.join(directory, os.path.basename(path)))  # noqa: PTH118, PTH119
        try:
            path = os.path.join(directory, os.readlink(places[-1]))  # noqa: PTH115, PTH118
        except OSError as error:
            # What an open descriptor leads to may have no name.
            if error.errno != errno.EINVAL and (
                (exists and _open_file(places) is None) or error.errno != errno.ENOENT
            ):
                raise
            return places
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)


def _open_file(places: Iterable[str]) -> tuple[str, int] | None:
    """The process and descriptor that a path such as ``/dev/stdout`` names, by links into /proc/PID/fd."""
    for place in places:
        directory, name = os.path.split(place)
        if directory.startswith("/proc/") and directory.endswith("/fd") and name.isdecimal():
            return directory.split("/")[2], int(name)
    return None


def _write_through(path: str, open_file: tuple[str, int] | None, data: bytes) -> None:
    """Own descriptors are used as they are: at their place in a file, and although a socket has no name."""
    process, number = open_file or ("", -1)
    if process == str(os.getpid()):
        descriptor = os.dup(number)
    else:
        descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOCTTY)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
    finally:
        os.close(descriptor)


def _give(descriptor: int, old: os.stat_result) -> None:
    """Keep the owner, where that is another: the unit that probes at boot may not give files away."""
    new = os.fstat(descriptor)
    if (new.st_uid, new.st_gid) != (old.st_uid, old.st_gid):
        with contextlib.suppress(PermissionError):
            os.fchown(descriptor, old.st_uid, old.st_gid)


def _replace(target: str, data: bytes, old: os.stat_result | None) -> None:
    directory, name = os.path.split(target)
    prefix = f".{name[:_LONGEST_PREFIX]}."
    _sweep(directory, prefix)
    descriptor, temporary = _create(directory, prefix)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        if old is not None:
            _give(descriptor, old)
        os.fchmod(descriptor, 0o644 if old is None else stat.S_IMODE(old.st_mode) & 0o777)
        os.fsync(descriptor)
        os.replace(temporary, target)  # noqa: PTH105
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)  # noqa: PTH108
        raise
    finally:
        os.close(descriptor)
    _sync_directory(directory)


def _create(directory: str, prefix: str) -> tuple[int, str]:
    """A new file that is locked, which says that its writer lives: descriptor and path."""
    for _ in range(_ATTEMPTS):
        descriptor, path = tempfile.mkstemp(dir=directory, prefix=prefix, suffix=_NEW)
        if _is_claimed(descriptor):
            return descriptor, path
        os.close(descriptor)
        with contextlib.suppress(OSError):
            os.unlink(path)  # noqa: PTH108
    raise OSError(errno.EBUSY, "others write to it without end")


def _is_claimed(descriptor: int) -> bool:
    """Lock a new file; False if another writer came between and has swept it away."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.fstat(descriptor).st_nlink > 0
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks: nobody sweeps there, either
        return True


def _sweep(directory: str, prefix: str) -> None:
    """Remove what writers of this file have left behind who were killed; what cannot be removed stays."""
    with contextlib.suppress(OSError):
        for name in os.listdir(directory):  # noqa: PTH208
            if name.startswith(prefix) and name.endswith(_NEW):
                path = os.path.join(directory, name)  # noqa: PTH118
                descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    os.unlink(path)  # noqa: PTH108
                except BlockingIOError:
                    continue
                finally:
                    os.close(descriptor)


def _sync_directory(directory: str) -> None:
    try:
        place = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(place)
        finally:
            os.close(place)
    except OSError as error:
        text = f"{error.strerror}; the new file is in place, but a loss of power could bring the old one back"
        raise OSError(error.errno, text, directory) from None
