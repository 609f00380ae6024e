# SPDX-License-Identifier: Apache-2.0
"""Edits of a domain that give it NUMA cells, an MMIO window, and generic initiators.

libvirt 12.8 makes ``-numa node`` of each cell (without ``memdev`` for one without memory) and
``highmem-mmio-size`` of ``<pcihole64>`` [measured: domxml-to-native].
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vsmmu.machine.domain.insertion import NewElement, append, insert_behind, set_attributes
from vsmmu.machine.domain.spans import Splice, extent_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from vsmmu.machine.domain.elements import Element

__all__ = [
    "by_holder",
    "cell",
    "cell_splices",
    "distance_splices",
    "hole_splices",
    "nodeset_splices",
    "root_controller",
    "window_bytes",
]

_KIB_BITS: Final = 10
_SUFFIXES: Final = "KMGTPE"
#: Elements of a domain that its schema has before ``<cpu>``, in no particular order.
_BEFORE_CPU: Final = ("features", "os", "vcpu", "memory", "uuid", "name")


def cell(node: int, cpus: str, memory: int, distances: Mapping[int, int] | None = None) -> NewElement:
    """A NUMA node of the guest; its memory in bytes.

    :param distances: to other nodes; libvirt takes one direction for both.
    """
    size = {"memory": str(memory >> _KIB_BITS), "unit": "KiB"}
    attributes = {"id": str(node), **({"cpus": cpus} if cpus else {}), **size}
    return NewElement("cell", attributes, (_distances(distances),) if distances else ())


def _distances(values: Mapping[int, int]) -> NewElement:
    siblings = (NewElement("sibling", {"id": str(node), "value": str(far)}) for node, far in values.items())
    return NewElement("distances", {}, tuple(siblings))


def by_holder(pairs: Mapping[tuple[int, int], int]) -> dict[int, dict[int, int]]:
    """Distances by the node that has them: the higher number, if both directions are one."""
    found: dict[int, dict[int, int]] = {}
    for (one, other), value in pairs.items():
        holder, far = (one, other) if (other, one) in pairs else (other, one)
        found.setdefault(holder, {})[far] = value
    return found


def distance_splices(
    data: bytes, root: Element, distances: Mapping[int, Mapping[int, int]]
) -> Iterator[Splice]:
    """Give cells that the domain has distances, besides those that they have.

    :param distances: by cell: to other nodes.
    """
    for position, element in enumerate(root.all("cpu/numa/cell")):
        name = element.get("id") or str(position)
        values = distances.get(int(name), {}) if name.isdecimal() else {}
        new, written = _distances(values), element.find("distances")
        if values and written is not None:
            yield append(data, written, new.children)
        elif values:
            yield append(data, element, [new])


def cell_splices(data: bytes, root: Element, cells: Sequence[NewElement]) -> Iterator[Splice]:
    """Put cells behind those that the domain has."""
    cpu, numa = root.find("cpu"), root.find("cpu/numa")
    new = NewElement("numa", {}, tuple(cells))
    if not cells:
        return
    if numa is not None:
        yield append(data, numa, cells)
    elif cpu is not None:
        yield append(data, cpu, [new])
    else:
        before = next(found for name in _BEFORE_CPU if (found := root.find(name)) is not None)
        yield insert_behind(data, before, [NewElement("cpu", {}, (new,))])


def _hole(window: int) -> NewElement:
    return NewElement("pcihole64", {"unit": "KiB"}, text=str(window >> _KIB_BITS))


def window_bytes(size: str) -> int:
    """A size in bytes, as QEMU reads one of whole numbers and a binary unit: ``512G``."""
    power = _SUFFIXES.find(size[-1:]) + 1 if size[-1:] else 0
    return int(size[:-1] if power else size) << (_KIB_BITS * power)


def root_controller(window: int) -> NewElement:
    """The board's root complex with this MMIO window, in bytes."""
    return NewElement("controller", {"type": "pci", "index": "0", "model": "pcie-root"}, (_hole(window),))


def hole_splices(data: bytes, root: Element, window: int) -> Iterator[Splice]:
    """Give the domain this MMIO window, in bytes, in the place of the one that it has."""
    devices = root.find("devices")
    complexes = (one for one in root.all("devices/controller") if one.get("model") == "pcie-root")
    board = next(complexes, None)
    written = board.find("pcihole64") if board is not None else None
    if written is not None:
        extent = extent_of(data, written)
        yield Splice(extent.start, extent.end, "".join(_hole(window).lines()).encode())
    elif board is not None:
        yield append(data, board, [_hole(window)])
    elif devices is not None:
        yield append(data, devices, [root_controller(window)])


def nodeset_splices(data: bytes, hostdev: Element, nodes: Sequence[int]) -> Iterator[Splice]:
    """Make a host device the generic initiator of nodes, besides those that it has."""
    acpi = hostdev.find("acpi")
    if acpi is not None:
        written = [acpi.get("nodeset"), *map(str, nodes)]
        yield from set_attributes(data, acpi, {"nodeset": ",".join(filter(None, written))}, ("nodeset",))
        return
    text = f"{nodes[0]}-{nodes[-1]}" if len(nodes) > 1 else f"{nodes[0]}"
    new = [NewElement("acpi", {"nodeset": text})]
    # Behind source and driver: between them xmllint, and with it define --validate, does not take it.
    found = [child for name in ("source", "driver") if (child := hostdev.find(name)) is not None]
    last = max(found, key=lambda child: child.start, default=None)
    yield append(data, hostdev, new) if last is None else insert_behind(data, last, new)
