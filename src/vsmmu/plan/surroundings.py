# SPDX-License-Identifier: Apache-2.0
"""Surroundings of planned vSMMUs: the VM's MMIO window, and NUMA nodes for memory that functions bring.

A node without CPU and memory costs nothing; QEMU wants node 0 and no gap in the numbers [measured]. A VM that
has no NUMA node yet gets node 0 with all its CPUs and memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from vsmmu.host.judgements import generic_initiators
from vsmmu.host.mmio_window import spell_size, window_need
from vsmmu.machine.model import INITIATOR, WINDOW_OPTION
from vsmmu.plan.distances import guest_distances
from vsmmu.plan.model import PlannedNode
from vsmmu.plan.numa import only_main_node
from vsmmu.qemu.egm import egm_backend
from vsmmu.qemu.values import size as read_size

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from vsmmu.host.facts import Host, HostFunction
    from vsmmu.plan.model import PlannedDistance, PlannedPort, PlannedVsmmu
    from vsmmu.plan.numa import GuestNode
    from vsmmu.plan.numbers import Names

__all__ = ["MAIN_NODE", "MainNode", "Surroundings", "initiator_words", "surround", "window_for"]

#: How a VM gets a node 0, for people.
MAIN_NODE: Final = "-object memory-backend-ram,id=ram0,size=SIZE -numa node,nodeid=0,cpus=0-N,memdev=ram0"
#: The node that stands for the VM's own CPUs and memory.
_MAIN: Final = 0


class MainNode(NamedTuple):
    """All CPUs and memory of a VM without NUMA nodes.

    :param cpus: how many at most.
    :param memory: in bytes.
    """

    cpus: int
    memory: int

    @property
    def listed(self) -> str:
        """The numbers of the CPUs, as QEMU and libvirt write them."""
        return f"0-{self.cpus - 1}" if self.cpus > 1 else "0"


class Surroundings(NamedTuple):
    """What is added beside the vSMMUs.

    :param nodes: new NUMA nodes of the guest.
    :param window: the MMIO window to write, in bytes; 0 where nothing has to be written.
    :param distances: between nodes of the guest.
    :param memory: id of the memory object of node 0, where there is one.
    """

    nodes: tuple[PlannedNode, ...] = ()
    window: int = 0
    memory: str = ""
    distances: tuple[PlannedDistance, ...] = ()

    @property
    def stand_in(self) -> tuple[str, ...]:
        """A node 0 to judge a fragment with, whose nodes begin at 1; it is not handed out."""
        if not self.nodes or self.nodes[0].memory or self.nodes[0].id != 1:
            return ()
        memory = "memory-backend-ram,id=node-0,size=1G"
        return ("-m", "1G", "-object", memory, "-numa", "node,nodeid=0,cpus=0,memdev=node-0")

    def machine_words(self) -> Iterator[str]:
        """What comes before the devices."""
        if self.window:
            yield from ("-machine", f"{WINDOW_OPTION}={spell_size(self.window)}")
        for node in self.nodes:
            if node.memory:
                yield from ("-object", self._backend(node))
                yield from ("-numa", f"node,nodeid={node.id},cpus={node.cpus},memdev={self.memory}")
            else:
                yield from ("-numa", f"node,nodeid={node.id}")
        for entry in self.distances:
            yield from ("-numa", f"dist,src={entry.source},dst={entry.target},val={entry.value}")

    def _backend(self, node: PlannedNode) -> str:
        size = spell_size(node.memory)
        if node.egm:
            return egm_backend(self.memory, node.egm, size)
        return f"memory-backend-ram,id={self.memory},size={size}"


def initiator_words(vsmmus: Sequence[PlannedVsmmu], names: Names) -> Iterator[str]:
    """A generic initiator for each node of each function, in the order of the nodes: that of the SRAT."""
    for vsmmu in vsmmus:
        for port in vsmmu.endpoints:
            for node in port.initiators:
                entry = names.take("gi", 0)
                yield from ("-object", f"{INITIATOR},id={entry},pci-dev={port.device},node={node}")


def surround(
    vsmmus: Sequence[PlannedVsmmu],
    host: Host,
    nodes: Mapping[int, GuestNode],
    main: Callable[[], MainNode | str | None],
    written: str | None,
    names: Names,
    present: Sequence[Sequence[HostFunction]] = (),
) -> tuple[tuple[PlannedVsmmu, ...], Surroundings, tuple[str, ...]]:
    """Give planned functions the nodes and the window that they need.

    :param nodes: the NUMA nodes that the VM has.
    :param main: tells what node 0 would be, in a VM without nodes; None where there is no VM to know it of, a
        reason where the VM's own memory cannot be put into a node.
    :param written: the VM's own MMIO window as it is written; None if it is not.
    :param present: the functions that the VM has already, those behind one root complex together.
    :return: the vSMMUs with their functions' nodes, the surroundings, and notes on them.
    """
    counts = {port.function: _initiators(port, host) for vsmmu in vsmmus for port in vsmmu.endpoints}
    bringing = any(counts.values())
    own = main() if bringing and not nodes else None
    notes: list[str] = []
    if isinstance(own, str):
        notes.append(f"no generic initiators are written: {own}; give the VM its node 0 ({MAIN_NODE})")
    elif bringing:
        vsmmus = tuple(
            _with_initiators(vsmmus, counts, max(nodes, default=_MAIN) + 1, bare=only_main_node(nodes))
        )
        if own is None and not nodes:
            notes.append(
                f"node 0 is the one with the VM's CPUs and memory: {MAIN_NODE}, with SIZE that of -m"
            )
    new = [PlannedNode(node) for vsmmu in vsmmus for port in vsmmu.endpoints for node in port.initiators]
    memory = ""
    if isinstance(own, MainNode):
        memory = names.take("ram", 0)
        new.insert(0, PlannedNode(_MAIN, own.listed, own.memory))
    window, about = window_for(written, [*present, *(_functions(vsmmu, host) for vsmmu in vsmmus)])
    brought = [(port.function, port.initiators) for vsmmu in vsmmus for port in vsmmu.endpoints]
    distances = guest_distances(host, nodes, brought)
    return tuple(vsmmus), Surroundings(tuple(new), window, memory, distances), (*notes, *about)


def _initiators(port: PlannedPort, host: Host) -> int:
    """How many nodes the function of a port has for its memory, as far as is known."""
    function = host.function(port.function)
    return generic_initiators(host, function).interval.low if function is not None else 0


def _with_initiators(
    vsmmus: Sequence[PlannedVsmmu], counts: Mapping[str, int], first: int, *, bare: bool
) -> Iterator[PlannedVsmmu]:
    """Number the nodes of all functions from ``first`` on.

    :param counts: how many each function has.
    :param bare: whether node 0 is the only one with CPUs and memory, so that everything is near to it.
    """
    for vsmmu in vsmmus:
        ports = []
        for port in vsmmu.ports:
            count = counts.get(port.function, 0)
            ports.append(msgspec.structs.replace(port, initiators=tuple(range(first, first + count))))
            first += count
        near = _MAIN if bare and vsmmu.numa_node is None else vsmmu.numa_node
        yield msgspec.structs.replace(vsmmu, ports=tuple(ports), numa_node=near)


def _functions(vsmmu: PlannedVsmmu, host: Host) -> list[HostFunction]:
    named = (host.function(port.function) for port in vsmmu.endpoints)
    return [function for function in named if function is not None]


def window_for(written: str | None, groups: Sequence[Sequence[HostFunction]]) -> tuple[int, tuple[str, ...]]:
    """The window to write, in bytes, and what to say of it; 0 where nothing has to be written.

    :param written: the VM's own, as it is written; None if it is not.
    :param groups: the VM's functions, those behind one root complex together.
    """
    need = window_need(groups)
    if need is None:
        return 0, ()
    present = None if written is None else read_size(written)
    if present is not None and present >= need.ample:
        return 0, ()
    if need.exact:
        return need.ample, ()
    open_ones = [
        function.address
        for group in groups
        for function in group
        if function.memory_regions is msgspec.UNSET
        or any(region.bound != "exact" for region in function.memory_regions)
    ]
    note = (
        f"{WINDOW_OPTION}={spell_size(need.ample)} is for what is known of the memory BARs of "
        f"{', '.join(open_ones[:4])}, which is at least: vsmmu probe would tell exactly"
    )
    return need.ample, (note,)
