# SPDX-License-Identifier: Apache-2.0
"""Changes that give functions which a VM has what they need besides a vSMMU: a window, NUMA nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vsmmu.diagnostic import MACHINE, Edit, Insertion
from vsmmu.host.judgements import generic_initiators
from vsmmu.host.mmio_window import spell_size
from vsmmu.machine.drivers import is_vfio
from vsmmu.machine.endpoints import host_address
from vsmmu.machine.model import EGM, INITIATOR, WINDOW_OPTION
from vsmmu.machine.topology import Topology
from vsmmu.plan.distances import guest_distances
from vsmmu.plan.main_node import main_node_of_domain, main_node_of_words
from vsmmu.plan.numa import guest_nodes, only_main_node
from vsmmu.plan.numbers import Names
from vsmmu.plan.surroundings import MAIN_NODE, window_for
from vsmmu.qemu.egm import backing_node, region_of
from vsmmu.qemu.numa_options import MOST_NODES
from vsmmu.qemu.passthrough import functions_by_root, initiator_nodes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from vsmmu.diagnostic import Change, Written
    from vsmmu.host.facts import Host
    from vsmmu.machine.command_line.argv import CommandLine
    from vsmmu.machine.model import Device, Machine
    from vsmmu.machine.vm import Vm

__all__ = ["NoNodes", "egm_changes", "initiator_changes", "window_changes", "with_needs"]

_MAIN: Final = 0


class NoNodes(Exception):
    """A function cannot be given NUMA nodes for memory that it brings; the text says why."""


def with_needs(vm: Vm, host: Host, functions: Mapping[str, str]) -> tuple[Vm, tuple[str, ...]]:
    """A VM whose functions have what they need, as far as that is known; what is written there stays.

    :param functions: the addresses of functions that the VM does not name, by device.
    :return: the VM, and notes on what is missing.
    """
    notes: dict[str, None] = {}
    if WINDOW_OPTION not in vm.machine().machine_options:
        changes, about = window_changes(vm.machine(), host, functions)
        vm, notes = vm.edit(changes), dict.fromkeys(about)
    for device in vm.machine().devices:
        if not _wanted(device, host, functions):
            continue
        try:
            # What was added for the device before has made another VM of it.
            vm = vm.edit(initiator_changes(vm, vm.machine().devices[device.number], host, functions))
        except NoNodes as missing:
            notes[str(missing)] = None
    return vm, tuple(notes)


def window_changes(
    machine: Machine, host: Host, functions: Mapping[str, str]
) -> tuple[tuple[Edit, ...], tuple[str, ...]]:
    """The MMIO window for all functions of the VM, and notes on it; none where no size is known."""
    window, notes = window_for(None, functions_by_root(machine, Topology.of(machine), host, functions))
    return (Edit(MACHINE, WINDOW_OPTION, spell_size(window)),) if window else (), notes


def initiator_changes(vm: Vm, device: Device, host: Host, functions: Mapping[str, str]) -> tuple[Change, ...]:
    """The NUMA nodes for memory that a function brings; nothing if it brings none, or has any.

    :param device: of ``vm``.
    :raise NoNodes: where there are too many, and in a VM without any whose CPUs and memory cannot be put into
        one.
    """
    machine, count = vm.machine(), _wanted(device, host, functions)
    if not count or initiator_nodes(machine, device.id):
        return ()
    topology = Topology.of(machine)
    names = Names(machine, topology)
    nodes = guest_nodes(vm)
    first = max(nodes, default=_MAIN) + 1
    if first + count > MOST_NODES:
        raise NoNodes(f"no generic initiators are written: {count} more NUMA nodes are over {MOST_NODES}")
    numbers = range(first, first + count)
    brought = [*_brought(machine, functions), (_address(device, functions), numbers)]
    distances = guest_distances(host, nodes, brought) if _behind_nodes(vm, device) else ()
    if vm.domain is None and not distances and any(node.measured for node in nodes.values()):
        raise NoNodes("no generic initiators are written: the VM has distances, which new nodes need, too")
    return (
        *(() if device.id else (Edit(device.number, "id", name := names.take("vfio", 0)),)),
        *(() if nodes else _main_node(vm, device.number, names)),
        *(_near(machine, device, topology) if only_main_node(nodes) else ()),
        *_of(numbers, device.id or name, device.number, names),
        *(
            Insertion(
                "numa",
                {"type": "dist", "src": entry.source, "dst": entry.target, "val": entry.value},
                device.number,
            )
            for entry in distances
        ),
    )


def egm_changes(vm: Vm, device: Device, host: Host, functions: Mapping[str, str]) -> tuple[Change, ...]:
    """The object that tells the guest's driver of a function's EGM; nothing if no node is of its region.

    :param device: of ``vm``, a command line for a QEMU that has such objects.
    """
    machine = vm.machine()
    region = region_of(host, _address(device, functions))
    node = None if region is None else backing_node(machine, region)
    present = any(
        entry.qom_type == EGM and entry.properties.get("pci-dev") == device.id for entry in machine.objects
    )
    if node is None or (present and device.id):
        return ()
    names = Names(machine, Topology.of(machine))
    name = device.id or names.take("vfio", 0)
    entry: dict[str, Written] = {"qom-type": EGM, "id": names.take("egm", 0), "pci-dev": name, "node": node}
    return (
        *(() if device.id else (Edit(device.number, "id", name),)),
        Insertion("object", entry, device.number),
    )


def _wanted(device: Device, host: Host, functions: Mapping[str, str]) -> int:
    """How many NUMA nodes a device needs for memory that it brings, at least."""
    function = host.function(_address(device, functions))
    return 0 if function is None else generic_initiators(host, function).interval.low


def _address(device: Device, functions: Mapping[str, str]) -> str:
    """Of the function that a device is; empty if it is none, or which is not known."""
    return (functions.get(device.name) or host_address(device) or "") if is_vfio(device.driver) else ""


def _brought(machine: Machine, functions: Mapping[str, str]) -> Iterator[tuple[str, list[int]]]:
    """The functions that have nodes for their memory already."""
    named = {entry.properties.get("pci-dev") for entry in machine.objects if entry.qom_type == INITIATOR}
    for device in machine.devices:
        own = initiator_nodes(machine, device.id) if device.id in named else []
        if numbers := [int(node) for node in own if node.isdecimal()]:
            yield _address(device, functions), numbers


def _behind_nodes(vm: Vm, device: Device) -> bool:
    """Whether all nodes of a command line stand in front of a device, where distances may be written."""
    if vm.command_line is None:
        return True
    options = list(vm.command_line.options())
    words = vm.command_line.words
    last = max((option.last for option in options if option.name == "numa"), default=-1)
    return any(
        option.first > last and " ".join(words[option.first : option.last + 1]) == device.origin.option
        for option in options
    )


def _line(vm: Vm) -> CommandLine:
    assert vm.command_line is not None  # noqa: S101 - a VM is a command line or a domain
    return vm.command_line


def _of(numbers: range, device: str, before: int, names: Names) -> Iterator[Insertion]:
    for node in numbers:
        yield Insertion("numa", {"type": "node", "nodeid": node}, before)
    for node in numbers:
        entry = {"qom-type": INITIATOR, "id": names.take("gi", 0), "pci-dev": device}
        yield Insertion("object", {**entry, "node": node}, before)


def _main_node(vm: Vm, before: int, names: Names) -> Iterator[Insertion]:
    """Node 0, with all CPUs and memory."""
    own = main_node_of_domain(vm.domain) if vm.domain is not None else main_node_of_words(_line(vm))
    if isinstance(own, str):
        raise NoNodes(f"no generic initiators are written: {own}; give the VM its node 0 ({MAIN_NODE})")
    node: dict[str, Written] = {"type": "node", "nodeid": _MAIN, "cpus": own.listed}
    if vm.domain is not None:
        yield Insertion("numa", {**node, "mem": own.memory}, before)
        return
    memory = names.take("ram", 0)
    size = spell_size(own.memory)
    yield Insertion("object", {"qom-type": "memory-backend-ram", "id": memory, "size": size}, before)
    yield Insertion("numa", {**node, "memdev": memory}, before)


def _near(machine: Machine, device: Device, topology: Topology) -> Iterator[Edit]:
    """What says that the root complex of a device is near to node 0."""
    bus = topology.bus_of(device)
    expander = machine.devices[bus.root_owner] if bus is not None and bus.root_owner >= 0 else None
    if expander is not None and "numa_node" not in expander.properties:
        yield Edit(expander.number, "numa_node", _MAIN)
