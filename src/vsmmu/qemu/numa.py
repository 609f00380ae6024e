# SPDX-License-Identifier: Apache-2.0
"""Refusals of a VM's NUMA nodes: memory backends, gaps and doubles in the numbers, their memory, distances.

Sources: parse_numa_node(), parse_numa_distance(), set_numa_options() and numa_complete_configuration() in
hw/core/numa.c of qemu/qemu; each text measured with 11.1.3.
"""

from __future__ import annotations

from collections import Counter
from itertools import combinations
from typing import TYPE_CHECKING, Final

from vsmmu.machine.model import Unread
from vsmmu.qemu.cpu_slots import cpu_slots
from vsmmu.qemu.findings import Refusal
from vsmmu.qemu.hmat import HeterogeneousMemory
from vsmmu.qemu.memory_size import memory_bytes
from vsmmu.qemu.numa_cpus import NodeCpus
from vsmmu.qemu.numa_options import KINDS, MOST_NODES, number, option_refusal
from vsmmu.qemu.settings import read_bool
from vsmmu.qemu.values import quantity

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from vsmmu.diagnostic import Diagnostic
    from vsmmu.machine.model import GroupOption, Machine
    from vsmmu.versions import Version

__all__ = ["numa_refusals"]

_BACKEND: Final = "memory-backend-"
#: The distance of a node from itself.
_LOCAL: Final = 10


def numa_refusals(machine: Machine, version: Version) -> Iterator[tuple[str, Refusal | Diagnostic]]:
    """The option that QEMU names (empty for the whole) and what it says, in its order.

    :param version: of the machine type.
    """
    nodes = _Nodes(machine, version)
    for option in machine.numa:
        if any(isinstance(value, Unread) for value in option.settings.values()):
            return  # what follows depends on it
        for found in nodes.option(option):
            yield option.origin.option, found
    yield from (("", refusal) for refusal in nodes.complete())


class _Nodes:
    """The nodes as QEMU makes them, one option after the other."""

    def __init__(self, machine: Machine, version: Version) -> None:
        self._machine = machine
        self._hmat = read_bool(machine.machine_options.get("hmat")) is True
        self._backends = {entry.id: entry for entry in machine.objects if entry.qom_type.startswith(_BACKEND)}
        self._cpus = NodeCpus(cpu_slots(machine.smp, version), hmat=self._hmat)
        self._seen: set[int] = set()
        self._speeds = HeterogeneousMemory(self._cpus.with_cpus, self._seen)
        self._distances: dict[tuple[int, int], int] = {}
        self._memories: list[str] = []
        self._total: int | None = 0
        self._broken = False

    def option(self, option: GroupOption) -> Iterator[Refusal | Diagnostic]:
        """What QEMU says of one option; one that is right is taken."""
        refusal = option_refusal(option)
        kind = option.settings.get("type", "")
        if refusal is not None:
            yield refusal
            self._broken |= kind not in KINDS or kind == "node"
        elif kind == "node":
            yield from self._node(option)
        elif kind == "dist":
            yield from self._distance(option.settings)
        elif kind == "cpu":
            found = self._cpus.give_matching(option, self._seen)
            yield from () if found is None else (found,)
        elif not self._hmat:
            yield Refusal("qemu-hmat-off", {})
        else:
            refusal = self._speeds.refusal(option.settings)
            yield from () if refusal is None else (refusal,)

    def _node(self, option: GroupOption) -> Iterator[Refusal]:
        written = number(option.settings, "nodeid")
        node = len(self._seen) if written is None else written
        if node >= MOST_NODES:
            self._broken = True
            yield Refusal("qemu-node-many", {"value": node})
            return
        if node in self._seen:
            yield Refusal("qemu-node-twice", {"value": node})
        initiator = number(option.settings, "initiator")
        if initiator is not None and not self._hmat:
            yield Refusal("qemu-hmat-off", {})
        elif initiator is not None and initiator >= MOST_NODES:
            return  # QEMU prints a line, and goes on without the node
        elif initiator is not None:
            self._cpus.initiators[node] = initiator
        if option.cpus and (refusal := self._cpus.give_to_node(node, option)) is not None:
            yield refusal
        yield from self._memory(option.settings)
        self._seen.add(node)

    def _memory(self, settings: Mapping[str, str]) -> Iterator[Refusal]:
        backend = settings.get("memdev")
        if "mem" in settings:
            mixed = backend is not None or self._memories
            yield Refusal("qemu-node-mixed" if mixed else "qemu-node-mem", {})
            self._total = None
        if backend is None:
            return
        name = backend.removeprefix("/objects/")
        self._memories.append(name)
        if not name and len(self._backends) == 1:
            name = next(iter(self._backends))  # a part of a path, which fits them all
        if name not in self._backends:
            yield Refusal("qemu-node-memory", {"value": backend})
            self._total = None
            return
        memory = quantity(self._backends[name].properties.get("size"))
        self._total = None if self._total is None or memory is None else self._total + memory

    def _distance(self, settings: Mapping[str, str]) -> Iterator[Refusal]:
        source, target, value = (number(settings, name) or 0 for name in ("src", "dst", "val"))
        for name, node in (("src", source), ("dst", target)):
            if node >= MOST_NODES:
                yield Refusal("qemu-distance-number", {"property": name})
                return
        for node in (source, target):
            if node not in self._seen:
                yield Refusal("qemu-distance-node", {"value": node})
                return
        if value < _LOCAL:
            yield Refusal("qemu-distance-small", {"value": value})
        elif source == target and value != _LOCAL:
            yield Refusal("qemu-distance-local", {"value": source})
        else:
            self._distances[source, target] = value

    def complete(self) -> Iterator[Refusal]:
        """What QEMU says of the nodes together, when all are there."""
        if self._broken:
            return
        for missing in sorted(set(range(max(self._seen, default=0))) - self._seen, reverse=True):
            yield Refusal("qemu-node-missing", {"value": missing})
            return
        if not self._seen:
            return
        whole = self._machine.machine_options.get("memory-backend", "")
        ram = self._ram(whole)
        if ram is not None and self._total is not None and self._total != ram:
            yield Refusal("qemu-node-sum", {"value": f"{self._total:#x}", "expected": f"{ram:#x}"})
        elif whole and self._memories:
            yield Refusal("qemu-node-whole", {})
        for name, uses in Counter(self._memories).items():
            if uses > 1:
                yield Refusal("qemu-node-memory-twice", {"value": name})
        yield from _open_distances(sorted(self._seen), self._distances)
        yield from self._cpus.finish(len(self._seen))

    def _ram(self, whole: str) -> int | None:
        """The VM's memory: as -m says, else that of the object named for the whole."""
        if whole and "size" not in self._machine.memory:
            backend = self._backends.get(whole)
            return None if backend is None else quantity(backend.properties.get("size"))
        return memory_bytes(self._machine)


def _open_distances(nodes: Sequence[int], distances: Mapping[tuple[int, int], int]) -> Iterator[Refusal]:
    """What QEMU says of distances that are not written; only the first, for it ends there."""
    pairs = list(combinations(nodes, 2)) if distances else []
    for one, other in pairs:
        if (one, other) not in distances and (other, one) not in distances:
            yield Refusal("qemu-distance-missing", {"value": one, "expected": other})
            return
    both = [(distances.get((one, other)), distances.get((other, one))) for one, other in pairs]
    if any(None not in pair and pair[0] != pair[1] for pair in both) and any(None in pair for pair in both):
        yield Refusal("qemu-distance-directions", {})
