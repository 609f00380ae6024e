# SPDX-License-Identifier: Apache-2.0
"""Emulated devices of a domain: the QEMU device of each element under ``<devices>``.

Names matter here for two reasons: an emulated endpoint behind an accelerated SMMU stops QEMU, and messages
should call it what libvirt calls it. Held against the command lines of libvirt 12.8.0 for ``virt-11.1``.
"""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from vsmmu.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from vsmmu.machine.domain.elements import Element

__all__ = [
    "AFTER_HOSTDEVS",
    "BEFORE_HOSTDEVS",
    "CONTROLLERS",
    "PLACED",
    "Emulated",
    "disk_bus",
    "disk_number",
    "emulated_device",
]


class Emulated(NamedTuple):
    """QEMU's driver, and the alias of its kind, to which libvirt adds a number; empty if there is none."""

    driver: str
    alias: str

    @property
    def express(self) -> bool:
        """Whether libvirt looks for a place for it among Express ports; else behind a bridge to PCI."""
        if self.driver.startswith(_VIRTIO):
            conventional = self.driver.startswith("virtio-crypto")
            return not conventional and not self.driver.endswith("-pci-transitional")
        return self.driver in _EXPRESS


#: The order in which libvirt puts kinds of controllers on the command line, behind the PCI ones.
CONTROLLERS: Final = ("usb", "fdc", "scsi", "ide", "sata", "virtio-serial", "ccid", "nvme")
#: The order of everything else: before the host devices, and behind them.
BEFORE_HOSTDEVS: Final = (
    "memory", "disk", "filesystem", "interface", "serial", "parallel", "console",
    "input", "video", "sound", "watchdog",
)  # fmt: skip
AFTER_HOSTDEVS: Final = ("memballoon", "rng", "panic", "shmem", "vsock", "crypto")
#: The order in which libvirt gives addresses to those that have none.
PLACED: Final = (
    "filesystem", "interface", "sound", "controller", "disk", "hostdev", "memballoon", "rng", "watchdog",
    "video", "shmem", "input", "serial", "iommu", "vsock", "memory", "crypto", "panic",
)  # fmt: skip
_EXPRESS: Final = frozenset(("e1000e", "igb", "bochs-display", "qemu-xhci", "nec-usb-xhci", "nvme"))
#: In the name of a disk, all but the letters that count.
_DISK_NAME: Final = r"^(?:xvd|[fhvs]d|ubd)|[^a-z]+"
_BUS_OF_NAME: Final = {"vd": "virtio", "sd": "scsi"}
_DISK_NAME_LENGTH: Final = 16
_VIRTIO: Final = ("virtio-", "vhost-")

_CONTROLLER_DRIVERS: Final[Mapping[tuple[str, str], str]] = MappingProxyType(
    {
        ("scsi", ""): "virtio-scsi-pci",
        ("scsi", "virtio-scsi"): "virtio-scsi-pci",
        ("scsi", "lsilogic"): "lsi",
        ("scsi", "lsisas1068"): "mptsas1068",
        ("scsi", "lsisas1078"): "megasas",
        ("scsi", "vmpvscsi"): "pvscsi",
        ("sata", ""): "ahci",
        ("virtio-serial", ""): "virtio-serial-pci",
        ("nvme", ""): "nvme",
        ("usb", ""): "qemu-xhci",
        ("usb", "nec-xhci"): "nec-usb-xhci",
        ("usb", "piix3-uhci"): "piix3-usb-uhci",
        ("usb", "piix4-uhci"): "piix4-usb-uhci",
        ("usb", "ehci"): "usb-ehci",
        ("usb", "pci-ohci"): "pci-ohci",
    }
)
_VIDEO: Final = {
    "virtio": "virtio-gpu-pci",
    "vga": "VGA",
    "cirrus": "cirrus-vga",
    "qxl": "qxl",
    "bochs": "bochs-display",
    "vmvga": "vmware-svga",
}
_SOUND: Final = {
    "ac97": "AC97",
    "es1370": "ES1370",
    "ich6": "intel-hda",
    "ich9": "ich9-intel-hda",
    "virtio": "virtio-sound-pci",
}
_MEMORY: Final = {"virtio-mem": "virtio-mem-pci", "virtio-pmem": "virtio-pmem-pci"}


def _variant(element: Element, name: str, model: str = "") -> str:
    """``virtio-NAME-pci``, or its transitional forms."""
    ending = (model or element.get("model")).removeprefix("virtio")
    return f"virtio-{name}-pci{ending if ending in ('-transitional', '-non-transitional') else ''}"


