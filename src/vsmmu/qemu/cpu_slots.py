# SPDX-License-Identifier: Apache-2.0
"""CPUs of a ``virt`` machine by socket, cluster, core and thread, as ``-smp`` makes them.

Source: virt_possible_cpu_arch_ids() in hw/arm/virt.c of qemu/qemu.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Final, NamedTuple

from vsmmu.qemu.cpu_topology import hierarchy
from vsmmu.qemu.values import unsigned

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from vsmmu.versions import Version

__all__ = ["CpuTopology", "Slot", "cpu_slots"]

#: Machine types from here on fill sockets before they make another.
_CORES_FIRST: Final = (6, 2)
_FOREIGN: Final = ("drawers", "books", "dies", "modules")
#: More than the board takes.
_MOST: Final = 4096


class Slot(NamedTuple):
    """Where one CPU sits."""

    socket: int
    cluster: int
    core: int
    thread: int


class CpuTopology(NamedTuple):
    """How many of each there are: clusters in a socket, cores in a cluster, threads in a core."""

    sockets: int
    clusters: int
    cores: int
    threads: int

    @property
    def cpus(self) -> int:
        """How many CPUs the VM has at most."""
        return self.sockets * self.clusters * self.cores * self.threads

    def slots(self) -> Iterator[Slot]:
        """Every CPU, in the order of its index."""
        for index in range(self.cpus):
            rest, thread = divmod(index, self.threads)
            rest, core = divmod(rest, self.cores)
            socket, cluster = divmod(rest, self.clusters)
            yield Slot(socket, cluster, core, thread)


def cpu_slots(smp: Mapping[str, str], version: Version) -> CpuTopology | None:
    """The CPUs of a VM; None if QEMU would refuse ``-smp``, or it cannot be read.

    :param smp: the parameters of ``-smp`` as written.
    :param version: of the machine type.
    """
    read = {name: unsigned(text) for name, text in smp.items()}
    if None in read.values() or any((read.get(name) or 1) > 1 for name in _FOREIGN):
        return None
    counts = {name: number or 0 for name, number in read.items()}
    cpus = counts.get("cpus", 0)
    most = counts.get("maxcpus", 0) or cpus
    levels = hierarchy(counts, most, cores_first=version >= _CORES_FIRST)
    most = most or prod(levels.values())
    found = CpuTopology(**levels)
    return found if found.cpus == most and cpus <= most <= _MOST else None
