# SPDX-License-Identifier: Apache-2.0
"""NUMA cells of a domain that libvirt refuses, or QEMU for libvirt: numbers, memory, CPUs, distances.

Source: virDomainNumaDefParseXML() and virDomainNumaDefNodeDistanceParseXML() in src/conf/numa_conf.c of
libvirt, which fills in the distances that are left out. Held against libvirt 12.8, which
``tests/libvirt/test_libvirt_cells_real.py`` asks again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vsmmu.machine.domain.numbers import integer
from vsmmu.machine.domain.surroundings import nodes_of
from vsmmu.qemu.numa_options import MOST_NODES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from vsmmu.machine.domain.elements import Element

__all__ = ["cell_faults"]

_UNITS: Final = frozenset(
    ("", "b", "bytes", *(f"{unit}{form}" for unit in "kmgtpe" for form in ("", "ib", "b")))
)
_DISTANCES: Final = range(10, 256)
_LOCAL: Final = 10

#: A code of :data:`vsmmu.libvirt.rules.RULES`, the element that breaks it, and what its places hold.
_Fault = tuple[str, "Element", "Mapping[str, object]"]


def cell_faults(root: Element) -> Iterator[_Fault]:
    """The rules that the cells of a domain break."""
    cells = list(root.all("cpu/numa/cell"))
    if not cells:
        return
    if len(cells) > MOST_NODES:
        yield "cells-many", cells[MOST_NODES], {"count": len(cells)}
    taken: dict[int, Element] = {}
    for position, cell in enumerate(cells):
        node = integer("node", cell.get("id")) if cell.get("id") else position
        if node is None or not 0 <= node < len(cells):
            yield "cell-number", cell, {"value": f"{cell.get('id'):.40}", "last": len(cells) - 1}
        elif node in taken:
            yield "cell-twice", cell, {"value": node}
        else:
            taken[node] = cell
        memory = cell.get("memory")
        if not (memory.isascii() and memory.isdecimal()) or cell.get("unit").lower() not in _UNITS:
            yield "cell-memory", cell, {"value": f"{memory:.40} {cell.get('unit'):.40}".strip()}
    yield from _cpus(root, cells)
    for cell in cells:
        yield from _distances(cell, taken)


def _cpus(root: Element, cells: list[Element]) -> Iterator[_Fault]:
    count = root.value("vcpu") or "1"
    most = int(count) if count.isascii() and count.isdecimal() else None
    seen: set[int] = set()
    for cell in cells:
        written = cell.get("cpus")
        cpus = set(nodes_of(written))
        if written and not cpus:
            yield "cell-cpus", cell, {"value": f"{written:.40}"}
        if cpus & seen:
            yield "cell-cpu-twice", cell, {"value": min(cpus & seen)}
        if most is not None and max(cpus, default=0) >= max(1, most):
            yield "cell-cpu-missing", cell, {"value": max(cpus), "count": most}
        seen |= cpus


def _distances(cell: Element, cells: Mapping[int, Element]) -> Iterator[_Fault]:
    for sibling in cell.all("distances/sibling"):
        node, value = (integer("node", sibling.get(name)) for name in ("id", "value"))
        local = node is not None and cells.get(node) is cell
        if node not in cells or value not in _DISTANCES or (value == _LOCAL) != local:
            written = f"id={sibling.get('id'):.40} value={sibling.get('value'):.40}"
            yield "cell-distance", sibling, {"value": written}
