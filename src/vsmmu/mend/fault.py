# SPDX-License-Identifier: Apache-2.0
"""One fault of a VM with everything that a mend of it is made of: devices, buses, free names and numbers."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from vsmmu.diagnostic import Edit, Insertion
from vsmmu.machine.drivers import is_vfio
from vsmmu.machine.topology import Topology
from vsmmu.plan.numbers import Names
from vsmmu.qemu.board import with_globals
from vsmmu.qemu.settings import is_accelerated

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vsmmu.diagnostic import Change, Diagnostic
    from vsmmu.host.facts import Host
    from vsmmu.machine.model import Device, Machine
    from vsmmu.machine.topology import Bus
    from vsmmu.machine.vm import Vm
    from vsmmu.policy.options import Options
    from vsmmu.qemu.versions import Qemu

__all__ = ["VmFault", "VmOnHost", "Way"]


class Way(NamedTuple):
    """One way to mend a fault.

    :param text: what it is, for people, as an order: ``write accel=on``.
    :param changes: to the VM; empty if only its owner can do it.
    :param unpins: whether it changes a value that somebody wrote for the vSMMU.
    """

    text: str
    changes: tuple[Change, ...] = ()
    unpins: bool = False


class VmOnHost:
    """A VM and where it is to run: what all its faults share.

    :ivar machine: as written, with the machine type that the options say.
    :ivar firmware: a UEFI firmware that is there for a command line without one; empty if none is known.
    """

    def __init__(self, vm: Vm, host: Host, qemu: Qemu, options: Options, firmware: str = "") -> None:
        self.firmware = firmware
        self.vm = vm
        self.host = host
        self.qemu = qemu
        self.options = options
        self.machine: Machine = options.complete(vm.machine())

    @cached_property
    def topology(self) -> Topology:
        """Of the machine, defaults by ``-global`` included."""
        return Topology.of(with_globals(self.machine))

    @cached_property
    def names(self) -> Names:
        """Ids that are still free."""
        return Names(self.machine, self.topology)

    def vsmmu_of(self, device: Device) -> Device | None:
        """The vSMMU on the root complex of a device, wherever it stands."""
        bus = self.topology.bus_of(device)
        if bus is None:
            return None
        found = (self.bus_of(vsmmu) for vsmmu in self.machine.vsmmus)
        pairs = zip(self.machine.vsmmus, found, strict=True)
        return next((vsmmu for vsmmu, on in pairs if on and on.root_owner == bus.root_owner), None)

    def is_accelerated(self, vsmmu: Device | None) -> bool:
        """Whether a vSMMU is there and has ``accel=on``."""
        return vsmmu is not None and is_accelerated(vsmmu, self.machine)

    def bus_of(self, vsmmu: Device) -> Bus | None:
        """The root complex that a vSMMU names, also if it is made after it."""
        return self.topology.primary_bus_of(vsmmu) or self.topology.later_bus_of(vsmmu)

    def functions_behind(self, vsmmu: Device) -> list[Device]:
        """The functions of the host behind a vSMMU."""
        behind = self.topology.endpoints_of(self.bus_of(vsmmu))
        return [device for device in behind if is_vfio(device.driver)]

    def maker_of(self, name: str) -> Device | None:
        """The bridge that makes the bus called ``name``, wherever it stands."""
        found = self.machine.device(name)
        return found if found is not None and found.id == name else None


class VmFault(NamedTuple):
    """A diagnosis of a VM."""

    found: Diagnostic
    setting: VmOnHost

    @property
    def device(self) -> Device | None:
        """The device that the diagnosis names; None if it is about the machine."""
        return self.setting.machine.device(self.found.where)

    @property
    def bus(self) -> Bus | None:
        """The bus of that device."""
        device = self.device
        return None if device is None else self.setting.topology.bus_of(device)

    def iommufd(self, device: Device) -> tuple[Change, ...]:
        """What lets a function use iommufd: the object of its neighbours, else the first, else a new one."""
        setting = self.setting
        vsmmu = setting.vsmmu_of(device)
        beside = setting.functions_behind(vsmmu) if vsmmu is not None else []
        objects = [entry.id for entry in setting.machine.objects if entry.qom_type == "iommufd"]
        used = [other.text("iommufd") for other in beside if other.text("iommufd") in objects]
        name = next(iter([*used, *objects]), "")
        new: tuple[Change, ...] = ()
        if not name:
            # Where others name an object that is not there, that is the one.
            named = [other.text("iommufd") for other in setting.machine.devices if other.text("iommufd")]
            name = named[0] if named else setting.names.take("iommufd", 0)
            new = (Insertion("object", {"qom-type": "iommufd", "id": name}, device.number),)
        return (*new, Edit(device.number, "iommufd", name))


def on_bus(device: Device, bus: str) -> Iterator[Edit]:
    """What puts a device on a bus; QEMU chooses the slot there."""
    yield Edit(device.number, "bus", bus)
    if "addr" in device.properties:
        yield Edit(device.number, "addr", None)