def _controller(element: Element) -> Emulated | None:
    kind, model = element.get("type"), element.get("model")
    base = model.removesuffix("-transitional").removesuffix("-non")
    driver = _CONTROLLER_DRIVERS.get((kind, "" if base == "virtio" else base))
    if driver is None and kind == "usb" and model.startswith("ich9-"):
        driver = model.replace("ich9-", "ich9-usb-")
    if driver is None and kind == "usb" and model != "none":
        driver = model
    if driver is not None and driver.startswith("virtio-"):
        driver += model.removeprefix(base)
    return Emulated(driver, kind) if driver else None


def _disk(element: Element) -> Emulated | None:
    if disk_bus(element) != "virtio":
        return None
    vhost = "vhost-user-blk-pci" if element.get("type") == "vhostuser" else ""
    return Emulated(vhost or _variant(element, "blk"), "virtio-disk")


def _filesystem(element: Element) -> Emulated:
    if element.value("driver", "type") == "virtiofs":
        return Emulated("vhost-user-fs-pci", "fs")
    return Emulated(_variant(element, "9p"), "fs")


def _interface(element: Element) -> Emulated | None:
    model = element.value("model", "type") or "virtio"
    if element.get("type") == "hostdev" or model.startswith("usb"):
        return None
    return Emulated(_variant(element, "net", model) if model.startswith("virtio") else model, "net")


def _input(element: Element) -> Emulated | None:
    if element.get("bus") != "virtio":
        return None
    kind = {"passthrough": "input-host"}.get(element.get("type"), element.get("type"))
    return Emulated(_variant(element, kind), "input")


def _video(element: Element) -> Emulated | None:
    model = element.value("model", "type") or "virtio"
    if model == "virtio" and element.value("model/acceleration", "accel3d") == "yes":
        return Emulated("virtio-gpu-gl-pci", "video")
    return _named(_VIDEO.get(model), "video")


def _named(driver: str | None, alias: str) -> Emulated | None:
    return Emulated(driver, alias) if driver else None


def _virtio(name: str, alias: str) -> Callable[[Element], Emulated | None]:
    def read(element: Element) -> Emulated | None:
        model = element.get("model") or "virtio"
        return Emulated(_variant(element, name), alias) if model.startswith("virtio") else None

    return read


_READERS: Final[Mapping[str, Callable[[Element], Emulated | None]]] = MappingProxyType(
    {
        "controller": _controller,
        "crypto": _virtio("crypto", "crypto"),
        "disk": _disk,
        "filesystem": _filesystem,
        "input": _input,
        "interface": _interface,
        "memballoon": _virtio("balloon", "balloon"),
        "memory": lambda element: _named(_MEMORY.get(element.get("model")), "virtiomem"),
        "panic": lambda element: _named("pvpanic-pci" if element.get("model") == "pvpanic" else None, ""),
        "rng": _virtio("rng", "rng"),
        "serial": lambda element: _named(
            "pci-serial" if element.get("type") and element.value("target", "type") == "pci-serial" else None,
            "serial",
        ),
        "shmem": lambda element: _named(element.value("model", "type") or "ivshmem-plain", "shmem"),
        "sound": lambda element: _named(_SOUND.get(element.get("model")), "sound"),
        "video": _video,
        "vsock": lambda element: Emulated(_variant(element, "vsock").replace("virtio", "vhost", 1), "vsock"),
        "watchdog": lambda element: _named(
            "i6300esb" if element.get("model") == "i6300esb" else None, "watchdog"
        ),
    }
)


def disk_bus(element: Element) -> str:
    """The bus of a disk; if it is not written, the one that its target's name stands for, or empty."""
    target = element.find("target")
    if target is None:
        return ""
    return target.get("bus") or _BUS_OF_NAME.get(target.get("dev")[:2], "")


def disk_number(element: Element) -> int:
    """The number of a disk, which its target's name counts in letters: 0 for ``vda``, 26 for ``vdaa``."""
    number = 0
    for letter in re.sub(_DISK_NAME, "", element.value("target", "dev")[:_DISK_NAME_LENGTH]):
        number = number * 26 + ord(letter) - ord("a") + 1
    return number - 1


def emulated_device(element: Element) -> Emulated | None:
    """The PCI device that libvirt makes of ``element``; None if it makes none.

    Whatever the model, an address of another type than ``pci`` (``virtio-mmio``, ``usb``, ``isa``) says that
    it is none.
    """
    kind = element.value("address", "type")
    if kind not in ("", "pci"):
        return None
    read = _READERS.get(element.name)
    return read(element) if read is not None else None
