# SPDX-License-Identifier: Apache-2.0
"""Plan a topology, write it, and have it resolved and judged like any other VM.

The values come from the resolver and the verdict from the model of QEMU, on the VM with the very words or
elements that are handed out; nothing of either is computed here.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from vsmmu.diagnostic import Edit
from vsmmu.errors import Negative
from vsmmu.machine.bus_numbers import bus_count, bus_ranges
from vsmmu.machine.command_line.argv import CommandLine, read_words
from vsmmu.machine.drivers import is_vfio
from vsmmu.machine.endpoints import host_address
from vsmmu.machine.model import WINDOW_OPTION
from vsmmu.machine.topology import ROOT_BUS, Topology
from vsmmu.plan.arguments import arguments
from vsmmu.plan.egm import egm_words, with_egm
from vsmmu.plan.model import Plan, PlannedPort, PlannedVsmmu
from vsmmu.plan.numa import GuestNode, guest_nodes, node_for
from vsmmu.plan.numbers import Names, chassis_numbers, has_json_devices, place
from vsmmu.plan.selection import Grouping, Share, companions, shares, unready
from vsmmu.plan.surroundings import MainNode, Surroundings, initiator_words, surround
from vsmmu.policy.options import Options
from vsmmu.policy.resolver import resolve
from vsmmu.qemu.passthrough import functions_by_root
from vsmmu.qemu.realize import MAX_VSMMUS
from vsmmu.qemu.slots import SLOTS, Slots

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from vsmmu.host.facts import Host
    from vsmmu.machine.command_line.assemble import Reader
    from vsmmu.machine.domain.document import DomainXml
    from vsmmu.machine.model import Machine
    from vsmmu.machine.vm import Vm
    from vsmmu.policy.result import Resolution
    from vsmmu.qemu.versions import Qemu

__all__ = ["Order", "lay_out", "plan"]

_FUNCTIONS: Final = 8
_NOTHING: Final = ("-nodefaults",)
_DEFAULT: Final = Options()


class Order(NamedTuple):
    """What is to be planned.

    :param devices: function addresses; a name of an SMMU gives a vSMMU without endpoint.
    :param spare: ports for hot-plug behind each vSMMU; a vSMMU without endpoint gets at least one.
    :param words: the VM's command line, emulator included; empty if arguments to add are wanted.
    :param domain: the VM, if it is a libvirt domain: the plan keeps clear of its numbers.
    :param line: the VM, if it is a command line that was read already, for :func:`lay_out`.
    :param moving: whether the VM has the functions, which move.
    :param group: what each vSMMU stands for: a host SMMU, or one root complex behind it.
    """

    devices: tuple[str, ...]
    spare: int = 0
    words: tuple[str, ...] = ()
    domain: DomainXml | None = None
    line: CommandLine | None = None
    moving: bool = False
    group: Grouping = "smmu"


class _Vm(NamedTuple):
    """The VM to which the plan is added."""

    machine: Machine
    topology: Topology
    words: tuple[str, ...]
    nodes: Mapping[int, GuestNode]

    @property
    def window(self) -> str | None:
        """Its MMIO window as it is written; None if it is not."""
        return self.machine.machine_options.get(WINDOW_OPTION)

    @property
    def given(self) -> set[str]:
        """The functions of the host that it has already."""
        return {address for device in self.machine.devices if (address := host_address(device)) is not None}


def plan(
    order: Order, host: Host, qemu: Qemu, options: Options = _DEFAULT, reader: Reader | None = None
) -> Plan:
    """Plan expanders, vSMMUs and ports for functions of ``host``.

    :param options: as for :func:`vsmmu.policy.resolver.resolve`; which SMMU a vSMMU is for is added.
    :param reader: gives the content of ``-readconfig`` files of the command line.
    :return: a plan that the model of QEMU starts, as far as the facts tell.
    :raise Negative: for devices that the host does not have, limits that are exceeded, values that cannot
        be resolved, and whatever QEMU would refuse.
    :raise InputRefused: for a command line that cannot be read.
    """
    vm = _vm(order, reader)
    chosen, names = _choose(order, vm, host), Names(vm.machine, vm.topology)
    iommufd, has_iommufd = _iommufd(order, vm, names)
    vsmmus = _lay_out(chosen, order.spare, vm, names)
    present = functions_by_root(vm.machine, vm.topology, host, options.functions)
    node = partial(_main_node, order, reader)
    vsmmus, around, about = surround(vsmmus, host, vm.nodes, node, vm.window, names, present)
    vsmmus, around, told = with_egm(vsmmus, around, vm.machine, host, None if order.domain else qemu)
    json = has_json_devices(vm.machine.devices)
    added = (
        *around.machine_words(),
        *arguments(vsmmus, iommufd, iommufd_present=has_iommufd, json=json),
        *initiator_words(vsmmus, names),
        *egm_words(vsmmus, names),
    )
    line = read_words((*(before := order.words or around.stand_in), *added), reader)
    resolution, called = _resolve(line, order, host, qemu, options, vsmmus, around)
    vsmmus = tuple(_with_values(vsmmu, name, resolution) for vsmmu, name in zip(vsmmus, called, strict=True))
    line = line.edit(_edits(line, order, resolution, vsmmus))
    return Plan(
        host=host.name,
        qemu=str(qemu),
        machine_type=resolution.machine_type,
        answer=resolution.verdict.answer if resolution.verdict else "unknown",
        iommufd=iommufd,
        iommufd_present=has_iommufd,
        form="json" if json else "keyval",
        vsmmus=vsmmus,
        nodes=around.nodes,
        distances=around.distances,
        mmio_window=around.window,
        companions=tuple(companions(chosen, host, vm.given)),
        notes=(*resolution.notes, *unready(chosen, host), *_notes(vsmmus, vm, host), *about, *told),
        arguments=line.words[len(before) : len(before) + len(added)],
        command_line=line.words if order.words else None,
    )


def _iommufd(order: Order, vm: _Vm, names: Names) -> tuple[str, bool]:
    """The id of the iommufd object, and whether the VM has it already."""
    # Arguments for a domain are not handed out, so they bring all that they need.
    objects = () if order.domain is not None else vm.machine.objects
    present = next((entry.id for entry in objects if entry.qom_type == "iommufd"), "")
    return present or names.take("iommufd", 0), bool(present)


def lay_out(order: Order, host: Host) -> tuple[PlannedVsmmu, ...]:
    """The topology of :func:`plan` alone: no values, and nothing is held against the model of QEMU.

    :raise Negative: for devices that the host does not have, and limits that are exceeded.
    """
    vm = _vm(order, None)
    return _lay_out(_choose(order, vm, host), order.spare, vm, Names(vm.machine, vm.topology))


def _choose(order: Order, vm: _Vm, host: Host) -> tuple[Share, ...]:
    chosen = shares(order.devices, host, () if order.moving else vm.given, order.group)
    _check_limits(chosen, vm)
    return chosen


def _vm(order: Order, reader: Reader | None) -> _Vm:
    if order.domain is not None:
        vm: Vm = order.domain
    else:
        vm = order.line or read_words(order.words or _NOTHING, reader)
    machine = vm.machine()
    return _Vm(machine, Topology.of(machine), order.words, guest_nodes(vm))


def _main_node(order: Order, reader: Reader | None) -> MainNode | str | None:
    """All CPUs and memory of a VM that has no NUMA node, or why not; None if there is no VM."""
    from vsmmu.plan.main_node import main_node_of_domain, main_node_of_words

    if order.domain is not None:
        return main_node_of_domain(order.domain)
    return main_node_of_words(read_words(order.words, reader)) if order.words else None


def _check_limits(chosen: Sequence[Share], vm: _Vm) -> None:
    present = len(vm.machine.vsmmus)
    if present + len(chosen) > MAX_VSMMUS:
        raise Negative(
            "too-many-vsmmus",
            f"functions behind {len(chosen)} host SMMUs need {len(chosen)} vSMMUs",
            why=f"a VM can have {MAX_VSMMUS}" + (f", and this one has {present}" if present else ""),
            next="give the VM functions behind fewer host SMMUs",
        )
    hidden = [bus for bus in vm.topology.buses if bus.name == ROOT_BUS and bus.root_owner >= 0]
    if hidden:
        raise Negative(
            "root-bus-hidden",
            f"bus={ROOT_BUS} does not find the board's root complex in this VM",
            where=vm.machine.devices[hidden[0].owner].origin.place,
            why=f"a port without id makes a bus called {ROOT_BUS}, too, and QEMU finds that one first",
            next="give that port an id",
        )
    free = Slots.of(vm.machine, vm.topology).free_slots(vm.topology.buses[0])
    if len(chosen) > free:
        raise Negative(
            "no-slots",
            f"{len(chosen)} pxb-pcie need a slot each on pcie.0",
            why=f"{free} of {SLOTS} are free",
            next="move devices from pcie.0 behind a port, or put several into one slot (multifunction=on)",
        )


def _lay_out(chosen: Sequence[Share], spare: int, vm: _Vm, names: Names) -> tuple[PlannedVsmmu, ...]:
    counts = [len(share.functions) + (spare or (0 if share.functions else 1)) for share in chosen]
    starts, widths = _number_buses(counts, vm)
    chassis = chassis_numbers(vm.machine)
    found = []
    for share, count, first, width in zip(chosen, counts, starts, widths, strict=True):
        expander = names.take("pcie.", 1)
        vsmmu = PlannedVsmmu(
            id=names.take("smmuv3.", 0),
            host_smmu=share.smmu.name,
            host_node=share.smmu.numa_node,
            expander=expander,
            first_bus=first,
            last_bus=first + width - 1,
            numa_node=node_for(share.smmu.numa_node, vm.nodes),
            ports=tuple(_port(share, index, count, next(chassis, 0), names) for index in range(count)),
        )
        found.append(vsmmu)
    if any(port.chassis == 0 for vsmmu in found for port in vsmmu.ports):
        raise Negative(
            "no-chassis",
            "there are not enough chassis numbers for all ports",
            why="QEMU has 255",
            next="split the functions among several VMs",
        )
    return tuple(found)


def _number_buses(counts: Sequence[int], vm: _Vm) -> tuple[list[int], list[int]]:
    """First bus numbers and widths: with a number in reserve for each port if there is room, else without."""
    total = bus_count(vm.machine)
    for reserve in (1, 0):
        widths = [1 + count * (1 + reserve) for count in counts]
        starts = place(widths, bus_ranges(vm.machine, vm.topology, reserve).values(), total)
        if starts is not None:
            return starts, widths
    small = "; highmem=off leaves only 16" if total < 256 else ""
    raise Negative(
        "no-bus-numbers",
        f"{sum(counts)} ports behind {len(counts)} pxb-pcie need {sum(counts) + len(counts)} bus numbers",
        why=f"the machine has {total} in all, and the VM as it is takes some of them{small}",
        next="plan fewer functions or spare ports" + (", or remove highmem=off" if small else ""),
    )


def _port(share: Share, index: int, count: int, chassis: int, names: Names) -> PlannedPort:
    # A bus has 32 slots; more ports share slots as functions of one device, each with its own hot-plug.
    address = f"{index // _FUNCTIONS:x}.{index % _FUNCTIONS}" if count > SLOTS else ""
    port = PlannedPort(names.take("rp", 1), chassis, address)
    if index >= len(share.functions):
        return port
    function = share.functions[index].address
    return msgspec.structs.replace(port, device=names.take("vfio", 0), function=function)


def _resolve(
    line: CommandLine,
    order: Order,
    host: Host,
    qemu: Qemu,
    options: Options,
    vsmmus: tuple[PlannedVsmmu, ...],
    around: Surroundings,
) -> tuple[Resolution, list[str]]:
    """Resolve the VM with the plan in it; and how each planned vSMMU is called there."""
    vm: Vm = line
    called = [vsmmu.id for vsmmu in vsmmus]
    if order.domain is not None:
        from vsmmu.plan.domain import device_names, next_index, with_host_devices
        from vsmmu.plan.libvirt_surroundings import with_surroundings

        grown = with_host_devices(with_surroundings(order.domain, around), vsmmus)
        vm, called = grown, device_names(grown, vsmmus, next_index(order.domain))
    named = {name: vsmmu.host_smmu for name, vsmmu in zip(called, vsmmus, strict=True)}
    resolution = resolve(vm, host, qemu, options._replace(smmu={**options.smmu, **named}))
    resolution.require()
    return resolution, called


def _with_values(vsmmu: PlannedVsmmu, name: str, resolution: Resolution) -> PlannedVsmmu:
    properties = resolution.vsmmu(name).properties
    registers = resolution.verdict.vsmmu(name).registers if resolution.verdict else None
    return msgspec.structs.replace(vsmmu, properties=properties, registers=registers)


def _edits(
    line: CommandLine, order: Order, resolution: Resolution, vsmmus: tuple[PlannedVsmmu, ...]
) -> Sequence[Edit]:
    """What writes the values into the words; those of a domain's resolution are for its own devices."""
    if order.domain is None:
        return resolution.edits
    numbers = {device.id: device.number for device in line.machine().vsmmus}
    return [
        Edit(numbers[vsmmu.id], entry.name, entry.value)
        for vsmmu in vsmmus
        for entry in vsmmu.properties
        if entry.action != "kept"
    ]


