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
#: How the types of devices begin -> their bus, and how the types of its controllers begin or end.
_CONTROLLERS: Final = {
    "usb-": (
        "usb-bus",
        ("qemu-xhci", "nec-usb-", "usb-ehci", "ich9-usb-", "piix3-usb", "piix4-usb", "sysbus-"),
    ),
    "scsi-": ("SCSI", ("virtio-scsi", "vhost-scsi", "megasas", "lsi", "mptsas", "pvscsi", "am53c974", "dc390",
                       "usb-bot", "usb-uas")),
    "virtserialport": ("virtio-serial-bus", ("virtio-serial",)),
    "virtconsole": ("virtio-serial-bus", ("virtio-serial",)),
    "hda-": ("HDA", ("intel-hda", "ich9-intel-hda")),
    "ide-": ("IDE", ("ahci", "piix", "cmd646", "via-ide", "sii3112")),
}  # fmt: skip
#: Controllers with more buses than one: a disk each [measured].
_SEVERAL: Final = {"ahci": 6, "cmd646": 2, "piix": 2, "via-ide": 2, "sii3112": 2}
_SYSTEM_BUS: Final = "main-system-bus"
#: A bus that its device names after itself (``ID.0``), or QEMU after its type (``usb-bus.0``).
_NAMED: Final = rf"(.+)\.{_NUMBER}"
_TYPES: Final = frozenset(
    "usb-bus scsi ide virtio-serial-bus virtio-bus virtio-mmio-bus hda i2c-bus ssi sd-bus ufs-bus ccid-bus "
    "nvme-bus".split()
)


def bus_refusal(device: Device, machine: Machine, topology: Topology) -> Refusal | None:
    """Why a device that is no PCI device has no bus, or cannot go where its ``bus`` says."""
    name = device.properties.get("bus")
    if name is None:
        return _no_bus(device, machine)
    if not isinstance(name, str) or isinstance(name, Unread) or "/" in name:
        return None
    kind = _pci_bus(device, name, machine, topology)
    if kind:
        return Refusal("qemu-wrong-bus", {"value": kind.upper() if "-" not in kind else kind})
    if name == _SYSTEM_BUS:
        return None
    match = re.fullmatch(_NAMED, name)
    maker = match[1] if match else ""
    if match is None:
        return Refusal("qemu-no-bus", {"value": name})
    if maker in _TYPES:
        most = _nameless_buses(maker, device, machine)
        return Refusal("qemu-no-bus", {"value": name}) if int(match[2]) >= most else None
    makers = [entry.driver for entry in machine.devices[: device.number] if entry.id == maker]
    buses = _buses_of(makers[0]) if makers else None
    if not makers or (buses is not None and int(match[2]) >= buses[1]):
        return Refusal("qemu-no-bus", {"value": name})
    own = next((kind for start, (kind, _) in _CONTROLLERS.items() if device.driver.startswith(start)), "")
    if buses is not None and own and own != buses[0]:
        return Refusal("qemu-wrong-bus", {"value": buses[0]})
    return None


def _nameless_buses(type_name: str, device: Device, machine: Machine) -> int:
    """How many buses of a type QEMU may have named by itself: those of controllers without an id."""
    if machine.backends is None or type_name not in {kind.lower() for kind, _ in _CONTROLLERS.values()}:
        return 1 << 32
    before = [entry.driver for entry in machine.devices[: device.number] if not entry.id]
    made = [found for driver in before if (found := _buses_of(driver)) is not None]
    own = int(read_bool(machine.machine_options.get("usb")) is True)
    return own + sum(count for kind, count in made if kind.lower() == type_name)


def _buses_of(controller: str) -> tuple[str, int] | None:
    """The kind of a controller's buses and how many it has; None if it is not known here."""
    for kind, makers in _CONTROLLERS.values():
        if controller.startswith(makers):
            return kind, next((most for start, most in _SEVERAL.items() if controller.startswith(start)), 1)
    return None


def _pci_bus(device: Device, name: str, machine: Machine, topology: Topology) -> str:
    """The kind of the PCI bus of a name; empty if it is none."""
    pci = topology.bus_of(device)
    if pci is not None:
        return "pcie" if pci.owner < 0 else BRIDGES[machine.devices[pci.owner].driver]
    # An arm-smmuv3 is attached to a bus, but sits on none.
    makers = [entry.driver for entry in machine.devices[: device.number] if entry.id == name]
    return "pcie" if name == ROOT_BUS else next((BRIDGES[maker] for maker in makers if maker in BRIDGES), "")


def _no_bus(device: Device, machine: Machine) -> Refusal | None:
    for start, (kind, makers) in _CONTROLLERS.items():
        if device.driver.startswith(start):
            before = [entry.driver for entry in machine.devices[: device.number]]
            if any(driver.startswith(makers) or driver.endswith(makers) for driver in before):
                return None
            return None if machine.backends is None else Refusal("qemu-no-such-bus", {"value": kind})
    return None


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
