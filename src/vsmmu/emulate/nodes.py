# SPDX-License-Identifier: Apache-2.0
"""The emulated host's entries in /dev and /sys, as plain data.

Paths and contents are those of a real kernel (Documentation/ABI/testing/{sysfs-bus-pci,sysfs-class-iommu,
sysfs-kernel-iommu_groups}); only what programs of this field read is there. Attributes do nothing when they
are written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NamedTuple

import msgspec

from vsmmu.emulate.config_space import SIZE
from vsmmu.emulate.stand_ins import IOMMU, IOMMU_MAPPED, VFIO

if TYPE_CHECKING:
    from vsmmu.emulate.hardware import Function, Hardware, Smmu
    from vsmmu.host.numa_nodes import EgmRegion

__all__ = ["EXCLUSIVE", "Node", "function_nodes", "tree"]

_PCI: Final = "/sys/bus/pci"
#: Directories of which the host's own content is hidden.
EXCLUSIVE: Final = (
    "/dev/vfio",
    "/sys/bus/pci",
    "/sys/class/iommu",
    "/sys/class/vfio-dev",
    "/sys/kernel/iommu_groups",
)


class Node(NamedTuple):
    """One entry: a directory, a file with content, a link with a target, the stand-in for a device.

    ``number`` is a file with ``major:minor`` of the device file that its content names.
    """

    kind: Literal["directory", "file", "link", "device", "number"]
    content: bytes = b""

    @classmethod
    def text(cls, text: str) -> Node:
        """A file with one line."""
        return cls("file", text.encode() + b"\n")

    @classmethod
    def link(cls, target: str) -> Node:
        """A symbolic link."""
        return cls("link", target.encode())


_DIRECTORY: Final = Node("directory")


def tree(hardware: Hardware) -> dict[str, Node]:
    """Everything, by absolute path; parents that are not named are directories."""
    queues = any(smmu.cmdqv is not None for smmu in hardware.smmus.values())
    nodes: dict[str, Node] = {"/dev/iommu": Node("device", IOMMU_MAPPED if queues else IOMMU)}
    for directory in (*EXCLUSIVE, "/dev/vfio/devices", f"{_PCI}/devices", f"{_PCI}/drivers/vfio-pci"):
        nodes[directory] = _DIRECTORY
    for smmu in hardware.smmus.values():
        nodes.update(_smmu_nodes(smmu))
    for function in hardware.functions.values():
        nodes.update(function_nodes(function))
    for region in hardware.host.egm or ():
        nodes.update(_egm_nodes(region))
    return nodes


def _egm_nodes(region: EgmRegion) -> dict[str, Node]:
    """The entry of an EGM region, as NVIDIA's kernels have it; there is no device, since nothing is kept."""
    base = f"/sys/class/egm/{region.name}"
    size = {} if region.size is None else {f"{base}/egm_size": Node.text(region.size)}
    return {base: _DIRECTORY, **size, f"{base}/gpu_devices": Node.text("\n".join(region.functions))}


def _smmu_nodes(smmu: Smmu) -> dict[str, Node]:
    name, base = smmu.name, f"/sys/devices/platform/{_platform(smmu)}"
    return {
        f"/sys/class/iommu/{name}": Node.link(f"../../devices/platform/{_platform(smmu)}/iommu/{name}"),
        f"{base}/iommu/{name}/device": Node.link(f"../../../{_platform(smmu)}"),
        f"{base}/iommu/{name}/devices": _DIRECTORY,
        f"{base}/numa_node": Node.text(_number(smmu.facts.numa_node)),
    }


def _platform(smmu: Smmu) -> str:
    return smmu.facts.device or f"{smmu.name.removeprefix('smmu3.0x').lstrip('0') or '0'}.iommu"


