# SPDX-License-Identifier: Apache-2.0
"""Serve seccomp notifications until the last process carrying the filter exits."""

from __future__ import annotations

import errno
import gc
import os
import select
import time
from functools import partial
from typing import TYPE_CHECKING, Final

from vsmmu.emulate import iommufd, seccomp, vfio
from vsmmu.emulate.calls import Caller, CallRecord
from vsmmu.emulate.complaints import Complaints
from vsmmu.emulate.errno_error import KernelError
from vsmmu.emulate.files import OpenFiles
from vsmmu.emulate.kvm import KvmFiles
from vsmmu.emulate.memory import ProcessMemory
from vsmmu.emulate.objects import Context

if TYPE_CHECKING:
    from collections.abc import Callable

    from vsmmu.emulate.faults import Faults
    from vsmmu.emulate.files import OpenFile
    from vsmmu.emulate.hardware import Hardware
    from vsmmu.emulate.seccomp import Architecture, Notification
    from vsmmu.emulate.trace import Trace

__all__ = ["Supervisor"]

#: EBADFD: what the kernel says of a descriptor that is no iommufd.
_EBADFD: Final = 77
_MOST_AT_ONCE: Final = 1 << 16


class Supervisor:
    """The emulated kernel of one program and its descendants.

    :param listener: where their calls come in; closed by :meth:`close`.
    """

    def __init__(
        self, listener: int, machine: Architecture, hardware: Hardware, faults: Faults, trace: Trace | None
    ) -> None:
        self.hardware = hardware
        self._listener = listener
        self._machine = machine
        self._faults = faults
        self._trace = trace
        self._files = OpenFiles()
        self._complaints = Complaints()
        self._kvm = KvmFiles()
        self._contexts: dict[int, Context] = {}
        self._devices: dict[int, vfio.DeviceFile] = {}
        self._open_devices: list[vfio.DeviceFile] = []
        self._poll = select.poll()
        self._watched: dict[int, Callable[[], None]] = {}
        # Before the listener, and so served before it: who closes a file and then calls finds it closed.
        if self._files.notices is not None:
            self.watch(self._files.notices, self._files.take_notices)
        self._poll.register(listener, select.POLLIN)
        seccomp.wake_up_synchronously(listener)

    def close(self) -> None:
        """Stop answering: calls that wait, and later ones, get ENOSYS."""
        os.close(self._listener)
        for file in list(self._open_devices):
            file.close()
        for context in self._contexts.values():
            context.close()
        self._files.close()

    def watch(self, descriptor: int, ready: Callable[[], None], *, to_write: bool = False) -> None:
        """Call ``ready`` whenever ``descriptor`` can be read, or only when it can be written to."""
        self._poll.register(descriptor, select.POLLOUT if to_write else select.POLLIN)
        self._watched[descriptor] = ready

    def unwatch(self, descriptor: int) -> None:
        """Look at ``descriptor`` no more."""
        self._poll.unregister(descriptor)
        del self._watched[descriptor]

    def run(self) -> None:
        """Answer until the last process that has the filter is gone."""
        gc.freeze()  # what is there stays: no call waits until it has been looked through
        while True:
            for descriptor, events in self._poll.poll():
                if descriptor in self._watched:
                    self._serve_other(self._watched[descriptor])
                elif descriptor != self._listener:
                    continue
                elif events & select.POLLIN:
                    self._serve()
                elif events & (select.POLLHUP | select.POLLERR):
                    return

    def _serve_other(self, ready: Callable[[], None]) -> None:
        try:
            ready()
        except Exception as mistake:  # of ours: a control client must not take the program its host
            self._complaints.own_failure("on the control socket", mistake)

    def _serve(self) -> None:
        notification = seccomp.receive(self._listener)
        if notification is None:
            return
        began = time.monotonic() if self._trace is not None else 0.0
        record = CallRecord(traced=self._trace is not None)
        descriptor = _signed(notification.arguments[0])
        waits = partial(seccomp.still_waiting, self._listener, notification.id)
        memory = ProcessMemory(notification.pid, waits)
        try:
            value = self._answer(notification, descriptor, memory, record)
        except KernelError as failed:
            value, error = -1, failed.number
        except Exception as mistake:  # of ours: the program must not wait for ever, nor lose its host
            self._complaints.own_failure(f"a call ({record.name or 'unknown'})", mistake)
            value, error = -1, errno.EIO
        else:
            error = 0
        finally:
            memory.close()
        if value is None:
            seccomp.let_through(self._listener, notification.id)
            return
        seccomp.answer(self._listener, notification.id, 0 if error else value, error)
        if self._trace is not None:
            self._trace.call(notification.pid, descriptor, record, value, error, began)

    def _answer(
        self, notification: Notification, descriptor: int, memory: ProcessMemory, record: CallRecord
    ) -> int | None:
        """The value that the call returns; None if it is not for us."""
        self._reap()
        caller = _Waiting(notification, memory, self._listener, self._find)
        if notification.number != self._machine.ioctl:
            return self._transfer(notification, descriptor, memory, record)
        number = notification.arguments[1] & 0xFFFFFFFF
        if number == seccomp.KVM_SET_DEVICE_ATTR:
            return self._kvm.set_attr(descriptor, notification.arguments[2], caller, record)
        file = self._find(notification.pid, descriptor)
        if file is None:
            return None
        if self._faults:
            self._inject(number, record)
        address = notification.arguments[2]
        if file.node == "iommu":
            return iommufd.call(self._contexts[file.token], number, address, caller, record)
        device = self._devices[file.token]
        return device.call(number, address, caller, record, lambda fd: self._context(notification.pid, fd))

    def _inject(self, number: int, record: CallRecord) -> None:
        operation = iommufd.OPERATIONS.get(number)
        name = operation.name if operation is not None else vfio.NAMES.get(number, "")
        error = self._faults.errno(name)
        if error:
            record.name = name
            raise KernelError(error)

    def _transfer(
        self, notification: Notification, descriptor: int, memory: ProcessMemory, record: CallRecord
    ) -> int | None:
        """pread64 or pwrite64 at an offset that only our regions have."""
        file = self._find(notification.pid, descriptor)
        if file is None or file.node == "iommu":
            return None
        _, address, length, offset = notification.arguments[:4]
        record.name = self._machine.call_name(notification.number)
        device = self._devices[file.token]
        record.device = device.function.address
        length = min(length, _MOST_AT_ONCE)
        region, place = vfio.region_of(offset) or (-1, offset)
        record.argument = {"region": region, "offset": place, "length": length}
        if notification.number == self._machine.pread64:
            data = device.read(offset, length)
            memory.write(address, data)
            return len(data)
        return device.write(offset, memory.read(address, length))

    def _find(self, pid: int, descriptor: int) -> OpenFile | None:
        if descriptor < 0:
            raise KernelError(errno.EBADF)
        file = self._files.find(pid, descriptor)
        if file is None:
            return None
        if file.node == "iommu":
            if file.token not in self._contexts:
                self._contexts[file.token] = Context(file.token)
        elif file.token not in self._devices:
            function = self.hardware.by_node(file.node)
            if function is None:
                raise KernelError(errno.ENODEV)
            self._devices[file.token] = vfio.DeviceFile(file.token, function, self._open_devices)
        return file

    def _context(self, pid: int, descriptor: int) -> Context:
        file = self._find(pid, descriptor)
        if file is None or file.node != "iommu":
            raise KernelError(_EBADFD)
        return self._contexts[file.token]

    def _reap(self) -> None:
        """Do what the kernel does when a file's last descriptor is closed."""
        for file in self._files.closed():
            self._kvm.forget(file.token)
            if file.token in self._devices:
                self._devices.pop(file.token).close()
            elif file.token in self._contexts:
                self._contexts.pop(file.token).close()


class _Waiting(Caller):
    """The process that waits for the answer to a notification."""

    __slots__ = ("_find", "_listener", "_notification")

    def __init__(
        self,
        notification: Notification,
        memory: ProcessMemory,
        listener: int,
        find: Callable[[int, int], OpenFile | None],
    ) -> None:
        self.pid = notification.pid
        self.memory = memory
        self._notification = notification.id
        self._listener = listener
        self._find = find

    def open_file(self, descriptor: int) -> tuple[int, str] | None:
        found = self._find(self.pid, descriptor)
        return None if found is None else (found.token, found.node)

    def give(self, descriptor: int) -> int:
        try:
            return seccomp.add_fd(self._listener, self._notification, descriptor)
        except OSError as error:
            raise KernelError(error.errno or errno.EIO) from None
        finally:
            os.close(descriptor)


def _signed(number: int) -> int:
    """A register as a C int."""
    number &= 0xFFFFFFFF
    return number - (1 << 32) if number >> 31 else number
