# SPDX-License-Identifier: Apache-2.0
"""KVM's vfio device, emulated: KVM would refuse files that are no vfio devices.

Everything else of KVM goes to the real one. Source: virt/kvm/vfio.c, Linux 7.3.
"""

from __future__ import annotations

import ctypes
import errno
import os
from ctypes import c_uint32, c_uint64
from typing import TYPE_CHECKING, Final

from vsmmu.emulate.errno_error import KernelError

if TYPE_CHECKING:
    from vsmmu.emulate.calls import Caller, CallRecord

__all__ = ["KvmFiles"]

_KVM_VFIO: Final = "anon_inode:kvm-vfio"
_GROUP_FILE: Final = 1
_FILE_ADD, _FILE_DEL = 1, 2


class kvm_device_attr(ctypes.Structure):  # noqa: N801 - the kernel's name
    """``struct kvm_device_attr``: the argument of KVM_SET_DEVICE_ATTR."""

    _fields_ = (("flags", c_uint32), ("group", c_uint32), ("attr", c_uint64), ("addr", c_uint64))


class KvmFiles:
    """The files of ours that VMs have been told of."""

    def __init__(self) -> None:
        self._told: set[int] = set()

    def set_attr(self, device: int, address: int, caller: Caller, record: CallRecord) -> int | None:
        """KVM_SET_DEVICE_ATTR; None if it does not name a file of ours: then the real KVM is asked.

        :raise KernelError: EEXIST, ENOENT.
        """
        record.name = "KVM_SET_DEVICE_ATTR"
        if _link(caller.pid, device) != _KVM_VFIO:
            return None
        attr = kvm_device_attr.from_buffer_copy(caller.memory.read(address, ctypes.sizeof(kvm_device_attr)))
        record.takes(attr)
        if attr.group != _GROUP_FILE or attr.attr not in (_FILE_ADD, _FILE_DEL):
            return None
        file = caller.open_file(int.from_bytes(caller.memory.read(attr.addr, 4), "little"))
        if file is None:
            return None
        record.device = file[1]
        # One set for all VMs: a vfio file is in one of them at most, or its BIND would have failed.
        if attr.attr == _FILE_ADD:
            if file[0] in self._told:
                raise KernelError(errno.EEXIST)
            self._told.add(file[0])
        elif file[0] not in self._told:
            raise KernelError(errno.ENOENT)
        else:
            self._told.remove(file[0])
        return 0

    def forget(self, token: int) -> None:
        """A file was closed."""
        self._told.discard(token)


def _link(pid: int, descriptor: int) -> str:
    try:
        return os.readlink(f"/proc/{pid}/fd/{descriptor}")  # noqa: PTH115 - a magic link
    except OSError:
        return ""