def function_nodes(function: Function) -> dict[str, Node]:
    """The entries of one function."""
    address = function.address
    base = directory_of(address)
    up = "../" * 3
    identity = function.config.read(0, 12)
    vendor, device = identity[0:2][::-1].hex(), identity[2:4][::-1].hex()
    class_code = identity[9:12][::-1].hex()
    nodes = {
        f"{_PCI}/devices/{address}": Node.link(f"../../..{base.removeprefix('/sys')}"),
        f"{base}/vendor": Node.text(f"0x{vendor}"),
        f"{base}/device": Node.text(f"0x{device}"),
        f"{base}/class": Node.text(f"0x{class_code}"),
        f"{base}/numa_node": Node.text(_number(function.facts.numa_node)),
        f"{base}/config": Node("file", function.config.read(0, SIZE)),
        f"{base}/driver_override": Node.text("(null)"),
        f"{base}/resource": Node("file", _resources(function)),
        f"{base}/subsystem": Node.link(f"{up}bus/pci"),
        f"{base}/driver": Node.link(f"{up}bus/pci/drivers/{function.driver}"),
        f"{_PCI}/drivers/{function.driver}/{address}": Node.link(f"../../../..{base.removeprefix('/sys')}"),
        f"{base}/uevent": Node.text(
            f"DRIVER={function.driver}\nPCI_CLASS={class_code.lstrip('0').upper()}\n"
            f"PCI_ID={vendor.upper()}:{device.upper()}\nPCI_SLOT_NAME={address}"
        ),
    }
    if function.facts.virtual_functions is not None:
        nodes[f"{base}/sriov_numvfs"] = Node.text(str(function.facts.virtual_functions))
    if function.facts.physical_function is not None:
        nodes[f"{base}/physfn"] = Node.link(f"../{function.facts.physical_function}")
    nodes.update(_iommu_nodes(function, base, up))
    if function.node:
        nodes.update(_vfio_nodes(function, base))
    return nodes


def _resources(function: Function) -> bytes:
    """Start, end and flags (IORESOURCE_MEM, _PREFETCH, _MEM_64) of six BARs, ROM and more."""
    lines = ["0x0000000000000000 0x0000000000000000 0x0000000000000000"] * 13
    for entry in function.facts.memory_regions or ():
        flags = 0x14220C if entry.high else 0x40200
        # Each from its own size on, as a BAR is aligned.
        start, end = int(entry.size, 16), 2 * int(entry.size, 16) - 1
        lines[entry.index] = f"{start:#018x} {end:#018x} {flags:#018x}"
    return "".join(f"{line}\n" for line in lines).encode()


def _iommu_nodes(function: Function, base: str, up: str) -> dict[str, Node]:
    nodes: dict[str, Node] = {}
    if function.smmu is not None:
        smmu = function.smmu
        platform = f"platform/{_platform(smmu)}/iommu/{smmu.name}"
        nodes[f"{base}/iommu"] = Node.link(f"../../{platform}")
        nodes[f"/sys/devices/{platform}/devices/{function.address}"] = Node.link(
            f"../../../../..{base.removeprefix('/sys/devices')}"
        )
    if function.group is not None:
        group = f"/sys/kernel/iommu_groups/{function.group}"
        nodes[f"{base}/iommu_group"] = Node.link(f"{up}kernel/iommu_groups/{function.group}")
        nodes[f"{group}/devices/{function.address}"] = Node.link(f"../../../..{base.removeprefix('/sys')}")
        nodes[f"{group}/type"] = Node.text("DMA")
        if function.facts.reserved_regions is not msgspec.UNSET:
            nodes[f"{group}/reserved_regions"] = Node.text("\n".join(function.regions))
    return nodes


def _vfio_nodes(function: Function, base: str) -> dict[str, Node]:
    name = function.node
    return {
        f"{base}/vfio-dev/{name}/dev": Node("number", f"/dev/vfio/devices/{name}".encode()),
        f"/sys/class/vfio-dev/{name}": Node.link(f"../..{base.removeprefix('/sys')}/vfio-dev/{name}"),
        f"/dev/vfio/devices/{name}": Node("device", VFIO),
    }


def directory_of(address: str) -> str:
    """A function's directory: directly on the root bus of its domain, whatever its bus number."""
    domain, bus, _ = address.split(":")
    return f"/sys/devices/pci{domain}:{bus}/{address}"


def _number(number: int | None) -> str:
    return str(-1 if number is None else number)
