# SPDX-License-Identifier: Apache-2.0
"""EGM of planned functions: the guest's node whose memory is their region, and the objects that say so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from vsmmu.machine.model import EGM
from vsmmu.qemu.egm import FORKS_WITH_EGM, backend_words, backing_node, has_egm, region_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from vsmmu.host.facts import Host
    from vsmmu.host.numa_nodes import EgmRegion
    from vsmmu.machine.model import Machine
    from vsmmu.plan.model import PlannedPort, PlannedVsmmu
    from vsmmu.plan.numbers import Names
    from vsmmu.plan.surroundings import Surroundings
    from vsmmu.qemu.versions import Qemu

__all__ = ["egm_words", "with_egm"]

_MAIN: Final = 0


def with_egm(
    vsmmus: tuple[PlannedVsmmu, ...],
    around: Surroundings,
    machine: Machine,
    host: Host,
    qemu: Qemu | None,
) -> tuple[tuple[PlannedVsmmu, ...], Surroundings, tuple[str, ...]]:
    """Give planned functions their EGM, where the VM's memory is, or can be, their region.

    :param machine: the VM that the plan is added to.
    :param qemu: None for a libvirt domain, which has no words for EGM.
    :return: the vSMMUs, the surroundings, and notes on what is not written.
    """
    found = {
        port.function: region
        for vsmmu in vsmmus
        for port in vsmmu.endpoints
        if (region := region_of(host, port.function)) is not None
    }
    regions = {region.name: region for region in found.values()}
    if not regions:
        return vsmmus, around, ()
    if qemu is None or not has_egm(qemu):
        who = "libvirt has no element for it" if qemu is None else f"QEMU {qemu} has no {EGM}"
        paths = ", ".join(region.path for region in regions.values())
        note = f"no EGM ({paths}) is written for {', '.join(found)}: {who}; that needs {FORKS_WITH_EGM}"
        return vsmmus, around, (note,)
    nodes = {name: backing_node(machine, region) for name, region in regions.items()}
    notes: list[str] = []
    [first, *more] = regions.values()
    if nodes[first.name] is None and not more and _can_be_main(around, first):
        main, *bare = around.nodes
        around = around._replace(nodes=(msgspec.structs.replace(main, egm=first.path), *bare))
        nodes[first.name] = _MAIN
        notes += _idle(main.memory, first)
    notes += [_missing(region, found) for name, region in regions.items() if nodes[name] is None]
    planned = tuple(
        msgspec.structs.replace(
            vsmmu, ports=tuple(_told(port, found.get(port.function), nodes) for port in vsmmu.ports)
        )
        for vsmmu in vsmmus
    )
    return planned, around, tuple(notes)


def _told(port: PlannedPort, region: EgmRegion | None, nodes: Mapping[str, int | None]) -> PlannedPort:
    return port if region is None else msgspec.structs.replace(port, egm=nodes[region.name])


def _missing(region: EgmRegion, found: Mapping[str, EgmRegion]) -> str:
    users = ", ".join(address for address, own in found.items() if own.name == region.name)
    return (
        f"no EGM is written for {users}: no NUMA node of the guest has {region.path} as its memory; "
        f"-object {backend_words(region, region.name)} as memdev= of the node that they are near to would"
    )


def egm_words(vsmmus: Sequence[PlannedVsmmu], names: Names) -> Iterator[str]:
    """An object for each function whose region is memory of the guest."""
    for vsmmu in vsmmus:
        for port in vsmmu.endpoints:
            if port.egm is not None:
                yield from (
                    "-object",
                    f"{EGM},id={names.take('egm', 0)},pci-dev={port.device},node={port.egm}",
                )


def _can_be_main(around: Surroundings, region: EgmRegion) -> bool:
    """Whether node 0, which the plan makes of all memory of the VM, can be a region."""
    length = region.length
    return bool(around.nodes) and length is not None and 0 < around.nodes[0].memory <= length


def _idle(memory: int, region: EgmRegion) -> Iterator[str]:
    from vsmmu.host.mmio_window import spell_size

    if region.length is not None and memory < region.length:
        yield (
            f"the VM's memory is {spell_size(memory)} of the {spell_size(region.length)} of {region.path}: "
            f"the rest lies idle; -m {spell_size(region.length)} would be all"
        )
