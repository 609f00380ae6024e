# SPDX-License-Identifier: Apache-2.0
"""SMMUs and PCI functions as sysfs shows them: without privilege, without touching any device.

The paths are described in the kernel's Documentation/ABI/testing/{sysfs-bus-pci,sysfs-class-iommu,sysfs-kernel-iommu_groups}.
Attributes of a function that make the kernel read the device's configuration space are not read here
(see :mod:`vsmmu.probe.pci_config`).
"""  # noqa: E501

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from vsmmu.host.facts import HostFunction, HostSmmu, Kernel, ReservedRegion
from vsmmu.pci import normal_address

if TYPE_CHECKING:
    from vsmmu.probe.system_root import Tree

__all__ = [
    "PCI_DEVICES",
    "PciIdentity",
    "function_addresses",
    "group_members",
    "has_direct_region",
    "host_bridge",
    "read_function",
    "read_identity",
    "read_kernel",
    "read_page_size",
    "read_product",
    "read_smmu",
    "smmu_names",
]

PCI_DEVICES: Final = "/sys/bus/pci/devices"
_IOMMUS: Final = "/sys/class/iommu"
_GROUPS: Final = "/sys/kernel/iommu_groups"
_NAME_LIMIT: Final = 255
#: The kernel parameters that facts repeat.
_PARAMETERS: Final = (
    "acpi=", "arm-smmu", "arm_smmu", "iommu", "irqchip.", "kvm", "module_blacklist=", "pci", "vfio",
)  # fmt: skip


class PciIdentity(NamedTuple):
    """What tells one function from another that takes its place, and what changes most: two reads."""

    driver: str
    vendor: str | None
    device: str | None
    class_code: str | None
    smmu: str | None


def read_kernel(tree: Tree) -> Kernel:
    """The running kernel."""
    return Kernel(
        release=printable(tree.text("/proc/sys/kernel/osrelease")),
        boot_id=printable(tree.text("/proc/sys/kernel/random/boot_id")),
        command_line=" ".join(filter(_bears_on_iommus, (tree.text("/proc/cmdline") or "").split())),
    )


def read_page_size(tree: Tree) -> int | None:
    """The size of the kernel's ordinary pages; None of a tree that stands for another machine."""
    return os.sysconf("SC_PAGESIZE") if tree.is_real else None


def smmu_names(tree: Tree) -> list[str]:
    """Every IOMMU that the kernel drives, SMMUv3 or other: ``smmu3.0x...``, ``dmar0``, ``ivhd0``."""
    return [name for name in tree.names(_IOMMUS) if printable(name) == name]


def read_smmu(tree: Tree, name: str) -> HostSmmu:
    """One IOMMU; nothing of its registers is in sysfs."""
    return HostSmmu(
        name=name,
        device=printable(tree.link(f"{_IOMMUS}/{name}/device")),
        numa_node=_node(tree.number(f"{_IOMMUS}/{name}/device/numa_node")),
    )


def function_addresses(tree: Tree) -> list[str]:
    """The addresses of all PCI functions."""
    return [name for name in tree.names(PCI_DEVICES) if normal_address(name) == name]


def read_identity(tree: Tree, address: str) -> PciIdentity | None:
    """A function's ids, driver and SMMU; None if there is no such function (any more)."""
    uevent = tree.text(f"{PCI_DEVICES}/{address}/uevent")
    if uevent is None:
        return None
    values = dict(line.split("=", 1) for line in uevent.splitlines() if "=" in line)
    vendor, _, device = values.get("PCI_ID", "").lower().partition(":")
    return PciIdentity(
        driver=printable(values.get("DRIVER")),
        vendor=_hex(vendor, 4),
        device=_hex(device, 4),
        class_code=_hex(values.get("PCI_CLASS", "").lower(), 6),
        smmu=tree.link(f"{PCI_DEVICES}/{address}/iommu"),
    )


