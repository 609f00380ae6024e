# SPDX-License-Identifier: Apache-2.0
"""Emulated iommufd objects: ids from 1, references, destruction.

One :class:`Context` is one open /dev/iommu. As in the kernel (drivers/iommu/iommufd/main.c), an object that
another one uses cannot be destroyed, the lowest free number is given out next, and the context lives until
it is closed *and* no device is bound to it.
"""

from __future__ import annotations

import errno
import heapq
import os
from typing import TYPE_CHECKING, Final, TypeVar

from vsmmu.emulate.errno_error import KernelError

if TYPE_CHECKING:
    from vsmmu.emulate.hardware import Function, Smmu
    from vsmmu.emulate.ioas import AddressSpace

__all__ = [
    "MOST_OBJECTS",
    "Context",
    "DeviceObject",
    "EventQueue",
    "HwQueue",
    "Hwpt",
    "Ioas",
    "Object",
    "Vdevice",
    "Viommu",
]


class Object:
    """One object; ``users`` counts what keeps it from being destroyed."""

    def __init__(self, *uses: Object) -> None:
        self.id = 0
        self.users = 0
        self.uses = list(uses)

    def use(self, other: Object) -> None:
        """Keep ``other`` alive."""
        self.uses.append(other)
        other.users += 1

    def unuse(self, other: Object) -> None:
        """Let go of ``other``."""
        self.uses.remove(other)
        other.users -= 1

    def gone(self) -> None:
        """Called when it is destroyed."""


class DeviceObject(Object):
    """A bound device; only the closing of its vfio file ends it."""

    def __init__(self, function: Function) -> None:
        super().__init__()
        self.function = function
        # pasid (0: none) -> what it is attached to.
        self.attached: dict[int, Hwpt] = {}
        self.vdevice: Vdevice | None = None

    @property
    def smmu(self) -> Smmu:
        """The SMMU in front of it: without one it could not have been bound."""
        assert self.function.smmu is not None  # noqa: S101
        return self.function.smmu


class Ioas(Object):
    """An I/O address space."""

    def __init__(self, space: AddressSpace) -> None:
        super().__init__()
        self.space = space


class Hwpt(Object):
    """A page table of the kernel's (paging), or of a guest's (nested: ``ste`` is set).

    :ivar automatic: made by an ATTACH to an IOAS, and destroyed with the last attachment.
    """

    def __init__(self, smmu: Smmu, parent: Object, ste: tuple[int, int] | None = None) -> None:
        super().__init__(parent)
        self.smmu = smmu
        self.parent = parent
        self.ste = ste
        self.nest_parent = False
        self.automatic = False
        self.dirty_tracking = False

        if isinstance(parent, Ioas):
            parent.space.add_table(smmu.output_bits)

    @property
    def is_nested(self) -> bool:
        """Whether it is a guest's."""
        return self.ste is not None

    def gone(self) -> None:
        """The address space is no longer limited by it."""
        if isinstance(self.parent, Ioas):
            self.parent.space.remove_table(self.smmu.output_bits)


class Viommu(Object):
    """A virtual IOMMU."""

    def __init__(self, kind: int, smmu: Smmu, parent: Hwpt) -> None:
        super().__init__(parent)
        self.kind = kind
        self.smmu = smmu
        self.vdevices: dict[int, Vdevice] = {}
        self.queues: dict[int, EventQueue] = {}


class Vdevice(Object):
    """A device under a guest's stream id."""

    def __init__(self, viommu: Viommu, device: DeviceObject, virt_id: int) -> None:
        super().__init__(viommu)
        self.viommu = viommu
        self.device = device
        self.virt_id = virt_id
        viommu.vdevices[virt_id] = self
        device.vdevice = self

    def gone(self) -> None:
        """Free the stream id and the device."""
        del self.viommu.vdevices[self.virt_id]
        self.device.vdevice = None


