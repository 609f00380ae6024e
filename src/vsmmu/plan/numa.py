# SPDX-License-Identifier: Apache-2.0
"""Guest NUMA nodes of host NUMA nodes, as far as the configuration binds them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from vsmmu.machine.model import INITIATOR
from vsmmu.qemu.numa_options import nodes_by_number
from vsmmu.qemu.values import unsigned

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vsmmu.machine.domain.document import DomainXml
    from vsmmu.machine.model import Machine
    from vsmmu.machine.vm import Vm

__all__ = ["GuestNode", "guest_nodes", "node_for", "only_main_node"]

_MAIN: Final = 0


class GuestNode(NamedTuple):
    """A NUMA node of the guest.

    :param host: the one host node that its memory is bound to; None if it is not bound.
    :param initiator: whether it is for memory that a function brings.
    :param measured: the nodes to which a distance is written.
    """

    host: int | None = None
    initiator: bool = False
    measured: frozenset[int] = frozenset()


def guest_nodes(vm: Vm) -> dict[int, GuestNode]:
    """The guest's nodes.

    From ``-numa node,nodeid=,memdev=`` and the ``host-nodes`` of the memory object; from
    ``<cpu><numa><cell id=''/>`` and ``<numatune><memnode cellid='' nodeset=''/>``.
    """
    machine = vm.machine()
    nodes = _nodes_of_words(machine) if vm.domain is None else _nodes_of_domain(vm.domain)
    given = {str(entry.properties.get("node")) for entry in machine.objects if entry.qom_type == INITIATOR}
    measured = _measured_in_words(machine) if vm.domain is None else _measured_in_domain(vm.domain)
    return {
        node: GuestNode(
            host, str(node) in given, frozenset(other for one, other in measured if one == str(node))
        )
        for node, host in nodes.items()
    }


def _measured_in_words(machine: Machine) -> list[tuple[str, int]]:
    settings = [option.settings for option in machine.numa if option.settings.get("type") == "dist"]
    return [
        (entry.get("src", ""), int(entry["dst"])) for entry in settings if entry.get("dst", "").isdecimal()
    ]


def _measured_in_domain(domain: DomainXml) -> list[tuple[str, int]]:
    return [
        (cell.get("id") or str(position), int(sibling.get("id")))
        for position, cell in enumerate(domain.root.all("cpu/numa/cell"))
        for sibling in cell.all("distances/sibling")
        if sibling.get("id").isdecimal()
    ]


def _nodes_of_words(machine: Machine) -> dict[int, int | None]:
    objects = {entry.id: entry.properties for entry in machine.objects}
    return {
        node: _one_host_node(objects.get(option.settings.get("memdev", ""), {}))
        for node, option in nodes_by_number(machine.numa).items()
    }


def _nodes_of_domain(domain: DomainXml) -> dict[int, int | None]:
    bound = {entry.get("cellid"): entry.get("nodeset") for entry in domain.root.all("numatune/memnode")}
    nodes: dict[int, int | None] = {}
    for position, cell in enumerate(domain.root.all("cpu/numa/cell")):
        name = cell.get("id") or str(position)
        node = _number(name)
        if node is not None:
            nodes[node] = _number(bound.get(name, ""))
    return nodes


def _number(text: str) -> int | None:
    """A node's number; None for none, and for one that no node has."""
    return unsigned(text) if text.isdecimal() else None


def only_main_node(nodes: Mapping[int, GuestNode]) -> bool:
    """Whether all nodes but 0 are for memory that functions bring, so that everything is near to node 0."""
    return all(node.initiator for number, node in nodes.items() if number != _MAIN)


def node_for(host_node: int | None, nodes: Mapping[int, GuestNode]) -> int | None:
    """The guest's node for a device near ``host_node``; None if there is none that fits.

    Where memory is bound, the binding tells; where none is, node 0 if it alone has CPUs and memory, else
    equal numbers are taken to mean equal nodes.
    """
    if len(nodes) > 1 and _MAIN in nodes and nodes[_MAIN].host is None and only_main_node(nodes):
        return _MAIN
    if host_node is None:
        return None
    bound = [number for number, node in nodes.items() if node.host == host_node]
    if bound:
        return bound[0]
    unbound = all(node.host is None for node in nodes.values())
    return host_node if unbound and host_node in nodes and not nodes[host_node].initiator else None


def _one_host_node(memory: Mapping[str, object]) -> int | None:
    """``host-nodes`` is a number, or in JSON a list; several nodes say nothing about one of them."""
    value = memory.get("host-nodes")
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    text = str(value) if isinstance(value, (str, int)) and not isinstance(value, bool) else ""
    return _number(text)