def read_function(tree: Tree, address: str, smmus: frozenset[str]) -> HostFunction | None:
    """One function without its facts; None if it is gone.

    :param smmus: the names that may be referred to: a function behind anything else counts as untranslated.
    """
    identity = read_identity(tree, address)
    if identity is None:
        return None
    base = f"{PCI_DEVICES}/{address}"
    physical = tree.link(f"{base}/physfn")
    group = tree.link(f"{base}/iommu_group")
    number = int(group) if group is not None and group.isdecimal() else None
    return HostFunction(
        address=address,
        smmu=identity.smmu if identity.smmu in smmus else None,
        vendor=identity.vendor,
        device=identity.device,
        class_code=identity.class_code,
        driver=identity.driver,
        iommu_group=number,
        numa_node=_node(tree.number(f"{base}/numa_node")),
        physical_function=normal_address(physical) if physical else None,
        virtual_functions=tree.number(f"{base}/sriov_numvfs"),
        reserved_regions=msgspec.UNSET if number is None else _regions(tree, number),
    )


def group_members(tree: Tree, group: int) -> list[str]:
    """The devices that share an IOMMU group: PCI addresses, and names of other kinds of device."""
    return tree.names(f"{_GROUPS}/{group}/devices")


def has_direct_region(tree: Tree, group: int) -> bool | None:
    """Whether a reserved region of an IOMMU group is of type direct; None if that cannot be read."""
    regions = _regions(tree, group)
    return None if regions is msgspec.UNSET else any(region.type == "direct" for region in regions)


def read_product(tree: Tree) -> str:
    """The machine by its firmware: DMI's product name, or the device tree's model; empty if neither."""
    name = tree.text("/sys/class/dmi/id/product_name") or tree.text("/sys/firmware/devicetree/base/model")
    return printable((name or "").rstrip("\0"))


def _regions(tree: Tree, group: int) -> tuple[ReservedRegion, ...] | msgspec.UnsetType:
    """``0x0000000008000000 0x00000000080fffff msi`` of each region; unset if the file cannot be read."""
    text = tree.text(f"{_GROUPS}/{group}/reserved_regions")
    if text is None:
        return msgspec.UNSET
    found = []
    for line in text.splitlines():
        words = line.split()
        if len(words) != 3 or not printable(words[2]):
            continue
        try:
            start, end = int(words[0], 16), int(words[1], 16)
        except ValueError:
            continue
        if 0 <= start <= end < 1 << 64:
            found.append(ReservedRegion(f"{start:#x}", f"{end:#x}", words[2]))
    return tuple(found)


def host_bridge(tree: Tree, address: str) -> str | None:
    """The device that owns the function's PCI hierarchy (a path as on the machine, below /sys/devices).

    ``/sys/devices/platform/4010000000.pcie/pci0000:00/0000:00:05.0`` gives ``.../4010000000.pcie``.
    """
    try:
        real = os.path.realpath(tree.path(f"{PCI_DEVICES}/{address}"), strict=True)
    except OSError:
        return None
    prefix = os.path.realpath(tree.root or "/").rstrip("/")
    parts = real.removeprefix(prefix).split("/")
    for index, part in enumerate(parts):
        if part.startswith("pci") and part[3:7].isalnum() and part[7:8] == ":":
            return "/".join(parts[:index])
    return None


def printable(text: str | None) -> str:
    """A name as facts may hold it: cut to 255 characters; empty if it has control characters."""
    text = (text or "")[:_NAME_LIMIT]
    return text if text.isprintable() else ""


def _bears_on_iommus(parameter: str) -> bool:
    """Facts are shown around: a command line may hold addresses and tokens that are nobody's business."""
    return parameter.startswith(_PARAMETERS) and parameter.isprintable()


def _node(number: int | None) -> int | None:
    """-1 in sysfs means that the firmware does not tell."""
    return number if number is not None and number >= 0 else None


def _hex(text: str, digits: int) -> str | None:
    try:
        value = int(text, 16)
    except ValueError:
        return None
    return f"{value:0{digits}x}" if 0 <= value < 1 << 4 * digits else None
