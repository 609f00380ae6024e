# SPDX-License-Identifier: Apache-2.0
"""Accelerated vSMMUs for an existing VM: its host functions move behind expanders of the planner."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from vsmmu.diagnostic import MACHINE, Diagnostic, Edit, Insertion
from vsmmu.errors import Negative
from vsmmu.machine.drivers import is_vfio
from vsmmu.machine.endpoints import host_address
from vsmmu.machine.topology import ROOT_BUS
from vsmmu.mend.fault import VmOnHost, on_bus
from vsmmu.plan.arguments import devices_of
from vsmmu.plan.needs import with_needs
from vsmmu.plan.planner import Order, lay_out
from vsmmu.plan.selection import companions, shares, unready
from vsmmu.policy.resolver import resolve

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vsmmu.diagnostic import Change
    from vsmmu.host.facts import Host
    from vsmmu.machine.domain.document import DomainXml
    from vsmmu.machine.model import Device
    from vsmmu.machine.vm import Vm
    from vsmmu.policy.options import Options
    from vsmmu.qemu.versions import Qemu

__all__ = ["Accelerated", "accelerate", "pinned"]


class Accelerated(NamedTuple):
    """A VM after one wish of its user was carried out: what was wished, and the VM."""

    found: Diagnostic
    vm: Vm
    notes: tuple[str, ...] = ()


class _Moving(NamedTuple):
    """A function of the host that is to move, and the device that is it in the VM."""

    device: Device
    address: str


def accelerate(vm: Vm, host: Host, qemu: Qemu, options: Options) -> Accelerated | None:
    """The VM with each function of the host behind an accelerated vSMMU; None if all are.

    A function keeps its device with all that is written there, but for its bus and its slot. Functions that
    are behind an accelerated vSMMU of their own host SMMU stay.

    :raise Negative: ``function-unknown``, ``no-smmu-behind``, and the limits of the planner.
    """
    setting = VmOnHost(vm, host, qemu, options)
    moving = list(_unserved(setting))
    if not moving:
        return None
    addresses = tuple(entry.address for entry in moving)
    if vm.domain is not None:
        grown: Vm = _in_domain(vm.domain, addresses, host)
    else:
        grown = _in_words(setting, moving)
    grown, missing = with_needs(grown, host, options.functions)
    names = ", ".join(entry.device.name for entry in moving)
    found = Diagnostic(
        "not-accelerated",
        f"{names} {'have' if len(moving) > 1 else 'has'} no accelerated vSMMU",
        why="wished with --accelerate",
        next="vsmmu fix --accelerate moves host functions behind vSMMUs of their own",
        severity="note",
    )
    chosen = shares(addresses, host)
    others = (entry.text for entry in companions(chosen, host, addresses))
    return Accelerated(found, grown, (*others, *unready(chosen, host), *missing))


def pinned(vm: Vm, host: Host, qemu: Qemu, options: Options) -> Accelerated | None:
    """The VM with the values of its vSMMUs pinned; None if they cannot be, or are."""
    resolution = resolve(vm, host, qemu, options)
    if resolution.vm is None or resolution.vm.render() == vm.render():
        return None
    values = ", ".join(
        f"{entry.name}={entry.value} ({vsmmu.device})"
        for vsmmu in resolution.vsmmus
        for entry in vsmmu.properties
        if entry.action == "pinned"
    )
    found = Diagnostic(
        "not-pinned",
        "values of vSMMUs are left to QEMU",
        why=values,
        next="vsmmu resolve pins them",
        severity="note",
    )
    return Accelerated(found, resolution.vm, resolution.notes)


def _unserved(setting: VmOnHost) -> Iterator[_Moving]:
    first: dict[int, str | None] = {}
    for device in setting.machine.devices:
        if not is_vfio(device.driver):
            continue
        address = setting.options.functions.get(device.name) or host_address(device)
        function = None if address is None else setting.host.function(address)
        vsmmu = setting.vsmmu_of(device)
        if address is None or function is None or not function.smmu:
            if not setting.is_accelerated(vsmmu):
                raise _unknown(device, setting.host)
        elif (
            vsmmu is None
            or not setting.is_accelerated(vsmmu)
            or first.setdefault(vsmmu.number, function.smmu) != function.smmu
        ):
            yield _Moving(device, function.address)


def _unknown(device: Device, host: Host) -> Negative:
    return Negative(
        "function-unknown",
        f"what offers the SMMU behind {device.name} is not known",
        where=device.origin.place,
        why=f"host {host.name!r} has no facts about its function, or no SMMU translates it",
        next="take facts on that host with: vsmmu probe",
    )


def _in_words(setting: VmOnHost, moving: Sequence[_Moving]) -> Vm:
    line = setting.vm.command_line
    assert line is not None  # noqa: S101 - a VM is a command line or a domain
    vsmmus = lay_out(Order(tuple(entry.address for entry in moving), line=line, moving=True), setting.host)
    objects = [entry.id for entry in setting.machine.objects if entry.qom_type == "iommufd"]
    iommufd = objects[0] if objects else setting.names.take("iommufd", 0)
    before = min(entry.device.number for entry in moving)
    changes: list[Change] = []
    if not objects:
        changes.append(Insertion("object", {"qom-type": "iommufd", "id": iommufd}, before))
    for vsmmu in vsmmus:
        for driver, settings in devices_of(vsmmu):
            changes.append(Insertion("device", {"driver": driver, **settings}, before))
    ports = {port.function: port.id for vsmmu in vsmmus for port in vsmmu.endpoints}
    for device, address in moving:
        changes += on_bus(device, ports[address])
        if device.text("iommufd") != iommufd:
            changes.append(Edit(device.number, "iommufd", iommufd))
    changes += _disks_of_drives(setting)
    changes += _without_board_smmu(setting)
    return setting.vm.edit(changes)


def _disks_of_drives(setting: VmOnHost) -> Iterator[Edit]:
    """The disks that QEMU makes of ``-drive if=virtio`` or a mere word, last of all, stay on the board's bus.

    Without ``bus=`` QEMU would put them on the newest expander and refuse them there [measured].
    """
    line = setting.vm.command_line
    words = {option.text for option in line.options() if not option.name} if line else set()
    for device in setting.machine.devices:
        told = device.origin.option
        if device.driver == "virtio-blk-pci" and (
            told.startswith("-drive ") or (told in words and "$" not in told)
        ):
            yield Edit(device.number, "bus", ROOT_BUS)


def _without_board_smmu(setting: VmOnHost) -> Iterator[Edit]:
    """The board's own SMMU goes: QEMU takes no other beside it."""
    if setting.machine.machine_options.get("iommu", "none") != "none":
        yield Edit(MACHINE, "iommu", None)


def _in_domain(domain: DomainXml, addresses: Sequence[str], host: Host) -> DomainXml:
    from vsmmu.plan.domain import next_index, with_moved, without

    if any(not entry.pci_bus for entry in domain.reading.iommus if entry.is_smmuv3):
        domain = domain.edit([Edit(MACHINE, "iommu", None)])
    moving = [entry for entry in domain.reading.hostdevs if entry.source in addresses and entry.given]
    rest = without(domain, moving)
    vsmmus = lay_out(Order(tuple(addresses), domain=rest), host)
    return with_moved(domain, moving, vsmmus, next_index(rest))
