# SPDX-License-Identifier: Apache-2.0
"""The names that ordinary VMs write, with the types of their values, so that no table is loaded for them.

What is here is in every version's table with this very type (a test holds it), except what
:class:`vsmmu.qemu.versions.Qemu` says of ``arm-smmuv3`` and ``vfio-pci``.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from vsmmu.machine.model import VSMMU_DRIVER
from vsmmu.qemu.board import ON_OFF_AUTO
from vsmmu.smmuv3.properties import PROPERTIES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vsmmu.qemu.versions import Qemu
    from vsmmu.versions import Version

__all__ = [
    "BACKENDS",
    "BOARD",
    "CHOICES",
    "DEVICES",
    "ENUMS",
    "GIC_VALUES",
    "LINKS",
    "MACHINE",
    "MEMBERS",
    "OBJECTS",
    "adapted",
    "choices",
    "properties",
    "settled",
]


def _types(text: str) -> dict[str, str]:
    """``name:type name:type`` as a mapping."""
    return dict([word.split(":") for word in text.split()])


#: Accepted values by type of property.
ENUMS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "OnOffAuto": ON_OFF_AUTO,
        "OasMode": tuple(PROPERTIES["oas"].spellings),
        "SsidSizeMode": tuple(PROPERTIES["ssidsize"].spellings),
    }
)
_PCI: Final = _types(
    "acpi-index:uint32 addr:str failover_pair_id:str multifunction:bool rombar:int32 romfile:str "
    "romsize:uint32"
)
_PORT: Final = _PCI | _types(
    "chassis:uint8 hotplug:bool io-reserve:size mem-reserve:size port:uint8 "
    "power_controller_present:bool "
    "pref32-reserve:size pref64-reserve:size slot:uint16 bus-reserve:uint32"
)
_VFIO: Final = _PCI | _types(
    "bootindex:int32 display:OnOffAuto enable-migration:OnOffAuto fd:string host:str iommufd:link<iommufd> "
    "sysfsdev:str vf-token:str x-no-mmap:bool x-pci-class-code:uint32 x-pci-device-id:uint32 "
    "x-pci-sub-device-id:uint32 x-pci-sub-vendor-id:uint32 x-pci-vendor-id:uint32"
)
_VIRTIO: Final = _PCI | _types(
    "any_layout:bool ats:bool disable-legacy:OnOffAuto disable-modern:bool event_idx:bool indirect_desc:bool "
    "iommu_platform:bool packed:bool vectors:uint32"
)
#: Type of device -> its properties.
DEVICES: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType(
    {
        VSMMU_DRIVER: _types("bus_num:uint8 primary-bus:link<PCI> smmu_per_bus:bool stage:str"),
        "pxb-pcie": _PCI | _types("bus_nr:uint8 bypass_iommu:bool numa_node:uint16"),
        "pcie-root-port": _PORT,
        "vfio-pci": _VFIO,
        "vfio-pci-nohotplug": _VFIO,
        "virtio-balloon-pci": _VIRTIO | _types("deflate-on-oom:bool free-page-reporting:bool"),
        "virtio-blk-pci": _VIRTIO
        | _types(
            "bootindex:int32 discard:bool drive:str iothread:link<iothread> logical_block_size:size "
            "num-queues:uint16 physical_block_size:size queue-size:uint16 serial:str write-cache:OnOffAuto"
        ),
        "virtio-net-pci": _VIRTIO
        | _types(
            "bootindex:int32 host_mtu:uint16 mac:str mq:bool netdev:str rx_queue_size:uint16 "
            "tx_queue_size:uint16"
        ),
        "virtio-rng-pci": _VIRTIO | _types("max-bytes:uint64 period:uint32 rng:link<rng-backend>"),
        "virtio-scsi-pci": _VIRTIO | _types("iothread:link<iothread> num_queues:uint32"),
        "virtio-serial-pci": _VIRTIO | _types("max_ports:uint32"),
    }
)
#: Type of object -> its members: name, type, and whether it must be there.
OBJECTS: Final[Mapping[str, tuple[tuple[str, str, bool], ...]]] = MappingProxyType(
    {"iommufd": (("fd", "string", False),)}
)
#: Properties of every ``virt`` machine.
MACHINE: Final[Mapping[str, str]] = MappingProxyType(
    _types(
        "acpi:OnOffAuto default-bus-bypass-iommu:bool dump-guest-core:bool firmware:string "
        "gic-version:string "
        "graphics:bool highmem:bool highmem-ecam:bool highmem-mmio:bool highmem-mmio-size:size iommu:string "
        "its:bool "
        "mem-merge:bool mte:bool ras:bool secure:bool usb:bool virtualization:bool pflash0:str pflash1:str "
        "append:string initrd:string kernel:string suppress-vmdesc:bool"
    )
)
#: Members of the machine's structured properties (``smp.cpus``); the same since 9.0 (qapi/machine.json).
MEMBERS: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType(
    {
        "boot": _types(
            "menu:bool once:str order:str reboot-timeout:int splash:str splash-time:int strict:bool"
        ),
        "memory": _types("max-size:size size:size slots:uint64"),
        "smp": _types(
            "books:int clusters:int cores:int cpus:int dies:int drawers:int maxcpus:int modules:int "
            "sockets:int threads:int"
        ),
    }
)
#: What the board's setters take of properties that are text to QOM; each refuses with ``Invalid NAME value``.
CHOICES: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "gic-version": frozenset({"2", "3", "4", "x-5", "host", "max"}),
        "iommu": frozenset({"none", "smmuv3"}),
        "msi": frozenset({"auto", "gicv2m", "its", "off"}),
    }
)
#: What QEMU adds to its refusal of a gic-version, by the version that was asked.
GIC_VALUES: Final[Mapping[Version, str]] = MappingProxyType(
    {
        (10, 2): "Valid values are 3, 2, host, max.",
        (11, 1): "Valid values are 2, 3, 4, x-5, host, and max.",
    }
)
#: Properties that name a backend of the command line, on whatever device.
BACKENDS: Final = frozenset({"audiodev", "chardev", "drive", "fsdev", "netdev", "tpmdev"})
#: Properties that name an object, on whatever device -> its type.
LINKS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "canbus": "can-bus",
        "cryptodev": "cryptodev-backend",
        "iommufd": "iommufd",
        "iothread": "iothread",
        "memdev": "memory-backend",
        "rng": "rng-backend",
        "subsys": "nvme-subsys",
    }
)
#: What the ``virt`` board makes by itself, and the network cards on PCI, which it looks at even if there is
#: none. The CPU and the interrupt controller, which differ between VMs, are left out. Measured on 11.1.3.
_ON_THE_BOARD: Final = (
    "e1000 e1000-82544gc e1000-82545em e1000e fw_cfg_mem gpex-pcihost gpex-root gpio-key i82550 "
    "i82551 i82557a i82557b i82557c i82558a i82558b i82559a i82559b i82559c i82559er i82562 i82801 "
    "igb ne2k_pci pcnet pl011 pl031 pl061 platform-bus-device rocker rtl8139 tulip virtio-mmio "
    "virtio-net-device virtio-net-pci virtio-net-pci-non-transitional virtio-net-pci-transitional "
    "vmxnet3"
).split()
#: Type that a ``-global`` names -> the type of the board's device that it meets first.
BOARD: Final[Mapping[str, str]] = MappingProxyType(
    {name: name for name in _ON_THE_BOARD}
    | {
        "device": "cfi.pflash01",
        "e1000-base": "e1000",
        "fw_cfg": "fw_cfg_mem",
        "pci-device": "gpex-root",
        "pci-host-bridge": "gpex-pcihost",
        "pcie-host-bridge": "gpex-pcihost",
        "sys-bus-device": "cfi.pflash01",
        "virtio-device": "virtio-net-device",
        "virtio-net-pci-base": "virtio-net-pci",
        "virtio-pci": "virtio-net-pci",
    }
)


def choices(option: str, qemu: Qemu) -> frozenset[str] | None:
    """What the board's setter of a property takes; None if it takes any text."""
    taken = CHOICES.get(option)
    if option == "gic-version" and taken is not None and qemu.version <= (10, 2):
        return taken - {"x-5"}
    return taken


