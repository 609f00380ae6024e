# SPDX-License-Identifier: Apache-2.0
"""References of a device to what is made before it: buses of its own kind, backends and objects, by name.

Source: qdev_device_add_from_qdict(), hw/core/qdev-properties-system.c, object_resolve_path_type(); texts
measured with 11.1.3. A name is refused only where nothing of this VM can have it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from vsmmu.machine.drivers import BRIDGES, is_vfio
from vsmmu.machine.model import SHARED, TAKEN, VSMMU_DRIVER, Unread
from vsmmu.machine.topology import ROOT_BUS
from vsmmu.qemu import known_names
from vsmmu.qemu.findings import Refusal
from vsmmu.qemu.names import NameFault, nearest
from vsmmu.qemu.settings import read_bool
from vsmmu.qemu.values import setter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vsmmu.machine.model import Device, Machine
    from vsmmu.machine.topology import Topology
    from vsmmu.qemu.versions import Qemu

__all__ = ["backend_faults", "bus_refusal"]

#: Names that QEMU gives to drives without one, and to character devices of other options.
_NUMBER: Final = r"(0|[1-9][0-9]*)"
_GIVEN: Final = (  # compiled when met, as below
    rf"((none|virtio|pflash|sd|mtd|floppy|(ide|scsi){_NUMBER}-(hd|cd)|serial|parallel|debugcon|compat_monitor)"
    rf"|hub{_NUMBER}port){_NUMBER}"
)
#: Property -> what QEMU says when the name is not there; the rest say that they cannot find the value.
_TEXTS: Final = {
    "fsdev": "9pfs device couldn't find fsdev with the id = {value}",
    "audiodev": "audiodev '{value}' not found",
}
#: Type of a link -> how the types of the objects begin that it takes.
_OBJECTS: Final = {
    "iommufd": "iommufd",
    "iothread": "iothread",
    "memory-backend": "memory-backend-",
    "rng-backend": "rng-",
    "cryptodev-backend": "cryptodev-",
    "can-bus": "can-bus",
}
#: Types of links to devices that are made before.
_DEVICES: Final = frozenset({"nvme-subsys"})
#: Links of an arm-smmuv3 to memory regions, which have names that the VM does not say.
_REGIONS: Final = frozenset({"memory", "secure-memory"})
#: Kind of a bus that no virt board has -> the types of devices that make one; nobody may make it.
_CONTROLLERS: Final = {
    "HDA": "(ich9-)?intel-hda",
    "IDE": "(ich9-)?ahci|(piix[34]|cmd646|via)-ide|sii3112",
    "IndustryPack": "tpci200",
    "SCSI": "(virtio-scsi|vhost-(user-)?scsi|megasas|lsi|mptsas|pvscsi|am53c974|dc390|usb-bot|usb-uas).*",
    "SSI": "",
    "aux-bus": "",
    "ccid-bus": "usb-ccid",
    "fsi.bus": "",
    "fsi.lbus": "",
    "i2c-bus": "ati-vga",
    "i3c-bus": "",
    "nvme-bus": "nvme",
    "opb": "",
    "sd-bus": "sdhci-pci",
    "ufs-bus": "ufs",
    "usb-bus": "(qemu-xhci|nec-usb-|usb-ehci|ich9-usb-|piix[34]-usb|sysbus-|pci-ohci).*",
    "virtio-serial-bus": "virtio-serial.*",
}
#: Controllers with more buses than one: a disk each [measured].
_SEVERAL: Final = {"ahci": 6, "cmd646": 2, "piix": 2, "via-ide": 2, "sii3112": 2}
#: Controllers whose bus is not called ``ID.0`` -> what it is called.
_CALLED: Final = {"ati-vga": "ati-vga.ddc", "nvme": "{id}", "sdhci-pci": "sd-bus", "ufs": "{id}"}
_SYSTEM_BUS: Final = "main-system-bus"
#: A bus that its device names after itself (``ID.0``), or QEMU after its type (``usb-bus.0``).
_NAMED: Final = rf"(.+)\.{_NUMBER}"
_TYPES: Final = frozenset(
    "usb-bus scsi ide virtio-serial-bus virtio-bus virtio-mmio-bus hda i2c-bus ssi sd-bus ufs-bus ccid-bus "
    "nvme-bus".split()
)


def bus_refusal(device: Device, machine: Machine, topology: Topology, qemu: Qemu) -> Refusal | None:
    """Why a device that is no PCI device has no bus, or cannot go where its ``bus`` says."""
    name = device.properties.get("bus")
    if name is None:
        return _no_bus(device, machine, qemu)
    if not isinstance(name, str) or isinstance(name, Unread) or "/" in name:
        return None
    pci = _pci_bus(device, name, machine, topology)
    if pci:
        return Refusal("qemu-wrong-bus", {"value": pci.upper() if "-" not in pci else pci})
    if name == _SYSTEM_BUS:
        return None
    kind, own = _kind_of_bus_called(name, device, machine), _kind_of_bus(device.driver, qemu)
    if kind is None:
        return Refusal("qemu-no-bus", {"value": name})
    return Refusal("qemu-wrong-bus", {"value": kind}) if kind and own and own != kind else None


def _kind_of_bus_called(name: str, device: Device, machine: Machine) -> str | None:
    """The kind of a bus in front of a device, empty where it is not known; None if there is no such bus."""
    before = machine.devices[: device.number]
    for maker in before:
        if name and name == _CALLED.get(maker.driver, "").format(id=maker.id):
            return (_buses_of(maker.driver) or ("", 1))[0]
    match = re.fullmatch(_NAMED, name)
    if match is None:
        return None
    if match[1] in _TYPES:
        return "" if int(match[2]) < _nameless_buses(match[1], device, machine) else None
    driver = next((entry.driver for entry in before if entry.id == match[1]), "")
    kind, count = _buses_of(driver) or ("", 1 << 32)
    return kind if driver and driver not in _CALLED and int(match[2]) < count else None


def _nameless_buses(type_name: str, device: Device, machine: Machine) -> int:
    """How many buses of a type QEMU may have named by itself: those of controllers without an id."""
    if machine.backends is None or type_name not in {kind.lower() for kind in _CONTROLLERS}:
        return 1 << 32
    before = [entry.driver for entry in machine.devices[: device.number] if not entry.id]
    before = [driver for driver in before if "{id}" in _CALLED.get(driver, "{id}")]
    made = [found for driver in before if (found := _buses_of(driver)) is not None]
    own = int(read_bool(machine.machine_options.get("usb")) is True)
    return own + sum(count for kind, count in made if kind.lower() == type_name)


def _buses_of(controller: str) -> tuple[str, int] | None:
    """The kind of a controller's buses and how many it has; None if it is not known here."""
    for kind, makers in _CONTROLLERS.items():
        if re.fullmatch(makers, controller):
            return kind, next((most for start, most in _SEVERAL.items() if controller.startswith(start)), 1)
    return None


