# SPDX-License-Identifier: Apache-2.0
"""Options, values and endpoints that operators write, as data for the generator of whole VMs."""

from __future__ import annotations

from typing import Final

from conformance.parts import Part, Size, Value

__all__ = ["CPUS", "ENDPOINTS", "GLOBALS", "HABITS", "MACHINES", "NETWORKS", "OPTIONS", "SMMU"]

MACHINES: Final = ("virt",) * 8 + (
    "virt-11.1",
    "virt-11.0",
    "virt-10.2",
    "virt-10.0",
    "virt-9.2",
    "virt-8.2",
)
OPTIONS: Final[dict[str, tuple[Value, ...]]] = {
    "gic-version": (2, 3, 3, 3, "max", 4),
    "acpi": ("on", "off", "auto"),
    "its": (True, False),
    "highmem": (True, False),
    "iommu": ("none", "smmuv3"),
    "default-bus-bypass-iommu": (True, False),
    "virtualization": (True, False),
    "secure": (True, False),
    "mte": (True, False),
    "ras": (True, False),
    "usb": (True, False),
    "graphics": (False, True),
    "dump-guest-core": (True, False),
    "mem-merge": (True, False),
    "kernel-irqchip": (True, "split", False),
    "highmem-mmio-size": ("512G", "1T", "2T", "300G", "256G"),
    "highmem-ecam": (True, False),
    "msi": ("auto", "its", "gicv2m", "off"),
    "hmat": (True, False),
    "nvdimm": (True, False),
    "dtb-randomness": (True, False),
    "suppress-vmdesc": (True, False),
    "compact-highmem": (True, False),
}
CPUS: Final = (
    "max",
    "max",
    "max",
    "cortex-a57",
    "neoverse-v1",
    "cortex-a76",
    "max,sve=off",
    "max,pauth-impdef=on",
)
SMMU: Final[dict[str, tuple[Value, ...]]] = {
    "ats": ("on", "off", "auto"),
    "ril": ("on", "off", "auto"),
    "oas": ("44", "48", "auto", "40"),
    "ssidsize": ("0", "8", "20", "auto"),
    "cmdqv": ("on", "off", "auto"),
    "stage": ("1", "2", "nested"),
}
#: What the endpoints below are connected to.
_RANDOM: Final = Part("-object", "rng-random", {"id": "@", "filename": "/dev/urandom"})
_SHARED: Final = Part("-object", "memory-backend-ram", {"id": "@", "size": Size(1 << 20), "share": True})
_DISK: Final = Part("-drive", "", {"format": "raw", "if": "none", "id": "@"})
_FILE: Final = _DISK._replace(values={"file": "disk.img", **_DISK.values, "file.locking": "off"})
_NULL: Final = _DISK._replace(values={"file": "null-co://", **_DISK.values})
_NODE: Final = Part("-blockdev", "null-co", {"node-name": "@", "size": 1048576})
_FOLDER: Final = Part("-fsdev", "local", {"id": "@", "path": ".", "security_model": "none"})
_HUB: Final = Part("-netdev", "hubport", {"id": "@", "hubid": 0})
_USER: Final = Part("-netdev", "user", {"id": "@"})
#: Emulated endpoints: driver, properties, and the parts that they need before them; ``@`` is their common id.
ENDPOINTS: Final[tuple[tuple[str, dict[str, Value], tuple[Part, ...]], ...]] = (
    ("virtio-net-pci", {"netdev": "@"}, (_HUB,)),
    ("virtio-net-pci", {"netdev": "@", "mac": "52:54:00:12:34:56", "romfile": ""}, (_USER,)),
    ("virtio-net-pci", {"disable-legacy": "on", "iommu_platform": True, "ats": True}, ()),
    ("virtio-blk-pci", {"drive": "@"}, (_FILE,)),
    ("virtio-blk-pci", {"drive": "@", "bootindex": 1}, (_NODE,)),
    ("nvme", {"drive": "@", "serial": "s1"}, (_NULL,)),
    ("virtio-rng-pci", {"rng": "@"}, (_RANDOM,)),
    ("ivshmem-plain", {"memdev": "@"}, (_SHARED,)),
    ("virtio-9p-pci", {"fsdev": "@", "mount_tag": "t"}, (_FOLDER,)),
    ("qemu-xhci", {"p2": 8, "p3": 8}, ()),
    *(
        (driver, {}, ())
        for driver in (
            "virtio-rng-pci", "virtio-scsi-pci", "virtio-serial-pci", "virtio-balloon-pci",
            "virtio-keyboard-pci", "e1000e", "igb", "rtl8139", "pci-testdev", "edu", "ich9-ahci", "usb-ehci",
        )
    ),
)  # fmt: skip
#: Options that say nothing of devices -> how often they are written.
HABITS: Final = (
    (0.2, Part("-name", "guest=vm1,debug-threads=on")),
    (0.15, Part("-uuid", "5a1b6f2e-36b1-4b0a-9f0e-0d3f6a1f7a10")),
    (0.15, Part("-rtc", "base=utc")),
    (0.15, Part("-boot", "strict=on")),
    (0.15, Part("-no-user-config", form="bare")),
    (0.1, Part("-serial", "null")),
    (0.1, Part("-sandbox", "on")),
    (0.05, Part("-overcommit", "mem-lock=off")),
    (0.03, Part("-only-migratable", form="bare")),
)
#: Instead of -nodefaults.
NETWORKS: Final = (
    Part("-net", "none"),
    Part("-nic", "none"),
    Part("-nic", "user"),
    Part("-nic", "user,model=e1000"),
    Part("-vga", "none"),
)
GLOBALS: Final = (
    "pcie-root-port.io-reserve=0",
    "virtio-net-pci.romfile=",
    "pxb-pcie.bus_nr=9",
    "vfio-pci.ats=off",
    "arm-smmu.primary-bus=pcie.0",
    "kvm-pit.lost=x",
    "cfi.pflash01.secure=off",
    "pcie-root-port.hotplug=off",
)
