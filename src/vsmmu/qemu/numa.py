# SPDX-License-Identifier: Apache-2.0
"""Refusals of a VM's NUMA nodes: memory backends, gaps and doubles in the numbers, their memory, distances.

Sources: parse_numa_node(), parse_numa_distance() and numa_complete_configuration() in hw/core/numa.c of
qemu/qemu; each text measured with 11.1.3.
"""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Final

from vsmmu.qemu.findings import Refusal
from vsmmu.qemu.memory_size import memory_bytes
from vsmmu.qemu.values import refusal as said_of_value
from vsmmu.qemu.values import size, unsigned

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Mapping, Sequence

    from vsmmu.machine.model import JsonValue, Machine

__all__ = ["MOST_NODES", "numa_refusals"]

#: MAX_NODES of include/system/numa.h; a number that is read at all is a uint16.
MOST_NODES: Final = 128
_MOST_UINT16: Final = 0xFFFF
#: The distance of a node from itself.
_LOCAL: Final = 10


def numa_refusals(machine: Machine) -> Iterator[tuple[str, Refusal]]:
    """The option that QEMU names (empty for the whole) and what it says, in its order."""
    backends = {entry.id: entry for entry in machine.objects if entry.qom_type.startswith("memory-backend-")}
    seen: set[int] = set()
    distances: dict[tuple[int, int], int] = {}
    total: int | None = 0
    for option in machine.numa:
        if option.settings.get("type") == "dist":
            refusal = _distance(option.settings, seen, distances)
            if refusal is not None:
                yield option.origin.option, refusal
        if option.settings.get("type") != "node":
            continue
        node = _number(option.settings.get("nodeid", str(len(seen))))
        if node is None:
            return
        if node >= MOST_NODES:
            yield option.origin.option, _too_many(node, option.settings.get("nodeid", ""))
            return
        if node in seen:
            yield option.origin.option, Refusal("qemu-node-twice", {"value": node})
        seen.add(node)
        name = option.settings.get("memdev", "")
        if name and name not in backends:
            yield option.origin.option, Refusal("qemu-node-memory", {"value": name})
            total = None
        written = (
            backends[name].properties.get("size") if name in backends else option.settings.get("mem", "0")
        )
        memory = _bytes(written)
        total = None if total is None or memory is None else total + memory
    for missing in sorted(set(range(max(seen, default=0))) - seen, reverse=True):
        yield "", Refusal("qemu-node-missing", {"value": missing})
        return
    ram = memory_bytes(machine)
    whole = ram is not None and total is not None and "memory-backend" not in machine.machine_options
    if seen and whole and total != ram:
        yield "", Refusal("qemu-node-sum", {"value": f"{total:#x}", "expected": f"{ram:#x}"})
    for refusal in _open_distances(sorted(seen), distances):
        yield "", refusal


def _too_many(node: int, written: str) -> Refusal:
    if node <= _MOST_UINT16:
        return Refusal("qemu-node-many", {"value": node})
    text = said_of_value("nodeid", "uint64", written, "opts", {}) or "Parameter 'nodeid' expects uint16_t"
    return Refusal("qemu-property-value", {"text": text, "remedy": "number nodes from 0 up to 127"})


def _distance(
    settings: Mapping[str, str], nodes: Container[int], distances: dict[tuple[int, int], int]
) -> Refusal | None:
    """What QEMU says of one ``-numa dist``; one that is right goes into ``distances``."""
    source, target, value = (_number(settings.get(name, "")) for name in ("src", "dst", "val"))
    if source is None or target is None or value is None:
        return None
    for node in (source, target):
        if node not in nodes:
            return Refusal("qemu-distance-node", {"value": node})
    if value < _LOCAL:
        return Refusal("qemu-distance-small", {"value": value})
    if source == target and value != _LOCAL:
        return Refusal("qemu-distance-local", {"value": source})
    distances[source, target] = value
    return None


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


def _number(text: str) -> int | None:
    if not text.isdecimal():
        return None
    number = unsigned(text)
    return _MOST_UINT16 + 1 if number is None else number


def _bytes(written: JsonValue) -> int | None:
    """A size; a number without unit in an option of memory counts MiB, in JSON bytes."""
    if isinstance(written, int):
        return written
    if not isinstance(written, str):
        return None
    return size(f"{written}M" if written.isdecimal() else written)
