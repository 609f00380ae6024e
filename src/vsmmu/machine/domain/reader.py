# SPDX-License-Identifier: Apache-2.0
"""From a domain to the :class:`~vsmmu.machine.model.Machine` that libvirt 12.8 would start.

Devices come in the order in which libvirt puts them on QEMU's command line: PCI controllers by index, the
other controllers, SMMUs, emulated devices, host devices, the rest. What libvirt drops or merges is dropped
and merged here; what it misreads because of a spelling is read as it is meant (:mod:`.lint` reports it).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from vsmmu.machine.domain import emulated
from vsmmu.machine.domain.controllers import ROOT_PORT, Address, Controller, address_of, alias_of, number
from vsmmu.machine.domain.controllers import read_controllers as read_pci
from vsmmu.machine.domain.iommu import Iommu, read_iommu
from vsmmu.machine.limits import MAX_DEVICES, refuse_over
from vsmmu.machine.model import VSMMU_DRIVER, Device, JsonValue, Machine, MachineObject, Origin
from vsmmu.machine.topology import ROOT_BUS
from vsmmu.smmuv3.properties import PROPERTIES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from vsmmu.machine.domain.elements import Element

__all__ = ["HostDevice", "Reading", "read_domain"]

IOMMUFD: Final = "iommufd0"
_DEFAULT_MACHINES: Final = {"x86_64": "pc", "i686": "pc"}
_ACCELERATORS: Final = {"kvm": "kvm", "qemu": "tcg", "hvf": "hvf", "xen": "xen"}


class HostDevice(NamedTuple):
    """A function of the host that is handed to the guest.

    :param source: its host address as libvirt's attributes give it, ``dddd:bb:dd.f``; empty for another
        kind of source.
    :param mdev: the UUID of a mediated device.
    :param iommufd: whether it is opened through /dev/iommu.
    """

    element: Element
    id: str
    source: str
    mdev: str
    iommufd: bool
    address: Address | None


class Reading(NamedTuple):
    """A domain read once.

    :param pluggable: device number -> the ``<iommu>`` that became this ``arm-smmuv3``.
    :param elements: device number -> its element, for every device.
    :param unplaced: offsets of the elements for which libvirt has yet to choose a PCI address.
    """

    root: Element
    machine: Machine
    controllers: Mapping[int, Controller]
    iommus: tuple[Iommu, ...]
    hostdevs: tuple[HostDevice, ...]
    pluggable: Mapping[int, Iommu]
    elements: Mapping[int, Element]
    unplaced: frozenset[int]


def read_domain(root: Element) -> Reading:
    """Read a domain.

    :raise InputRefused: ``domain-address``, ``domain-controller``: what libvirt would refuse to parse;
        ``input-too-large``: more devices than vsmmu reads.
    """
    return _Reader(root).read()


class _Reader:
    """Collects devices in libvirt's order."""

    def __init__(self, root: Element) -> None:
        self.root = root
        devices = root.find("devices")
        self.kinds: dict[str, list[Element]] = {}
        for element in devices.children if devices is not None else ():
            self.kinds.setdefault(element.name, []).append(element)
        self.controllers = read_pci(self.kinds.get("controller", ()))
        self.iommus = tuple(read_iommu(element) for element in self.kinds.get("iommu", ()))
        self.hostdevs = tuple(_read_hostdevs(self.kinds, root.value("iommufd", "enabled") == "yes"))
        self.devices: list[Device] = []
        self.elements: dict[int, Element] = {}
        self.pluggable: dict[int, Iommu] = {}
        self.unplaced: set[int] = set()
        self.counts: dict[str, int] = {}
        taken = {
            address.bus
            for kind in self.kinds.values()
            for element in kind
            if (address := address_of(element)) is not None
        }
        # Where libvirt puts host devices without address: root ports with nothing behind, the first first.
        self.free_ports = (
            Address(index, 0, 0)
            for index, controller in self.controllers.items()
            if controller.model == ROOT_PORT and index not in taken
        )

    def read(self) -> Reading:
        for controller in self.controllers.values():
            if controller.driver:
                element, place = controller.element, self.place(controller.element, controller.address)
                self.add(controller.driver, controller.name, {**controller.properties, **place}, element)
        self.other_controllers()
        for number_, iommu in enumerate(self.iommus):
            self.iommu(iommu, number_)
        self.emulated(emulated.BEFORE_HOSTDEVS)
        for hostdev in self.hostdevs:
            self.hostdev(hostdev)
        self.emulated(emulated.AFTER_HOSTDEVS)
        refuse_over(len(self.devices), MAX_DEVICES, "devices", f"line {self.root.line}")
        return Reading(
            self.root,
            self.machine(),
            self.controllers,
            self.iommus,
            self.hostdevs,
            self.pluggable,
            self.elements,
            frozenset(self.unplaced),
        )

    def add(self, driver: str, name: str, properties: dict[str, JsonValue], element: Element) -> int:
        at = len(self.devices)
        written: dict[str, JsonValue] = {"driver": driver, "id": name, **properties}
        option = f"-device {msgspec.json.encode(written).decode()}"
        origin = Origin(option, f"line {element.line}")
        self.devices.append(Device(at, driver, name, properties, "json", origin))
        self.elements[at] = element
        return at

    def place(self, element: Element, address: Address | None) -> dict[str, JsonValue]:
        """``bus`` and ``addr``; an address that libvirt has yet to choose is taken to be on the root."""
        if address is None:
            self.unplaced.add(element.start)
            return {"bus": self.bus(0)}
        several = element.value("address", "multifunction") == "on"
        more: dict[str, JsonValue] = {"multifunction": True} if several else {}
        return {"bus": self.bus(address.bus), **more, "addr": address.addr}

    def bus(self, index: int) -> str:
        controller = self.controllers.get(index)
        if controller is not None:
            return controller.name
        return ROOT_BUS if index == 0 else f"pci.{index}"

    def other_controllers(self) -> None:
        found = self.kinds.get("controller", [])
        for kind in emulated.CONTROLLERS:
            for element in found:
                if element.get("type") == kind:
                    self.endpoint(element)

    def emulated(self, kinds: Iterable[str]) -> None:
        for kind in kinds:
            for element in self.kinds.get(kind, ()):
                self.endpoint(element)

    def endpoint(self, element: Element) -> None:
        device = emulated.emulated_device(element)
        if device is None:
            return
        count = self.counts.get(device.alias, 0)
        self.counts[device.alias] = count + 1
        label = str(count)
        if element.name == "controller":
            label = element.get("index", label)
            if (device.alias, label) == ("usb", "0"):
                label = ""
        name = alias_of(element, f"{device.alias}{label}" if device.alias else "")
        self.add(device.driver, name, self.place(element, address_of(element)), element)

    def iommu(self, iommu: Iommu, index: int) -> None:
        """Add the device; libvirt makes one only of an SMMUv3 with pciBus."""
        if iommu.model == "virtio":
            element = iommu.element
            self.add("virtio-iommu", f"iommu{index}", self.place(element, address_of(element)), element)
        if not (iommu.is_smmuv3 and iommu.pci_bus):
            return
        settings = iommu.settings
        wanted = number(iommu.pci_bus)
        properties: dict[str, JsonValue] = {
            "primary-bus": self.bus(wanted) if wanted is not None else iommu.pci_bus
        }
        if "accel" in settings:
            accel = settings["accel"]
            properties["accel"] = accel == "on" if accel in ("on", "off") else accel
        for name in PROPERTIES:
            if name in settings:
                properties[name] = settings[name]
        element = iommu.driver or iommu.element
        at = self.add(VSMMU_DRIVER, alias_of(iommu.element, f"iommu{index}"), properties, element)
        self.pluggable[at] = iommu

    def hostdev(self, hostdev: HostDevice) -> None:
        if not hostdev.source and not hostdev.mdev:
            return
        properties: dict[str, JsonValue] = {}
        if hostdev.mdev:
            properties["sysfsdev"] = f"/sys/bus/mdev/devices/{hostdev.mdev}"
        else:
            properties["host"] = hostdev.source
        if hostdev.iommufd:
            properties["iommufd"] = IOMMUFD
        if hostdev.address is None:
            self.unplaced.add(hostdev.element.start)
        port = hostdev.address or next(self.free_ports, None)
        place = self.place(hostdev.element, port) if port is not None else {"bus": self.bus(0)}
        self.add("vfio-pci", hostdev.id, {**properties, **place}, hostdev.element)

    def machine(self) -> Machine:
        root = self.root
        kind = root.find("os/type")
        arch = kind.get("arch") if kind is not None else ""
        accelerator = _ACCELERATORS.get(root.get("type"), root.get("type"))
        uses = any(entry.iommufd for entry in self.hostdevs)
        here = Origin('-object {"qom-type":"iommufd","id":"iommufd0"}', f"line {root.line}")
        return Machine(
            program=root.value("devices/emulator") or f"qemu-system-{arch or 'aarch64'}",
            machine_type=(kind.get("machine") if kind is not None else "")
            or _DEFAULT_MACHINES.get(arch, "virt"),
            machine_options=self.machine_options(),
            accelerators=(accelerator,),
            accelerator_options={},
            firmware=_firmware(root),
            default_nic=False,
            only_migratable=False,
            objects=(MachineObject("iommufd", IOMMUFD, {}, here),) if uses else (),
            globals=(),
            devices=tuple(self.devices),
            numa_nodes=len(list(root.all("cpu/numa/cell"))),
        )

    def machine_options(self) -> dict[str, str]:
        options = {"acpi": "on" if self.root.find("features/acpi") is not None else "off"}
        version = self.root.value("features/gic", "version")
        if version:
            options["gic-version"] = version
        if any(entry.is_smmuv3 and not entry.pci_bus for entry in self.iommus[:1]):
            options["iommu"] = "smmuv3"
        return options


