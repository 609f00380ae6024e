# SPDX-License-Identifier: Apache-2.0
"""Guest NUMA nodes of host NUMA nodes, as far as the configuration binds them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vsmmu.machine.command_line.argv import CommandLine

__all__ = ["guest_nodes", "node_for"]


def guest_nodes(line: CommandLine) -> dict[int, int | None]:
    """The guest's nodes, each with the one host node that its memory is bound to; None if it is not bound.

    From ``-numa node,nodeid=,memdev=`` and the ``host-nodes`` of the memory object.
    """
    objects = {entry.id: entry.properties for entry in line.machine().objects}
    nodes: dict[int, int | None] = {}
    for option in line.options():
        settings = option.settings("type") if option.name == "numa" else {}
        if settings.get("type") == "node":
            number = str(settings.get("nodeid", ""))
            node = int(number) if number.isdecimal() else len(nodes)
            nodes[node] = _one_host_node(objects.get(str(settings.get("memdev", "")), {}))
    return nodes


def node_for(host_node: int | None, nodes: Mapping[int, int | None]) -> int | None:
    """The guest's node for a device near ``host_node``; None if there is none that fits.

    Where memory is bound, the binding tells; where none is, equal numbers are taken to mean equal nodes.
    """
    if host_node is None:
        return None
    bound = [guest for guest, host in nodes.items() if host == host_node]
    if bound:
        return bound[0]
    unbound = all(host is None for host in nodes.values())
    return host_node if unbound and host_node in nodes else None


def _one_host_node(memory: Mapping[str, object]) -> int | None:
    """``host-nodes`` is a number, or in JSON a list; several nodes say nothing about one of them."""
    value = memory.get("host-nodes")
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    text = str(value) if isinstance(value, (str, int)) and not isinstance(value, bool) else ""
    return int(text) if text.isdecimal() else None
