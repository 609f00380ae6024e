# SPDX-License-Identifier: Apache-2.0
"""One fault of a VM with everything that a mend of it is made of: devices, buses, free names and numbers."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from vsmmu.diagnostic import Edit, Insertion
from vsmmu.machine.bus_numbers import bus_ranges
from vsmmu.machine.drivers import is_vfio
from vsmmu.machine.topology import Topology
from vsmmu.plan.numbers import Names, chassis_numbers
from vsmmu.policy.resolver import resolve_vsmmu
from vsmmu.qemu.board import with_globals
from vsmmu.qemu.settings import is_accelerated
from vsmmu.smmuv3.properties import AUTO

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vsmmu.diagnostic import Change, Diagnostic
    from vsmmu.host.facts import Host
    from vsmmu.machine.bus_numbers import Range
    from vsmmu.machine.domain.iommu import Iommu
    from vsmmu.machine.model import Device, Machine
    from vsmmu.machine.topology import Bus
    from vsmmu.machine.vm import Vm
    from vsmmu.policy.options import Options
    from vsmmu.policy.result import PropertyResolution
    from vsmmu.qemu.versions import Qemu
    from vsmmu.smmuv3.properties import Property

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

    @cached_property
    def chassis(self) -> Iterator[int]:
        """Chassis numbers that are still free, each given once."""
        return chassis_numbers(self.machine)

    @cached_property
    def bus_ranges(self) -> dict[int, Range]:
        """The bus numbers of each root complex."""
        return bus_ranges(self.machine, self.topology)

    @cached_property
    def bus_ranges_given(self) -> list[Range]:
        """The bus numbers that mends of other faults give; to be added to."""
        return []

    @cached_property
    def _by_name(self) -> dict[str, Device]:
        found: dict[str, Device] = {}
        for device in self.machine.devices:
            for name in (device.id, device.name):
                found.setdefault(name, device)
        return found

    @cached_property
    def _vsmmu_on(self) -> dict[int, Device]:
        """By the maker of a root complex: its first vSMMU."""
        found: dict[int, Device] = {}
        for vsmmu in self.machine.vsmmus:
            if (bus := self.bus_of(vsmmu)) is not None:
                found.setdefault(bus.root_owner, vsmmu)
        return found

    def device(self, name: str) -> Device | None:
        """The device that a diagnosis names."""
        return self._by_name.get(name)

    def vsmmu_of(self, device: Device) -> Device | None:
        """The vSMMU on the root complex of a device, wherever it stands."""
        bus = self.topology.bus_of(device)
        return None if bus is None else self._vsmmu_on.get(bus.root_owner)

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

    @cached_property
    def _iommus(self) -> dict[str, tuple[int, Iommu]]:
        """By the line of its element, or of what is in it: an ``<iommu>`` and the number of its device."""
        found: dict[str, tuple[int, Iommu]] = {}
        domain = self.vm.domain
        for number, iommu in domain.reading.pluggable.items() if domain is not None else ():
            for element in (iommu.element, iommu.driver):
                if element is not None:
                    found.setdefault(f"line {element.line}", (number, iommu))
        return found

    def iommu_at(self, place: str) -> tuple[int, Iommu] | None:
        """The ``<iommu>`` at which a diagnosis of a domain stands, and the number of its device."""
        return self._iommus.get(place.partition(" <")[0])

    @cached_property
    def _chosen(self) -> dict[tuple[int, str], PropertyResolution | None]:
        return {}

    def chosen(self, vsmmu: Device, row: Property) -> PropertyResolution | None:
        """What ``resolve`` would choose for a property of a vSMMU that nobody had written."""
        key = vsmmu.number, row.option
        if key not in self._chosen:
            alone = self.machine._replace(devices=(vsmmu,))
            freed = Edit(vsmmu.number, row.option, AUTO if row.takes_auto else None)
            (free,) = alone.edited([freed]).devices
            found = resolve_vsmmu(free, self.machine, self.host, self.qemu, self.options, self.topology)
            self._chosen[key] = next((entry for entry in found or () if entry.name == row.option), None)
        return self._chosen[key]

    @cached_property
    def new_iommufd(self) -> str:
        """The iommufd object for a VM without one: where others name one that is not there, that is it."""
        named = [other.text("iommufd") for other in self.machine.devices if other.text("iommufd")]
        return named[0] if named else self.names.take("iommufd", 0)

    @cached_property
    def _iommufds(self) -> dict[str, None]:
        return {entry.id: None for entry in self.machine.objects if entry.qom_type == "iommufd"}

    @cached_property
    def _iommufd_behind(self) -> dict[int, str]:
        return {}

    def iommufd_of(self, vsmmu: Device | None) -> str:
        """The iommufd object that functions behind a vSMMU use, else the first; empty without one."""
        first = next(iter(self._iommufds), "")
        if vsmmu is None:
            return first
        if vsmmu.number not in self._iommufd_behind:
            used = (other.text("iommufd") for other in self.functions_behind(vsmmu))
            name = next((text for text in used if text in self._iommufds), first)
            self._iommufd_behind[vsmmu.number] = name
        return self._iommufd_behind[vsmmu.number]

    def maker_of(self, name: str) -> Device | None:
        """The bridge that makes the bus called ``name``, wherever it stands."""
        found = self._by_name.get(name)
        return found if found is not None and found.id == name else None


class VmFault(NamedTuple):
    """A diagnosis of a VM."""

    found: Diagnostic
    setting: VmOnHost

    @property
    def device(self) -> Device | None:
        """The device that the diagnosis names; None if it is about the machine."""
        return self.setting.device(self.found.where)

    @property
    def bus(self) -> Bus | None:
        """The bus of that device."""
        device = self.device
        return None if device is None else self.setting.topology.bus_of(device)

    def iommufd(self, device: Device) -> tuple[Change, ...]:
        """What lets a function use iommufd: the object of its neighbours, else the first, else a new one."""
        setting = self.setting
        name = setting.iommufd_of(setting.vsmmu_of(device))
        new: tuple[Change, ...] = ()
        if not name:
            name = setting.new_iommufd
            new = (Insertion("object", {"qom-type": "iommufd", "id": name}, device.number),)
        return (*new, Edit(device.number, "iommufd", name))


def on_bus(device: Device, bus: str) -> Iterator[Edit]:
    """What puts a device on a bus; QEMU chooses the slot there."""
    yield Edit(device.number, "bus", bus)
    if "addr" in device.properties:
        yield Edit(device.number, "addr", None)
