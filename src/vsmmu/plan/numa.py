# SPDX-License-Identifier: Apache-2.0
"""Which NUMA node of the guest stands for which node of the host, as far as the configuration says."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from vsmmu.machine.command_line.keyval import merged, parse_opts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vsmmu.machine.model import Machine

__all__ = ["guest_nodes", "node_for"]


def guest_nodes(words: Sequence[str], machine: Machine) -> dict[int, int | None]:
    """The guest's nodes, each with the one host node that its memory is bound to; None if it is not bound.

    From ``-numa node,nodeid=,memdev=`` and the ``host-nodes`` of the memory object.
    """
    objects = {entry.id: entry.properties for entry in machine.objects}
    nodes: dict[int, int | None] = {}
    for option, value in pairwise(words):
        if option.lstrip("-") != "numa" or not option.startswith("-"):
            continue
        settings = _settings(value)
        if settings.get("type") != "node":
            continue
        number = settings.get("nodeid", "")
        node = int(number) if number.isdecimal() else len(nodes)
        memory = objects.get(settings.get("memdev", ""), {})
        nodes[node] = _one_host_node(memory)
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


def _settings(text: str) -> dict[str, str]:
    if text.startswith("{"):
        from vsmmu.machine.command_line.qjson import JsonError, parse_object

        try:
            return {member.key: str(member.value) for member in parse_object(text)}
        except JsonError:
            return {}
    return merged(parse_opts(text, "type"))


def _one_host_node(memory: Mapping[str, object]) -> int | None:
    """``host-nodes`` is a number, or in JSON a list; several nodes say nothing about one of them."""
    value = memory.get("host-nodes")
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    text = str(value) if isinstance(value, (str, int)) and not isinstance(value, bool) else ""
    return int(text) if text.isdecimal() else None
