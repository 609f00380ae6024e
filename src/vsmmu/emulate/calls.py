# SPDX-License-Identifier: Apache-2.0
"""Argument structures of emulated ioctls: copied in and out by the kernel's rules for sizes."""

from __future__ import annotations

import ctypes
import errno
from typing import TYPE_CHECKING, Any, Final

from vsmmu.emulate.errno_error import KernelError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vsmmu.emulate.memory import Memory

__all__ = ["Answered", "CallRecord", "Caller", "copy_struct", "members", "reserved"]


_RESERVED: Final = "__reserved"
#: The kernel looks at all of a structure; those of this kind have less than a page, and others wait.
_MOST_LOOKED_AT: Final = 1 << 16
_NOTHING: Final[Mapping[str, Any]] = {}


class Caller:
    """The process that makes the call; the supervisor's is the real one."""

    __slots__ = ("memory", "pid")

    def __init__(self, pid: int, memory: Memory) -> None:
        self.pid = pid
        self.memory = memory

    def open_file(self, descriptor: int) -> tuple[int, str] | None:
        """Token of the open file behind one of its descriptors, and the node's name; None if it is not ours.

        :raise KernelError: EBADF.
        """
        raise NotImplementedError

    def give(self, descriptor: int) -> int:
        """Put a descriptor of ours into it, and close it here; its number there.

        :raise KernelError: EMFILE, ...
        """
        raise NotImplementedError


class Answered(Exception):
    """The call fails with this errno, and yet its structure is written back."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class CallRecord:
    """What the trace says of a call beside its result.

    :param traced: whether anybody reads it; structures are not spelled out for nobody.
    """

    __slots__ = ("argument", "device", "name", "result", "traced")

    def __init__(self, *, traced: bool = True) -> None:
        self.traced = traced
        self.name = ""
        self.device = ""
        self.argument = self.result = _NOTHING

    def takes(self, structure: ctypes.Structure) -> None:
        """Note what the call was given."""
        if self.traced:
            self.argument = members(structure)

    def gives(self, structure: ctypes.Structure) -> None:
        """Note what it gives back."""
        if self.traced:
            self.result = members(structure)


def copy_struct(memory: Memory, address: int, size: int, known: int, begun: bytes = b"") -> bytes:
    """copy_struct_from_user(): ``size`` bytes of a structure of which ``known`` have a meaning.

    A shorter one is filled with zeros; in a longer one, what is beyond must be zero.

    :param begun: what has been read from ``address`` on; read again only if more is needed.
    :raise KernelError: EFAULT; E2BIG: something is beyond, or more than is looked at.
    """
    if size > _MOST_LOOKED_AT:
        raise KernelError(errno.E2BIG)
    wanted = min(size, known)
    data = begun[:wanted] if len(begun) >= wanted else memory.read(address, wanted)
    data = data.ljust(known, b"\0")
    if size > known and memory.read(address + known, size - known).strip(b"\0"):
        raise KernelError(errno.E2BIG)
    return data


def members(structure: ctypes.Structure) -> dict[str, Any]:
    """The members of a structure for the trace; arrays as lists, reserved ones left out."""
    shown: dict[str, Any] = {}
    for name, *_ in structure._fields_:
        if not name.startswith(("__", "_type", "pad")):
            value = getattr(structure, name)
            shown[name] = list(value) if isinstance(value, ctypes.Array) else value
        elif name == "_type":
            # The one union: in_data_type on the way in, out_data_type on the way out.
            shown["data_type"] = getattr(structure, "in_data_type")  # noqa: B009 - of that structure only
    return shown


def reserved(structure: ctypes.Structure) -> bool:
    """Whether the member ``__reserved`` is set (inside a class Python would mangle its name)."""
    value = getattr(structure, _RESERVED)
    return any(bytes(value)) if isinstance(value, ctypes.Array) else bool(value)
