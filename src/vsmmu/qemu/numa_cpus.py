# SPDX-License-Identifier: Apache-2.0
"""CPUs and initiators of a VM's NUMA nodes: which node each CPU belongs to, and what QEMU refuses of it.

Sources: machine_set_cpu_numa_node(), machine_numa_finish_cpu_init() and numa_validate_initiator() in
hw/core/machine.c of qemu/qemu; each text measured with 11.1.3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vsmmu.qemu.doubts import board_doubt
from vsmmu.qemu.findings import Refusal
from vsmmu.qemu.numa_options import MOST_NODES, cpu_numbers, number

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from vsmmu.diagnostic import Diagnostic
    from vsmmu.machine.model import GroupOption
    from vsmmu.qemu.cpu_slots import CpuTopology

__all__ = ["NodeCpus"]

#: Parameters of ``-numa cpu`` that the virt board has, in the order of a slot.
_NAMES: Final = ("socket-id", "cluster-id", "core-id", "thread-id")
#: Those that it refuses, in the order in which QEMU looks; it does not look at books and drawers at all.
_FOREIGN: Final = ("module-id", "die-id")


class NodeCpus:
    """The CPUs as they are given to nodes, one option after the other.

    :param topology: of the VM's CPUs; None if that is not known: then nothing is said.
    :param hmat: whether the machine has an HMAT, where a node has an initiator.
    :ivar initiators: by node, as written, or the node itself once it has a CPU.
    :ivar with_cpus: the nodes that have a CPU, as far as the HMAT counts them.
    """

    def __init__(self, topology: CpuTopology | None, *, hmat: bool) -> None:
        self._slots = [] if topology is None else list(topology.slots())
        self._known = topology is not None
        self._hmat = hmat
        self._nodes: list[int | None] = [None] * len(self._slots)
        self.initiators: dict[int, int] = {}
        self.with_cpus: set[int] = set() if self._known else set(range(MOST_NODES))

    def give_to_node(self, node: int, option: GroupOption) -> Refusal | None:
        """The CPUs of a ``-numa node`` with ``cpus=``."""
        most = len(self._slots)
        for cpus in cpu_numbers(option.cpus) if self._known else ():
            refusal = self._give(node, cpus[: max(0, most - cpus.start)])
            if refusal is not None:
                return refusal
            if cpus.stop > most:
                first = max(cpus.start, most)
                return Refusal("qemu-node-cpu-index", {"value": first, "expected": most})
        return None

    def give_matching(self, option: GroupOption, nodes: Iterable[int]) -> Refusal | Diagnostic | None:
        """The CPUs that a ``-numa cpu`` describes.

        :param nodes: those that there are so far.
        """
        node = number(option.settings, "node-id")
        if node is None:
            return Refusal("qemu-node-cpu-unnamed", {})
        if node not in nodes:
            refusal = Refusal("qemu-node-cpu-early", {"value": node})
            if 0 <= node < MOST_NODES:
                return refusal
            return board_doubt(refusal, f"what QEMU finds where node {node} would be")
        for name in _FOREIGN:
            if name in option.settings and self._known:
                return Refusal("qemu-node-cpu-foreign", {"value": name})
        wanted = [number(option.settings, name) for name in _NAMES]
        matching = [index for index, slot in enumerate(self._slots) if _fits(slot, wanted)]
        if self._known and not matching:
            return Refusal("qemu-node-cpu-none", {})
        return self._give(node, matching)

    def _give(self, node: int, cpus: Iterable[int]) -> Refusal | None:
        for cpu in cpus:
            present = self._nodes[cpu]
            if present is not None and present != node:
                return Refusal("qemu-node-cpu-taken", {"value": present})
            self._nodes[cpu] = node
            if self._hmat:
                initiator = self.initiators.setdefault(node, node)
                if initiator != node:
                    text = f"The initiator of CPU NUMA node {node} should be itself (got {initiator})"
                    return _initiator(text)
                self.with_cpus.add(node)
        return None

    def finish(self, nodes: int) -> Iterator[Refusal]:
        """What QEMU says once all options are read; CPUs without a node get one.

        :param nodes: how many there are.
        """
        if not self._known or not self._hmat:
            return
        spread = all(node is None for node in self._nodes)
        for cpu, slot in enumerate(self._slots):
            if self._nodes[cpu] is None:
                refusal = self._give(slot.socket % nodes if spread else 0, [cpu])
                if refusal is not None:
                    yield refusal
                    return
        for node, initiator in sorted(self.initiators.items()):
            if initiator >= nodes:
                text = f"NUMA node {initiator} is missing, use '-numa node' option to declare it first"
                yield _initiator(text)
                return
            if initiator not in self.with_cpus:
                yield _initiator(f"The initiator of NUMA node {node} is invalid")
                return


def _fits(slot: Sequence[int], wanted: Sequence[int | None]) -> bool:
    return all(want in (None, there) for there, want in zip(slot, wanted, strict=True))


def _initiator(text: str) -> Refusal:
    return Refusal("qemu-node-initiator", {"text": text})
