# SPDX-License-Identifier: Apache-2.0
"""NUMA nodes of the host and their distances, from /sys/devices/system/node.

Source: Documentation/ABI/stable/sysfs-devices-node; ``distance`` has a number for each node that is online,
in their order (drivers/base/node.c).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from vsmmu.host.numa_nodes import NumaNode, nodes_fault

if TYPE_CHECKING:
    from vsmmu.probe.system_root import Tree

__all__ = ["NODES", "read_nodes"]

NODES: Final = "/sys/devices/system/node"
_MOST: Final = 1024


def read_nodes(tree: Tree, evidence: str) -> tuple[NumaNode, ...] | None:
    """The nodes that are online; None if sysfs does not say, or says what cannot be."""
    online = _listed(tree.text(f"{NODES}/online"))
    if not online:
        return None
    sets = {name: _listed(tree.text(f"{NODES}/{name}")) or () for name in _SETS}
    found = []
    for node in online:
        written = (tree.text(f"{NODES}/node{node}/distance") or "").split()
        entry: dict[str, object] = {
            "id": node,
            "distances": [int(text) for text in written if text.isdecimal()],
            "evidence": evidence,
        }
        entry |= {member: True for name, member in _SETS.items() if node in sets[name]}
        found.append(entry)
    try:
        nodes = msgspec.convert(found, tuple[NumaNode, ...])
    except msgspec.ValidationError:
        return None
    return None if nodes_fault(nodes, {evidence}) else nodes


#: A set of nodes -> the member that says whether a node is in it.
_SETS: Final = {"has_cpu": "cpus", "has_memory": "memory", "has_generic_initiator": "generic_initiator"}


def _listed(text: str | None) -> list[int]:
    """The numbers of ``0-1,3``; none if that is not what it is."""
    found: list[int] = []
    for part in (text or "").split(","):
        first, _, last = part.partition("-")
        if not first.isdecimal() or not (last or first).isdecimal() or int(last or first) >= _MOST:
            return []
        found += range(int(first), int(last or first) + 1)
    return found