class EventQueue(Object):
    """A queue of faults, or of a vIOMMU's events; nothing ever happens that would put one in.

    :ivar descriptor: our end of the pipe that stands for it.
    """

    def __init__(self, kind: int, viommu: Viommu | None, descriptor: int) -> None:
        super().__init__(*([viommu] if viommu is not None else []))
        self.kind = kind
        self.viommu = viommu
        self.descriptor = descriptor
        if viommu is not None:
            viommu.queues[kind] = self

    def gone(self) -> None:
        """Close our end: the program's end shows a hang-up."""
        os.close(self.descriptor)
        if self.viommu is not None:
            del self.viommu.queues[self.kind]


class HwQueue(Object):
    """A Tegra241 command queue given to a VM."""

    def __init__(self, viommu: Viommu, index: int) -> None:
        super().__init__(viommu)
        self.index = index


ObjectT = TypeVar("ObjectT", bound=Object)


#: Of one context. The kernel charges them to the program; here they lie in the memory of all.
MOST_OBJECTS: Final = 1 << 15


class Context:
    """One open /dev/iommu with its objects.

    :param token: the open file.
    """

    def __init__(self, token: int) -> None:
        self.token = token
        self.closed = False
        self.objects: dict[int, Object] = {}
        #: The free numbers below the highest that was ever given out, as a heap.
        self._free: list[int] = []

    def add(self, new: ObjectT) -> ObjectT:
        """Number an object and let it hold what it uses."""
        new.id = heapq.heappop(self._free) if self._free else len(self.objects) + 1
        self.objects[new.id] = new
        for other in new.uses:
            other.users += 1
        return new

    def get(self, number: int, kind: type[ObjectT]) -> ObjectT:
        """The object ``number``.

        :raise KernelError: ENOENT if there is none, or it is something else.
        """
        found = self.objects.get(number)
        if not isinstance(found, kind):
            raise KernelError(errno.ENOENT)
        return found

    def destroy(self, number: int) -> None:
        """IOMMU_DESTROY.

        :raise KernelError: ENOENT, EBUSY. A bound device is always busy: its vfio file holds it.
        """
        found = self.get(number, Object)
        if found.users or isinstance(found, DeviceObject):
            raise KernelError(errno.EBUSY)
        self._remove(found)

    def attach(self, device: DeviceObject, pasid: int, hwpt: Hwpt) -> None:
        """Attach a device; what it was attached to before is let go."""
        before = device.attached.get(pasid)
        device.attached[pasid] = hwpt
        device.use(hwpt)
        if before is not None:
            self._let_go(device, before)

    def detach(self, device: DeviceObject, pasid: int) -> None:
        """Detach a device, if it is attached."""
        before = device.attached.pop(pasid, None)
        if before is not None:
            self._let_go(device, before)

    def unbind(self, device: DeviceObject) -> None:
        """The vfio file of a bound device was closed."""
        for pasid in list(device.attached):
            self.detach(device, pasid)
        if device.vdevice is not None:
            self._remove(device.vdevice)
        self._remove(device)
        self.end_if_unused()

    def close(self) -> None:
        """/dev/iommu was closed; bound devices keep the context alive."""
        self.closed = True
        self.end_if_unused()

    def end_if_unused(self) -> None:
        """Destroy all objects if nobody can reach them any more."""
        if not self.closed or any(isinstance(entry, DeviceObject) for entry in self.objects.values()):
            return
        while self.objects:
            for entry in [entry for entry in self.objects.values() if not entry.users]:
                self._remove(entry)

    def _let_go(self, device: DeviceObject, hwpt: Hwpt) -> None:
        device.unuse(hwpt)
        if hwpt.automatic and not hwpt.users:
            self._remove(hwpt)

    def _remove(self, entry: Object) -> None:
        del self.objects[entry.id]
        heapq.heappush(self._free, entry.id)
        for other in list(entry.uses):
            entry.unuse(other)
        entry.gone()