def _kind_of_bus(driver: str, qemu: Qemu) -> str:
    """The kind of bus that a device goes on, of those that a controller has to make; empty for another."""
    if driver in known_names.DEVICES:
        return ""
    from vsmmu.qemu.device_tables import table  # whoever is not in the short list needs it anyway

    kind = table(qemu).device(driver)
    return kind.bus if kind is not None and kind.bus in _CONTROLLERS else ""


def _pci_bus(device: Device, name: str, machine: Machine, topology: Topology) -> str:
    """The kind of the PCI bus of a name; empty if it is none."""
    pci = topology.bus_of(device)
    if pci is not None:
        return "pcie" if pci.owner < 0 else BRIDGES[machine.devices[pci.owner].driver]
    # An arm-smmuv3 is attached to a bus, but sits on none.
    makers = [entry.driver for entry in machine.devices[: device.number] if entry.id == name]
    return "pcie" if name == ROOT_BUS else next((BRIDGES[maker] for maker in makers if maker in BRIDGES), "")


def _no_bus(device: Device, machine: Machine, qemu: Qemu) -> Refusal | None:
    kind = "" if machine.backends is None else _kind_of_bus(device.driver, qemu)
    makers = _CONTROLLERS.get(kind, ".*")
    if any(re.fullmatch(makers, entry.driver) for entry in machine.devices[: device.number]):
        return None
    return Refusal("qemu-no-such-bus", {"value": kind}) if kind else None