def properties(driver: str, qemu: Qemu) -> Mapping[str, str] | None:
    """The short list of a device; None if it is not one of the few."""
    listed = DEVICES.get(driver)
    return None if listed is None else adapted(driver, listed, qemu)


def adapted(driver: str, names: Mapping[str, str], qemu: Qemu) -> Mapping[str, str]:
    """Names with what the version itself, or the binary that was asked, adds and takes away."""
    if driver == VSMMU_DRIVER:
        kinds = {entry.option: entry.kind for entry in qemu.properties.values() if qemu.has(entry)}
        if qemu.has_accel:
            kinds["accel"] = "bool"
        return {name: kind for name, kind in names.items() if not settled(driver, name, qemu)} | kinds
    if driver in ("vfio-pci", "vfio-pci-nohotplug"):
        ats = {"ats": "OnOffAuto"} if qemu.has_vfio_ats else {}
        return {name: kind for name, kind in names.items() if name != "ats"} | ats
    return names


def settled(driver: str, name: str, qemu: Qemu) -> bool:
    """Whether :class:`Qemu` says if the device has this property, whatever a table says."""
    if driver == VSMMU_DRIVER:
        ours = name == "accel" or name in PROPERTIES or qemu.property_of(name) is not None
        return ours and (qemu.fork is None or name not in qemu.fork.doubtful)
    return name == "ats" and driver.startswith("vfio-pci") and qemu.fork is None
