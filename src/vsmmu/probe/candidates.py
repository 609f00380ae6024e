# SPDX-License-Identifier: Apache-2.0
"""Choose the functions that a probe may ask, and give the reason for every other one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from vsmmu.errors import HostLacks, Negative, UsageError, VsmmuError
from vsmmu.host.judgements import bridge, direct_mapped
from vsmmu.host.obstacles import direct_region
from vsmmu.probe.sysfs import PCI_DEVICES, group_members
from vsmmu.probe.vfio_files import VfioDevice, vfio_device

if TYPE_CHECKING:
    from vsmmu.host.facts import HostFunction, HostSmmu
    from vsmmu.probe.system_root import Tree

__all__ = ["Candidate", "busy_with", "candidate", "choose", "objection", "objection_to_bind"]

#: Drivers that leave DMA to the group's owner (driver_managed_dma), besides the vfio ones.
_HARMLESS_MATES: Final = frozenset({"pcieport", "pci-stub"})
_GROUPS: Final = "/sys/kernel/iommu_groups"


class Candidate(NamedTuple):
    """A function with what decides whether it can be asked.

    :param device: its vfio device; None if it is not on a vfio driver.
    :param mates: group members on a driver that uses them, as ``address (driver)``.
    """

    function: HostFunction
    device: VfioDevice | None
    mates: tuple[str, ...]


def candidate(tree: Tree, function: HostFunction) -> Candidate:
    """Look at a function and its group."""
    return Candidate(function, vfio_device(tree, function.address), _native_mates(tree, function))


def objection(found: Candidate) -> VsmmuError | None:
    """Why this function cannot be asked as it is; None if it can be tried."""
    function, device = found.function, found.device
    if function.smmu is None:
        return _not_translated(function)
    if device is None:
        driver = f"it is bound to {function.driver}" if function.driver else "it has no driver"
        return Negative(
            "not-on-vfio",
            "the function is not on a vfio driver",
            where=function.address,
            why=driver,
            next=f"bind it to vfio-pci, or for the moment only: vsmmu probe --bind {function.address}",
        )
    if not device.is_translated:
        return _not_translated(function)
    if not device.number:
        return HostLacks(
            "no-vfio-cdev",
            "the function has no vfio device file",
            where=function.address,
            why="this kernel is without CONFIG_VFIO_DEVICE_CDEV",
            next="use a kernel with CONFIG_IOMMUFD and CONFIG_VFIO_DEVICE_CDEV",
        )
    return _mapped_directly(function) or _mates_in_use(found)


def objection_to_bind(tree: Tree, found: Candidate) -> VsmmuError | None:
    """Why this function cannot be taken from its driver for a moment; None if it can."""
    function = found.function
    if function.smmu is None:
        return _not_translated(function)
    if bridge(function).answer:
        return UsageError(
            "not-a-function",
            "a bridge cannot be given to vfio",
            where=function.address,
            next="name a function behind it: vsmmu show lists them",
        )
    if (fixed := _mapped_directly(function)) is not None:
        return fixed
    if virtual := tree.number(f"{PCI_DEVICES}/{function.address}/sriov_numvfs"):
        return Negative(
            "has-virtual-functions",
            f"the function has {virtual} virtual functions, which unbinding would destroy",
            where=function.address,
            next="name one of the virtual functions, or another device behind the same SMMU",
        )
    reasons = busy_with(tree, function.address)
    if reasons:
        return Negative(
            "function-in-use",
            f"the function is in use by {function.driver or 'the kernel'}",
            where=function.address,
            why=", ".join(reasons[:3]),
            next="stop using it first (ip link set down, umount, swapoff)",
        )
    return _mates_in_use(found)


def choose(tree: Tree, smmu: HostSmmu, functions: tuple[HostFunction, ...]) -> list[Candidate] | VsmmuError:
    """The functions behind an SMMU that may be asked, best first; or why none may.

    Best is a physical function alone in its group: resetting it disturbs nobody, and it needs no token. Below
    a root complex with CANWBS, where that differs, its answer on nesting holds for most.
    """
    usable, objections = [], []
    for function in functions:
        if bridge(function).answer:
            continue
        found = candidate(tree, function)
        reason = objection(found)
        if reason is None:
            usable.append(found)
        elif found.device is not None:
            objections.append(reason)
    if usable:
        return sorted(usable, key=lambda entry: _cost(tree, entry))
    if objections:
        return objections[0]
    return Negative(
        "no-idle-function",
        "no function behind this SMMU is on a vfio driver",
        where=smmu.name,
        why=f"{_count(functions)} behind it",
        next="bind one to vfio-pci, or name one that may be taken for a moment: vsmmu probe --bind ADDRESS",
    )


def busy_with(tree: Tree, address: str) -> list[str]:
    """What the host visibly uses a function for: interfaces that are up, mounted or swapped-on disks."""
    reasons = [
        f"network interface {name} is up"
        for name in _children(tree, "/sys/class/net", address)
        if _flags(tree.text(f"/sys/class/net/{name}/flags")) & 1  # IFF_UP
    ]
    disks = _children(tree, "/sys/class/block", address)
    if disks:
        mounted = _mounted(tree)
        swaps = tree.text("/proc/swaps", 65536) or ""
        for name in disks:
            if tree.text(f"/sys/class/block/{name}/dev") in mounted:
                reasons.append(f"{name} is mounted")
            elif f"/dev/{name} " in swaps:
                reasons.append(f"{name} is swap space")
            elif tree.names(f"/sys/class/block/{name}/holders"):
                reasons.append(f"{name} is part of another block device")
    return reasons


def _count(functions: tuple[HostFunction, ...]) -> str:
    number = sum(not bridge(entry).answer for entry in functions)
    return "1 function is" if number == 1 else f"{number} functions are"


def _cost(tree: Tree, entry: Candidate) -> tuple[bool, bool, int, str]:
    group = entry.function.iommu_group
    members = len(group_members(tree, group)) if group is not None else 1
    # Below a root complex without CANWBS the kernel can refuse what it allows elsewhere behind the SMMU.
    less_told = entry.function.canwbs.value == 0
    return less_told, entry.function.physical_function is not None, members, entry.function.address


def _native_mates(tree: Tree, function: HostFunction) -> tuple[str, ...]:
    if function.iommu_group is None:
        return ()
    found = []
    for name in group_members(tree, function.iommu_group):
        driver = tree.link(f"{_GROUPS}/{function.iommu_group}/devices/{name}/driver")
        if name == function.address or driver is None or driver in _HARMLESS_MATES:
            continue
        if vfio_device(tree, name) is None:
            found.append(f"{name} ({driver})")
    return tuple(found)


def _mates_in_use(found: Candidate) -> VsmmuError | None:
    if not found.mates:
        return None
    return Negative(
        "group-in-use",
        "the function shares its IOMMU group with functions on drivers of their own",
        where=found.function.address,
        why=", ".join(found.mates[:4]),
        next="bind those to vfio-pci too, or unbind them",
    )


def _mapped_directly(function: HostFunction) -> VsmmuError | None:
    """The kernel would answer EINVAL to the bind, as it does for other reasons: the regions tell before."""
    return Negative.of(direct_region(function.address)) if direct_mapped(function).answer else None


def _not_translated(function: HostFunction) -> VsmmuError:
    return HostLacks(
        "no-smmu",
        "no SMMU translates this function",
        where=function.address,
        why="it has no iommu link in sysfs",
        next="choose a function behind an SMMU: vsmmu show",
    )


def _children(tree: Tree, directory: str, address: str) -> list[str]:
    """The entries of a class directory whose device lies below the function."""
    return [
        name for name in tree.names(directory) if f"/{address}/" in (tree.target(f"{directory}/{name}") or "")
    ]


def _mounted(tree: Tree) -> set[str]:
    """The device numbers of all mounts that this process sees."""
    data = tree.data("/proc/self/mountinfo", 1 << 20) or b""
    return {fields[2].decode() for line in data.splitlines() if len(fields := line.split()) > 2}


def _flags(text: str | None) -> int:
    try:
        return int(text or "", 16)
    except ValueError:
        return 0
