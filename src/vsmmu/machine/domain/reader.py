# SPDX-License-Identifier: Apache-2.0
"""From a domain to the :class:`~vsmmu.machine.model.Machine` that libvirt 12.8 would start.

Devices come in the order in which libvirt puts them on QEMU's command line: PCI controllers by index, the
other controllers, SMMUs, emulated devices, host devices, the rest. What libvirt drops or merges is dropped
and merged here; what it misreads because of a spelling is read as it is meant (:mod:`.lint` reports it).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from vsmmu.machine.domain import emulated
from vsmmu.machine.domain.controllers import Address, Controller, address_of, alias_of
from vsmmu.machine.domain.controllers import read_controllers as read_pci
from vsmmu.machine.domain.implied import implied_elements
from vsmmu.machine.domain.iommu import Iommu, read_iommu
from vsmmu.machine.domain.numbers import integer, number
from vsmmu.machine.domain.placement import PCI, PCIE, GuestPlacement, Wanted, place, placed
from vsmmu.machine.domain.surroundings import beside_schema, hole_of, initiators
from vsmmu.machine.limits import MAX_DEVICES, refuse_over
from vsmmu.machine.model import (
    VSMMU_DRIVER,
    WINDOW_OPTION,
    Device,
    JsonValue,
    Machine,
    MachineObject,
    Origin,
)
from vsmmu.machine.topology import ROOT_BUS
from vsmmu.named_tuple import NamedTuple
from vsmmu.smmuv3.properties import PROPERTIES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from vsmmu.machine.domain.elements import Element

__all__ = ["DomainReading", "HostDevice", "read_domain"]

IOMMUFD: Final = "iommufd0"
_DEFAULT_MACHINES: Final = {"x86_64": "pc", "i686": "pc"}
#: The parts of one USB 2 controller share a slot.
_USB_FUNCTIONS: Final = {"ich9-ehci1": 7, "ich9-uhci1": 0, "ich9-uhci2": 1, "ich9-uhci3": 2}
#: ``-cpu`` by the mode of ``<cpu>``; else the model counts.
_CPUS: Final = {"host-passthrough": "host", "host-model": "host", "maximum": "max"}
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

    @property
    def given(self) -> bool:
        """Whether the guest gets it: it is a PCI function or mediated device, and not ``unassigned``."""
        return bool(self.source or self.mdev) and self.element.value("address", "type") != "unassigned"


class DomainReading(NamedTuple):
    """A domain read once.

    :param pluggable: device number -> the ``<iommu>`` that became this ``arm-smmuv3``.
    :param elements: device number -> its element, for every device.
    :param controllers: by index; those that libvirt adds have elements that are not in the text.
    :param unplaced: offsets of the elements for which libvirt has yet to choose a PCI address, by rules that
        are not known here.
    """

    root: Element
    machine: Machine
    controllers: Mapping[int, Controller]
    iommus: tuple[Iommu, ...]
    hostdevs: tuple[HostDevice, ...]
    pluggable: Mapping[int, Iommu]
    elements: Mapping[int, Element]
    unplaced: frozenset[int]


def read_domain(root: Element) -> DomainReading:
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
        here = root if devices is None else devices
        # What libvirt adds and places on x86 follows the chipsets there, which are not known here.
        self.arm = root.value("os/type", "arch") in ("", "aarch64")
        if self.arm:
            for element in list(implied_elements(self.kinds, here.line)):
                self.kinds.setdefault(element.name, []).append(element)
        self.kinds.get("disk", []).sort(key=emulated.disk_number)
        self.controllers = read = read_pci(self.kinds.get("controller", ()))
        self.iommus = tuple(read_iommu(element) for element in self.kinds.get("iommu", ()))
        self.hostdevs = tuple(_read_hostdevs(self.kinds, root.value("iommufd", "enabled") == "yes"))
        self.devices: list[Device] = []
        self.elements: dict[int, Element] = {}
        self.pluggable: dict[int, Iommu] = {}
        self.unplaced: set[int] = set()
        self.counts: dict[str, int] = {}
        self.overrides, self.doubts = beside_schema(root)
        self.placement = self.placed_devices()
        self.controllers = placed(read, self.placement, here)
        self.shared = self.shared_slots()

    def placed_devices(self) -> GuestPlacement:
        """The PCI controllers that libvirt adds, and its places for what has none."""
        if not self.arm:
            return GuestPlacement({}, {})
        models = {0: "pcie-root", **{index: entry.model for index, entry in self.controllers.items()}}
        ports = {
            index: Wanted(entry.element.start, entry.model, entry.address)
            for index, entry in self.controllers.items()
            if entry.driver
        }
        return place(models, ports, list(self.on_buses()))

    def on_buses(self) -> Iterator[Wanted]:
        """All devices on PCI buses but PCI controllers, in the order in which libvirt places them."""
        for kind in emulated.PLACED:
            if kind == "hostdev":
                for hostdev in self.hostdevs:
                    if hostdev.given:
                        yield Wanted(hostdev.element.start, PCIE, hostdev.address)
            elif kind == "iommu":
                for iommu in self.iommus:
                    if iommu.model == "virtio":
                        element = iommu.element
                        yield Wanted(element.start, PCIE, address_of(element), integrated=True)
            else:
                elements = self.kinds.get(kind, [])
                for element in self.by_index(elements) if kind == "controller" else elements:
                    device = emulated.emulated_device(element)
                    if device is not None:
                        yield _wanted(element, device)

    @staticmethod
    def by_index(controllers: Iterable[Element]) -> list[Element]:
        """Controllers as libvirt keeps them: kinds as they first come up, by index, a USB master first."""
        kinds: dict[str, list[Element]] = {}
        for element in controllers:
            kinds.setdefault(element.get("type"), []).append(element)
        return [
            element
            for kind in kinds.values()
            for element in sorted(
                kind, key=lambda entry: (number(entry, "index") or 0, entry.find("master") is not None)
            )
        ]

    def shared_slots(self) -> set[tuple[int, int]]:
        """Bus and slot of every device that is not function 0: there libvirt sets ``multifunction``."""
        written = [address_of(element) for kind in self.kinds.values() for element in kind]
        every = [*written, *self.placement.places.values()]
        return {(entry.bus, entry.slot) for entry in every if entry is not None and entry.function}

    def read(self) -> DomainReading:
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
        return DomainReading(
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
        if name in self.overrides:
            changed = {**properties, **self.overrides[name]}
            properties = {key: value for key, value in changed.items() if value is not None}
        written: dict[str, JsonValue] = {"driver": driver, "id": name, **properties}
        option = f"-device {msgspec.json.encode(written).decode()}"
        origin = Origin(option, f"line {element.line}")
        self.devices.append(Device(at, driver, name, properties, "json", origin))
        self.elements[at] = element
        return at

    def place(self, element: Element, address: Address | None) -> dict[str, JsonValue]:
        """``bus`` and ``addr``; an address that libvirt has yet to choose is taken to be on the root."""
        address = address or self.placement.places.get(element.start)
        if address is None:
            self.unplaced.add(element.start)
            return {"bus": self.bus(0)}
        written = element.value("address", "multifunction")
        shared = address.function == 0 and (address.bus, address.slot) in self.shared
        several = written == "on" or (not written and shared)
        more: dict[str, JsonValue] = {"multifunction": True} if several else {}
        return {"bus": self.bus(address.bus), **more, "addr": address.addr}

    def bus(self, index: int) -> str:
        controller = self.controllers.get(index)
        if controller is not None:
            return controller.name
        return ROOT_BUS if index == 0 else f"pci.{index}"

    def other_controllers(self) -> None:
        found = self.by_index(self.kinds.get("controller", []))
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
        if device.alias == "virtio-disk":
            label = str(emulated.disk_number(element))
        more: dict[str, JsonValue] = {}
        if element.name == "controller":
            index = number(element, "index")
            label = label if index is None else str(index)
            if (device.alias, label) == ("usb", "0"):
                label = ""
        name = alias_of(element, f"{device.alias}{label}" if device.alias else "")
        companion = element.find("master")
        if device.alias == "usb" and companion is not None:
            # Only the master has an id, of which its companions' ports are part.
            more = {"masterbus": f"{name}.0", "firstport": number(companion, "startport") or 0}
            name = ""
        self.add(device.driver, name, {**more, **self.place(element, address_of(element))}, element)

    def iommu(self, iommu: Iommu, index: int) -> None:
        """Add the device; libvirt makes one only of an SMMUv3 with pciBus."""
        if iommu.model == "virtio":
            element = iommu.element
            self.add("virtio-iommu", f"iommu{index}", self.place(element, address_of(element)), element)
        if not (iommu.is_smmuv3 and iommu.pci_bus):
            return
        settings = iommu.settings
        wanted = integer("pciBus", iommu.pci_bus)
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
        if not hostdev.given:
            return
        properties: dict[str, JsonValue] = {}
        if hostdev.mdev:
            properties["sysfsdev"] = f"/sys/bus/mdev/devices/{hostdev.mdev}"
        else:
            properties["host"] = hostdev.source
        if hostdev.iommufd:
            properties["iommufd"] = IOMMUFD
        place = self.place(hostdev.element, hostdev.address)
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
            accels=(),
            firmware=_firmware(root),
            default_nic=False,
            only_migratable=False,
            objects=(
                *((MachineObject("iommufd", IOMMUFD, {}, here),) if uses else ()),
                *initiators((entry.id, entry.element) for entry in self.hostdevs if entry.given),
            ),
            globals=(),
            devices=tuple(self.devices),
            numa_nodes=len(list(root.all("cpu/numa/cell"))),
            cpu=self.cpu() if accelerator == "kvm" else "",  # without KVM libvirt itself judges it
            smp={"cpus": root.value("vcpu")},
            plain_memory=root.find("memoryBacking/hugepages") is None,
            unread=self.doubts,
        )

    def cpu(self) -> str:
        return _CPUS.get(self.root.value("cpu", "mode"), self.root.value("cpu/model"))

    def machine_options(self) -> dict[str, str]:
        options = {"acpi": "on" if self.root.find("features/acpi") is not None else "off"}
        version = self.root.value("features/gic", "version")
        if version:
            options["gic-version"] = version
        if self.root.value("features/mte", "state") == "on":
            options["mte"] = "on"
        window = hole_of(self.root)
        if window:
            options[WINDOW_OPTION] = window
        if any(entry.is_smmuv3 and not entry.pci_bus for entry in self.iommus[:1]):
            options["iommu"] = "smmuv3"
        return options


def _wanted(element: Element, device: emulated.Emulated) -> Wanted:
    """What an emulated device needs of a bus."""
    connector = PCIE if device.express else PCI
    function = _USB_FUNCTIONS.get(element.get("model")) if device.alias == "usb" else None
    together = f"usb {element.get('index')}" if function is not None else ""
    integrated = element.name == "panic"
    return Wanted(element.start, connector, address_of(element), function, together, integrated)


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
    domain, bus, slot, function = (
        number(source, name) or 0 for name in ("domain", "bus", "slot", "function")
    )
    return f"{domain:04x}:{bus:02x}:{slot:02x}.{function:x}"
