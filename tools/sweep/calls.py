# SPDX-License-Identifier: Apache-2.0
"""The system calls on files that a sweep can let fail, and the seccomp filter that reports them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from vsmmu.emulate import seccomp

if TYPE_CHECKING:
    from vsmmu.emulate.seccomp import Architecture, Program

__all__ = ["CALLS", "Call", "notify_calls", "numbered"]

_ARCH, _NR = 4, 0
_LOAD, _EQUAL, _RETURN = 0x20, 0x15, 0x06
_ABSENT: Final = -1


class Call(NamedTuple):
    """One call: its numbers, and the arguments that say which file it is about.

    :param paths: positions of pointers to paths.
    :param descriptor: position of a descriptor, where there is no path; -1 if there is none.
    """

    name: str
    x86_64: int
    aarch64: int
    paths: tuple[int, ...] = ()
    descriptor: int = -1


# arch/x86/entry/syscalls/syscall_64.tbl, include/uapi/asm-generic/unistd.h.
CALLS: Final = (
    Call("open", 2, _ABSENT, (0,)),
    Call("openat", 257, 56, (1,)),
    Call("openat2", 437, 437, (1,)),
    Call("read", 0, 63, (), 0),
    Call("pread64", 17, 67, (), 0),
    Call("readv", 19, 65, (), 0),
    Call("write", 1, 64, (), 0),
    Call("pwrite64", 18, 68, (), 0),
    Call("writev", 20, 66, (), 0),
    Call("stat", 4, _ABSENT, (0,)),
    Call("lstat", 6, _ABSENT, (0,)),
    Call("fstat", 5, 80, (), 0),
    Call("newfstatat", 262, 79, (1,), 0),
    Call("statx", 332, 291, (1,), 0),
    Call("access", 21, _ABSENT, (0,)),
    Call("faccessat", 269, 48, (1,)),
    Call("faccessat2", 439, 439, (1,)),
    Call("readlink", 89, _ABSENT, (0,)),
    Call("readlinkat", 267, 78, (1,)),
    Call("getdents64", 217, 61, (), 0),
    Call("rename", 82, _ABSENT, (0, 1)),
    Call("renameat", 264, 38, (1, 3)),
    Call("renameat2", 316, 276, (1, 3)),
    Call("unlink", 87, _ABSENT, (0,)),
    Call("unlinkat", 263, 35, (1,)),
    Call("mkdir", 83, _ABSENT, (0,)),
    Call("mkdirat", 258, 34, (1,)),
    Call("fsync", 74, 82, (), 0),
    Call("fdatasync", 75, 83, (), 0),
    Call("ftruncate", 77, 46, (), 0),
    Call("fchmod", 91, 52, (), 0),
    Call("fchown", 93, 55, (), 0),
    Call("flock", 73, 32, (), 0),
    Call("dup", 32, 23, (), 0),
    Call("ioctl", 16, 29, (), 0),
)


def numbered(machine: Architecture) -> dict[int, Call]:
    """The calls of a machine by their numbers there."""
    rows = {(call.x86_64 if machine.name == "x86_64" else call.aarch64): call for call in CALLS}
    return {number: call for number, call in rows.items() if number != _ABSENT}


def notify_calls(machine: Architecture) -> Program:
    """A filter that reports these calls and lets all others through."""
    numbers = sorted(numbered(machine))
    count = len(numbers)
    return (
        (_LOAD, 0, 0, _ARCH),
        (_EQUAL, 0, count + 1, machine.audit),
        (_LOAD, 0, 0, _NR),
        *((_EQUAL, count - at, 0, number) for at, number in enumerate(numbers)),
        (_RETURN, 0, 0, seccomp.RET_ALLOW),
        (_RETURN, 0, 0, seccomp.RET_USER_NOTIF),
    )
