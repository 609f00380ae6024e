# SPDX-License-Identifier: Apache-2.0
"""seccomp user notification: the filter, its installation, its notifications (seccomp_unotify(2)).

The filter is evaluated for every system call, so it is short: the numbers that matter are compared first, and
only arguments in registers are looked at. What it lets through never leaves the kernel.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import struct
from typing import Any, Final, NamedTuple

from vsmmu.errors import HostLacks

__all__ = [
    "ARCHITECTURES",
    "OFFSET_MAGIC",
    "RET_ALLOW",
    "RET_USER_NOTIF",
    "Architecture",
    "Notification",
    "Program",
    "add_fd",
    "answer",
    "architecture",
    "filter_program",
    "install",
    "let_through",
    "receive",
    "still_waiting",
    "wake_up_synchronously",
]


class Architecture(NamedTuple):
    """What differs between machines: AUDIT_ARCH_* and the numbers of system calls."""

    name: str
    audit: int
    seccomp: int
    ioctl: int
    pread64: int
    pwrite64: int

    def call_name(self, number: int) -> str:
        """The name of one of the calls that the filter reports."""
        names = {self.ioctl: "ioctl", self.pread64: "pread64", self.pwrite64: "pwrite64"}
        return names.get(number, f"system call {number}")


# include/uapi/linux/audit.h, arch/x86/entry/syscalls/syscall_64.tbl, include/uapi/asm-generic/unistd.h.
ARCHITECTURES: Final = {
    "x86_64": Architecture("x86_64", 0xC000003E, 317, 16, 17, 18),
    "aarch64": Architecture("aarch64", 0xC00000B7, 277, 29, 67, 68),
}

#: The upper half of the offsets of device regions begins so: VFIO leaves offsets to the driver, and with
#: these a filter can tell a region of ours from any real file. 0x5653 is "VS".
OFFSET_MAGIC: Final = 0x5653 << 48

# include/uapi/linux/seccomp.h
_SET_MODE_FILTER: Final = 1
_FLAG_NEW_LISTENER: Final = 1 << 3
_FLAG_WAIT_KILLABLE_RECV: Final = 1 << 5
RET_ALLOW: Final = 0x7FFF0000
RET_USER_NOTIF: Final = 0x7FC00000
_NOTIF_FLAG_CONTINUE: Final = 1
_NOTIF_FD_SYNC_WAKE_UP: Final = 1
_IOCTL_NOTIF_RECV: Final = 0xC0502100
_IOCTL_NOTIF_SEND: Final = 0xC0182101
_IOCTL_NOTIF_ID_VALID: Final = 0x40082102
_IOCTL_NOTIF_ADDFD: Final = 0x40182103
_IOCTL_NOTIF_SET_FLAGS: Final = 0x40082104

# struct seccomp_data: nr, arch, instruction_pointer, args[6]; loads are of 32 bits (both are little-endian).
_NR, _ARCH, _ARGS = 0, 4, 16
_LOW_OF_ARG1, _HIGH_OF_ARG3 = _ARGS + 8, _ARGS + 3 * 8 + 4

# include/uapi/linux/bpf_common.h
_LOAD, _EQUAL, _AND, _RETURN = 0x20, 0x15, 0x54, 0x06

_IOCTL_TYPE: Final = 0x3B
#: KVM_SET_DEVICE_ATTR, _IOW(0xAE, 0xe1, struct kvm_device_attr).
KVM_SET_DEVICE_ATTR: Final = 0x4018AEE1

_PR_SET_NO_NEW_PRIVS: Final = 38
#: Of struct seccomp_notif: id, pid, data.nr and data.args; what is not needed is not unpacked.
_NOTIFICATION: Final = struct.Struct("=QI4x i4x8x 6Q")
#: The kernel writes into zeros only.
_EMPTY: Final = bytes(_NOTIFICATION.size)
_ID: Final = struct.Struct("=Q")
_RESPONSE: Final = struct.Struct("=QqiI")
_ADDFD: Final = struct.Struct("=QIIII")
_O_CLOEXEC: Final = os.O_CLOEXEC


#: A filter's lines as (code, jump if true, jump if false, value).
Program = tuple[tuple[int, int, int, int], ...]


class Notification(NamedTuple):
    """A system call that waits for an answer."""

    id: int
    pid: int
    number: int
    arguments: tuple[int, ...]


class _Filter(ctypes.Structure):
    _fields_ = (
        ("code", ctypes.c_uint16),
        ("jt", ctypes.c_uint8),
        ("jf", ctypes.c_uint8),
        ("k", ctypes.c_uint32),
    )


class _FilterProgram(ctypes.Structure):
    _fields_ = (("len", ctypes.c_uint16), ("filter", ctypes.POINTER(_Filter)))


_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def architecture() -> Architecture:
    """This machine's row.

    :raise HostLacks: ``emulate-architecture``.
    """
    machine = os.uname().machine
    if machine not in ARCHITECTURES or ctypes.sizeof(ctypes.c_void_p) != 8:
        raise HostLacks(
            "emulate-architecture",
            f"cannot emulate on {machine}",
            why="the system call numbers are known for x86_64 and aarch64, 64-bit",
            next="run it on one of these, or in: vsmmu lab",
        )
    return ARCHITECTURES[machine]


def filter_program(machine: Architecture) -> Program:
    """The filter of an emulation.

    Notified are: ioctl of type ``;`` (iommufd and vfio), KVM_SET_DEVICE_ATTR, and pread64 and pwrite64 at the
    offsets of our device regions. Calls of another architecture (32-bit programs) pass.
    """
    return _assemble(
        (
            ("", _LOAD, _ARCH, "", ""),
            ("", _EQUAL, machine.audit, "", "allow"),
            ("", _LOAD, _NR, "", ""),
            ("", _EQUAL, machine.ioctl, "", "not an ioctl"),
            ("", _LOAD, _LOW_OF_ARG1, "", ""),
            ("", _EQUAL, KVM_SET_DEVICE_ATTR, "notify", ""),
            ("", _AND, 0xFFFFFF00, "", ""),
            ("", _EQUAL, _IOCTL_TYPE << 8, "notify", "allow"),
            ("not an ioctl", _EQUAL, machine.pread64, "offset", ""),
            ("", _EQUAL, machine.pwrite64, "offset", "allow"),
            ("offset", _LOAD, _HIGH_OF_ARG3, "", ""),
            ("", _AND, 0xFFFF0000, "", ""),
            ("", _EQUAL, OFFSET_MAGIC >> 32, "notify", ""),
            ("allow", _RETURN, RET_ALLOW, "", ""),
            ("notify", _RETURN, RET_USER_NOTIF, "", ""),
        )
    )


def _assemble(lines: tuple[tuple[str, int, int, str, str], ...]) -> Program:
    """Turn (label, code, value, target if true, target if false) into jumps; no target is the next line."""
    at = {label: index for index, (label, *_) in enumerate(lines) if label}
    return tuple(
        (code, at[true] - index - 1 if true else 0, at[false] - index - 1 if false else 0, value)
        for index, (_, code, value, true, false) in enumerate(lines)
    )


def install(machine: Architecture, lines: Program) -> int:
    """Install a filter for this process and all that it will start; returns the listener.

    Privileges cannot be gained from here on (no_new_privs): a set-user-id program must not trust answers that
    somebody else makes up.

    :raise OSError: EINVAL: a kernel before 5.0 or without CONFIG_SECCOMP_FILTER; EBUSY: the process has a
        listener already, for only one is possible.
    """
    if _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        _raise()
    program = _FilterProgram(len(lines), (_Filter * len(lines))(*(_Filter(*line) for line in lines)))
    for flags in (_FLAG_NEW_LISTENER | _FLAG_WAIT_KILLABLE_RECV, _FLAG_NEW_LISTENER):
        listener = _libc.syscall(machine.seccomp, _SET_MODE_FILTER, flags, ctypes.byref(program))
        if listener >= 0:
            return int(listener)
        # Before 5.19 a signal can interrupt a call that is being answered, which is then made again.
        if ctypes.get_errno() != errno.EINVAL:
            break
    return _raise()


def wake_up_synchronously(listener: int) -> None:
    """Hand the processor over with each answer (6.6); without it, calls take longer."""
    try:
        fcntl.ioctl(listener, _IOCTL_NOTIF_SET_FLAGS, _NOTIF_FD_SYNC_WAKE_UP)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTTY):
            raise


def receive(listener: int) -> Notification | None:
    """Wait for the next call; None if it was taken back (its process was killed)."""
    try:
        received: Any = fcntl.ioctl(listener, _IOCTL_NOTIF_RECV, _EMPTY)
    except (FileNotFoundError, InterruptedError):
        return None
    fields = _NOTIFICATION.unpack(received)
    return Notification(fields[0], fields[1], fields[2], fields[3:])


def answer(listener: int, notification: int, value: int, error: int = 0) -> None:
    """Answer a call with a value, or with an errno; a process that is gone does not mind."""
    _send(listener, _RESPONSE.pack(notification, value, -error, 0))


def let_through(listener: int, notification: int) -> None:
    """Let the real kernel answer the call."""
    _send(listener, _RESPONSE.pack(notification, 0, 0, _NOTIF_FLAG_CONTINUE))


def still_waiting(listener: int, notification: int) -> bool:
    """Whether the process still waits: then its pid has not been reused since the notification."""
    try:
        fcntl.ioctl(listener, _IOCTL_NOTIF_ID_VALID, _ID.pack(notification))
    except FileNotFoundError:
        return False
    return True


def add_fd(listener: int, notification: int, descriptor: int) -> int:
    """Give the waiting process a duplicate of ``descriptor``; its number there.

    :raise OSError: EMFILE: it has no room; ENOENT: it is gone.
    """
    order = bytearray(_ADDFD.pack(notification, 0, descriptor, 0, _O_CLOEXEC))
    number: int = fcntl.ioctl(listener, _IOCTL_NOTIF_ADDFD, order)
    return number


def _send(listener: int, response: bytes) -> None:
    try:
        fcntl.ioctl(listener, _IOCTL_NOTIF_SEND, response)
    except FileNotFoundError:
        return


def _raise() -> int:
    number = ctypes.get_errno()
    raise OSError(number, os.strerror(number))