def _notes(vsmmus: Sequence[PlannedVsmmu], vm: _Vm, host: Host) -> Iterator[str]:
    for vsmmu in vsmmus if vm.nodes else ():
        if vsmmu.host_node is not None and vsmmu.numa_node is None:
            yield (
                f"{vsmmu.expander} has no numa_node: no NUMA node of the guest stands for node "
                f"{vsmmu.host_node} of the host (-numa node,nodeid={vsmmu.host_node},memdev=... would)"
            )
    several = {vsmmu.host_node for vsmmu in vsmmus if vsmmu.host_node is not None}
    if vm.words and not vm.nodes and len(several) > 1:
        yield (
            f"the functions sit on {len(several)} NUMA nodes of the host and the guest has none: "
            "with -numa node,... it would know"
        )
    served = _served(vm, host)
    for vsmmu in vsmmus:
        if vsmmu.host_smmu in served:
            first = served[vsmmu.host_smmu]
            yield f"{first} stands for {vsmmu.host_smmu} already; {vsmmu.id} is a second vSMMU for it"


def _served(vm: _Vm, host: Host) -> dict[str, str]:
    """Host SMMU -> the vSMMU of the VM as it is that stands for it."""
    served: dict[str, str] = {}
    for vsmmu in vm.machine.vsmmus:
        bus = vm.topology.primary_bus_of(vsmmu)
        for device in vm.topology.endpoints_behind(bus.name) if bus is not None else ():
            function = host.function(host_address(device) or "") if is_vfio(device.driver) else None
            if function is not None and function.smmu:
                served.setdefault(function.smmu, vsmmu.name)
    return served