def backend_faults(device: Device, machine: Machine) -> Iterator[NameFault]:
    """Every name of a backend or an object that is not there, or that is another kind of thing."""
    if machine.backends is None:
        return  # not everything of this VM is said
    for name, value in device.properties.items():
        if not isinstance(value, str) or isinstance(value, Unread):
            continue
        if name in known_names.BACKENDS:
            if value or name != "chardev":
                yield from _backend(device, name, value, machine)
        elif name in known_names.LINKS and value:
            yield from _link(device, name, value, machine)
        elif device.driver == VSMMU_DRIVER and name in _REGIONS:
            yield NameFault("qemu-property-value", False, f"Device '{value}' not found")


def _backend(device: Device, name: str, value: str, machine: Machine) -> Iterator[NameFault]:
    known = (machine.backends or {}).get(name, frozenset())
    owner = setter(device.driver)
    yield from _in_use(device, name, value, machine)
    if value in known or re.fullmatch(_GIVEN, value):
        return
    if name == "drive" and not value:
        yield NameFault("qemu-property-value", True, "drive property not set")
        return
    text = _TEXTS.get(name, f"Property '{owner}.{name}' can't find value '{{value}}'").format(value=value)
    likely = nearest(value, known)
    made = "" if likely else f"make it first, as -{name} with this id, or correct the name"
    yield NameFault("qemu-property-value", True, text, likely, made)


def _in_use(device: Device, name: str, value: str, machine: Machine) -> Iterator[NameFault]:
    """A backend that another device, or an option, has already; blk_attach_dev(), qemu_chr_fe_init()."""
    backends = machine.backends or {}
    users = [entry for entry in machine.devices[: device.number] if entry.text(name) == value]
    taken = name == "chardev" and value in backends.get(TAKEN, ())
    if not value or not (users or taken):
        return
    shared = value in backends.get(SHARED, ())
    cannot = f"Property '{setter(device.driver)}.{name}' can't take value '{value}'"
    text = {
        "netdev": f"{cannot}, it's in use",
        "chardev": f"{cannot}: chardev '{value}' is already in use",
        "drive": f"Drive '{value}' is already in use by another device",
    }.get(name, "")
    if name == "drive" and shared:
        yield NameFault("qemu-property-value", False, f"Permission conflict on node '{value}'")
    elif text and not shared:
        own = f"give each device a {name} of its own"
        drives = {option.origin for option in machine.named if option.name == "drive"}
        implied = [entry.origin in drives for entry in (device, *users)]  # -hda and a mere word, too
        if name == "drive" and all(implied):
            return  # QEMU makes no second disk: it has refused the second drive in that place
        if name == "drive" and any(implied):
            text = (
                f"Drive '{value}' is already in use because it has been automatically connected to another "
                "device (did you need 'if=none' in the drive options?)"
            )
            own = "write -drive with if=none, or leave the -device out"
        yield NameFault("qemu-property-value", True, text, translation=own)


def _link(device: Device, name: str, value: str, machine: Machine) -> Iterator[NameFault]:
    bare = value.removeprefix("/objects/")
    wanted = known_names.LINKS[name]
    if "/" in bare:
        return
    if wanted in _DEVICES:
        if value not in {entry.id for entry in machine.devices[: device.number]}:
            yield NameFault("qemu-property-value", True, f"Device '{value}' not found")
        return
    found = next((entry for entry in machine.objects if entry.id == bare), None)
    if found is not None and found.qom_type.startswith(_OBJECTS[wanted]):
        return
    others = {entry.id for entry in machine.devices[: device.number]} if value == bare else set()
    if found is not None or bare in others:
        text = f"Invalid parameter type for '{name}', expected: {wanted}"
        yield NameFault("qemu-property-value", True, text)
    elif not is_vfio(device.driver):  # of those the model itself says it (qemu-no-object)
        made = [entry.id for entry in machine.objects if entry.qom_type.startswith(_OBJECTS[wanted])]
        likely = nearest(value, made)
        missing = "" if likely else f"add -object for {value}, a {wanted}, or correct the name"
        yield NameFault("qemu-property-value", True, f"Device '{value}' not found", likely, missing)