def _firmware(root: Element) -> str:
    found = root.find("os")
    if found is None:
        return ""
    return found.value("loader") or found.get("firmware")


def _read_hostdevs(kinds: Mapping[str, list[Element]], by_default: bool) -> Iterator[HostDevice]:
    """Interfaces first, as libvirt numbers them; only PCI functions and mediated devices matter."""
    interfaces = [entry for entry in kinds.get("interface", ()) if entry.get("type") == "hostdev"]
    for count, element in enumerate((*interfaces, *kinds.get("hostdev", ()))):
        kind = element.get("type")
        source = element.find("source/address")
        pci = source is not None and (
            kind == "pci" or (element.name == "interface" and source.get("type") == "pci")
        )
        driver = element.value("driver", "iommufd")
        yield HostDevice(
            element,
            alias_of(element, f"hostdev{count}"),
            _host_address(source) if pci and source is not None else "",
            source.get("uuid") if kind == "mdev" and source is not None else "",
            driver == "yes" if driver else by_default,
            address_of(element),
        )


def _host_address(source: Element) -> str:
    parts = [number(source.get(name, "0")) for name in ("domain", "bus", "slot", "function")]
    if any(part is None for part in parts):
        return ""
    domain, bus, slot, function = (part or 0 for part in parts)
    return f"{domain:04x}:{bus:02x}:{slot:02x}.{function:x}"
