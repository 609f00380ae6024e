# SPDX-License-Identifier: Apache-2.0
"""System calls without a function in Python 3.11: one thin function each, errors as OSError."""

from __future__ import annotations

import ctypes
import os
from typing import Final

__all__ = [
    "CLONE_NEWNS",
    "CLONE_NEWUSER",
    "IN_CLOSE",
    "MNT_DETACH",
    "MS_BIND",
    "MS_NOEXEC",
    "MS_NOSUID",
    "MS_REC",
    "MS_SLAVE",
    "inotify_add_watch",
    "inotify_init1",
    "mount",
    "setns",
    "syscall",
    "umount2",
    "unshare",
]

# include/uapi/linux/sched.h and mount.h
CLONE_NEWNS: Final = 0x00020000
CLONE_NEWUSER: Final = 0x10000000
MS_NOSUID: Final = 2
MS_NOEXEC: Final = 8
MS_BIND: Final = 4096
MS_REC: Final = 16384
MS_SLAVE: Final = 1 << 19
MNT_DETACH: Final = 2
# include/uapi/linux/inotify.h
IN_CLOSE: Final = 0x18

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long
_libc.mount.argtypes = (
    ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p
)  # fmt: skip
_libc.umount2.argtypes = (ctypes.c_char_p, ctypes.c_int)
_libc.inotify_add_watch.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_uint32)
_libc.unshare.argtypes = (ctypes.c_int,)
_libc.setns.argtypes = (ctypes.c_int, ctypes.c_int)


def syscall(number: int, *arguments: int) -> int:
    """Any system call, with integer arguments."""
    value = int(_libc.syscall(number, *(ctypes.c_long(argument) for argument in arguments)))
    if value < 0:
        _raise("")
    return value


def inotify_init1(flags: int) -> int:
    """A descriptor that events can be read from."""
    descriptor = int(_libc.inotify_init1(flags))
    if descriptor < 0:
        _raise("")
    return descriptor


def inotify_add_watch(descriptor: int, path: str, mask: int) -> None:
    """Have the events of a file reported."""
    if _libc.inotify_add_watch(descriptor, os.fsencode(path), mask) < 0:
        _raise(path)


def mount(source: str, target: str, kind: str, flags: int, data: str = "") -> None:
    """Mount a file system, or bind one."""
    if _libc.mount(os.fsencode(source), os.fsencode(target), kind.encode(), flags, data.encode()):
        _raise(target)


def umount2(target: str, flags: int) -> None:
    """Take a mount away."""
    if _libc.umount2(os.fsencode(target), flags):
        _raise(target)


def unshare(flags: int) -> None:
    """Leave namespaces for new ones."""
    if _libc.unshare(flags):
        _raise("")


def setns(descriptor: int, kind: int) -> None:
    """Enter a namespace; os.setns() came with Python 3.12."""
    if _libc.setns(descriptor, kind):
        _raise("")


def _raise(path: str) -> None:
    number = ctypes.get_errno()
    raise OSError(number, os.strerror(number), path or None)
