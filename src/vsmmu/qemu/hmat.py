# SPDX-License-Identifier: Apache-2.0
"""Latencies, bandwidths and memory side caches of NUMA nodes (``-numa hmat-lb``, ``-numa hmat-cache``).

Sources: parse_numa_hmat_lb() and parse_numa_hmat_cache() in hw/core/numa.c of qemu/qemu; texts of 11.1.3.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

from vsmmu.qemu.findings import Refusal
from vsmmu.qemu.numa_options import number

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Mapping

__all__ = ["HeterogeneousMemory"]

_MIB: Final = 1 << 20
#: Compressed values have 16 bits, and the last stands for none.
_MOST: Final = 0xFFFF
_MOST_UINT64: Final = (1 << 64) - 1
_LEVELS: Final = 4


class HeterogeneousMemory:
    """What the options have said so far.

    :param with_cpus: the nodes that have a CPU by now; it grows.
    :param nodes: the nodes that there are by now; it grows.
    """

    def __init__(self, with_cpus: Container[int], nodes: Mapping[int, object] | set[int]) -> None:
        self._with_cpus = with_cpus
        self._nodes = nodes
        self._pairs: defaultdict[tuple[str, str], set[tuple[int, int]]] = defaultdict(set)
        self._bases: dict[tuple[str, str], int] = {}
        self._ranges: defaultdict[tuple[str, str], int] = defaultdict(int)
        self._told: defaultdict[int, set[str]] = defaultdict(set)
        self._caches: dict[tuple[int, int], int] = {}

    def speed(self, settings: Mapping[str, str]) -> str:
        """QEMU's sentence about a latency or bandwidth; empty if it takes it."""
        initiator, target = number(settings, "initiator") or 0, number(settings, "target") or 0
        most = len(self._nodes)
        for name, node in (("initiator", initiator), ("target", target)):
            if node > most:
                return f"Invalid {name}={node}, it should be less than {most}"
        if initiator not in self._with_cpus:
            return f"Invalid initiator={initiator}, it isn't an initiator proximity domain"
        if target not in self._nodes:
            return f"The target={target} should point to an existing node"
        kind = settings["data-type"].rpartition("-")[2]
        other = "bandwidth" if kind == "latency" else "latency"
        if kind not in settings:
            return f"Missing '{kind}' option"
        if other in settings:
            return f"Invalid option '{other}' since the data type is {kind}"
        value = number(settings, kind) or 0
        where = f"between initiator={initiator} and target={target}"
        if kind == "bandwidth" and value % _MIB:
            return f"Bandwidth {value} {where} should be 1MB aligned"
        table = settings["hierarchy"], settings["data-type"]
        if (initiator, target) in self._pairs[table]:
            return f"Duplicate configuration of the {kind} for initiator={initiator} and target={target}"
        if value and not (self._latency if kind == "latency" else self._bandwidth)(table, value):
            entered = "min or max values" if kind == "latency" else "values"
            return (
                f"{kind.title()} {value} {where} should not differ from previously entered {entered} on more "
                f"than {_MOST - 1}"
            )
        if value:
            self._told[target].add(kind)
        self._pairs[table].add((initiator, target))
        return ""

    def _latency(self, table: tuple[str, str], value: int) -> bool:
        """Whether a latency fits beside the others; the base is the largest power of ten in all of them."""
        base = self._bases.setdefault(table, _MOST_UINT64)
        unit, rest = 1, value
        while rest % 10 == 0:
            rest, unit = rest // 10, unit * 10
        most = max(self._ranges[table], value // base)
        if most >= _MOST:
            return False
        self._bases[table], self._ranges[table] = min(base, unit), most
        return True

    def _bandwidth(self, table: tuple[str, str], value: int) -> bool:
        """Whether a bandwidth fits beside the others; the base is the largest power of two in all of them."""
        bits = self._ranges[table] | value
        unit = bits & -bits
        if (bits // unit).bit_length() > _MOST.bit_length() or value // unit >= _MOST:
            return False
        self._ranges[table] = bits
        return True

    def cache(self, settings: Mapping[str, str]) -> str:
        """QEMU's sentence about a memory side cache; empty if it takes it."""
        node, level, size = (number(settings, name) or 0 for name in ("node-id", "level", "size"))
        if node >= len(self._nodes):
            return f"Invalid node-id={node}, it should be less than {len(self._nodes)}"
        if self._told[node] != {"latency", "bandwidth"}:
            return (
                f"The latency and bandwidth information of node-id={node} should be provided before memory "
                "side cache attributes"
            )
        if not 1 <= level < _LEVELS:
            return (
                f"Invalid level={level}, it should be larger than 0 and less than or equal to {_LEVELS - 1}"
            )
        if (node, level) in self._caches:
            return f"Duplicate configuration of the side cache for node-id={node} and level={level}"
        for text in self._beside(node, level, size):
            return text
        self._caches[node, level] = size
        return ""

    def _beside(self, node: int, level: int, size: int) -> Iterator[str]:
        below, above = self._caches.get((node, level - 1)), self._caches.get((node, level + 1))
        said = f"Invalid size={size}, the size of level={level} should be"
        if level > 1 and below is None:
            yield f"Cache level={level - 1} shall be defined first"
        elif below is not None and size <= below:
            yield f"{said} larger than the size({below}) of level={level - 1}"
        elif above is not None and size >= above:
            yield f"{said} less than the size({above}) of level={level + 1}"

    def refusal(self, settings: Mapping[str, str]) -> Refusal | None:
        """What QEMU says of one of these options."""
        text = self.speed(settings) if settings["type"] == "hmat-lb" else self.cache(settings)
        return Refusal("qemu-hmat", {"text": text}) if text else None
