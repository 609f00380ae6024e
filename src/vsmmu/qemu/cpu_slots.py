# SPDX-License-Identifier: Apache-2.0
"""CPUs of a ``virt`` machine by socket, cluster, core and thread, as ``-smp`` makes them.

Source: virt_possible_cpu_arch_ids() in hw/arm/virt.c of qemu/qemu.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from vsmmu.machine.model import Unread
from vsmmu.qemu.cpu_topology import cpu_faults, hierarchy
from vsmmu.qemu.values import unsigned

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from vsmmu.versions import Version

__all__ = ["CpuTopology", "Slot", "cpu_slots"]

#: Machine types from here on fill sockets before they make another.
_CORES_FIRST: Final = (6, 2)


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
    if any(isinstance(text, Unread) for text in smp.values()) or any(cpu_faults(smp, "virt")):
        return None
    counts = {name: unsigned(text) or 0 for name, text in smp.items()}
    most = counts.get("maxcpus", counts.get("cpus", 0))
    return CpuTopology(**hierarchy(counts, most, cores_first=version >= _CORES_FIRST))
