# SPDX-License-Identifier: Apache-2.0
"""A plan as data: an expander, a vSMMU and ports for each host SMMU."""

from __future__ import annotations

from typing import Literal

import msgspec

from vsmmu.policy.result import PropertyResolution
from vsmmu.qemu.outcome import Answer

__all__ = ["Companion", "Plan", "PlannedDistance", "PlannedNode", "PlannedPort", "PlannedVsmmu"]


class PlannedPort(msgspec.Struct, frozen=True):
    """One ``pcie-root-port``.

    :param chassis: unique among all ports of the VM, so that the slot may stay 0.
    :param address: slot and function on the expander's bus (``3`` or ``3.1``); empty where QEMU may choose.
    :param device: id of the ``vfio-pci`` in it; empty for a spare port.
    :param function: the host function; empty for a spare port.
    :param initiators: the guest's NUMA nodes that are for memory that the function brings.
    :param egm: the guest's NUMA node whose memory is the function's EGM region; None if none is.
    """

    id: str
    chassis: int
    address: str = ""
    device: str = ""
    function: str = ""
    initiators: tuple[int, ...] = ()
    egm: int | None = None


class PlannedNode(msgspec.Struct, frozen=True):
    """A new NUMA node of the guest: bare, for memory that a function brings, or with all CPUs and memory.

    :param cpus: as QEMU and libvirt write it, ``0-3``; empty for a bare node.
    :param memory: in bytes; 0 for a bare node.
    :param egm: the device of the host's EGM region that the memory is of; empty for other memory.
    """

    id: int
    cpus: str = ""
    memory: int = 0
    egm: str = ""


class PlannedDistance(msgspec.Struct, frozen=True):
    """How far the guest's node ``target`` is from ``source``; 10 is the node itself."""

    source: int
    target: int
    value: int


class PlannedVsmmu(msgspec.Struct, frozen=True):
    """One host SMMU's share of the VM.

    :param id: of the ``arm-smmuv3``.
    :param host_smmu: the kernel's name of the SMMU that it stands for.
    :param host_node: the NUMA node of that SMMU; None if it is not known or the host has none.
    :param expander: id of the ``pxb-pcie``, which is the name of its bus, too.
    :param first_bus: its ``bus_nr``.
    :param last_bus: the last bus number that the plan counts on; the range itself ends before the next
        expander's.
    :param numa_node: the guest's NUMA node; None if the guest has none that fits.
    :param properties: the values with their reasons, as ``vsmmu explain`` gives them.
    :param registers: the ID registers that the guest will read; None where a fact is missing.
    """

    id: str
    host_smmu: str
    host_node: int | None
    expander: str
    first_bus: int
    last_bus: int
    numa_node: int | None
    ports: tuple[PlannedPort, ...]
    properties: tuple[PropertyResolution, ...] = ()
    registers: dict[str, str] | None = None

    @property
    def endpoints(self) -> tuple[PlannedPort, ...]:
        """The ports that hold a function from the start."""
        return tuple(port for port in self.ports if port.function)

    def value(self, name: str) -> str:
        """A property as it is written; empty if it is not."""
        return next((entry.value for entry in self.properties if entry.name == name), "")


class Companion(msgspec.Struct, frozen=True):
    """A function that was not asked for and is concerned all the same.

    :param reason: *same-group*: the kernel gives IOMMU groups away as a whole, so no driver of the host may
        hold it. *same-device*: another function of one device, such as a GPU's audio.
    """

    function: str
    of: str
    reason: Literal["same-group", "same-device"]
    text: str


class Plan(msgspec.Struct, frozen=True, tag_field="schema", tag="vsmmu.plan/1"):
    """A topology that the model of QEMU has started; ``vsmmu.plan/1`` as it stands.

    :param iommufd: id of the iommufd object, and whether the VM had it already.
    :param nodes: the NUMA nodes that the plan adds to the VM.
    :param distances: between the guest's nodes, where the host's are known for all that they stand for.
    :param mmio_window: the MMIO window that it writes, in bytes; 0 if it writes none.
    :param form: how the devices are written: JSON if the VM's other devices are, so that ours come last.
    :param arguments: the words to be added to QEMU's command line, values included.
    :param command_line: the whole command line, if there was one to add to.
    """

    host: str
    qemu: str
    machine_type: str
    answer: Answer
    iommufd: str
    iommufd_present: bool
    form: Literal["keyval", "json"]
    vsmmus: tuple[PlannedVsmmu, ...]
    nodes: tuple[PlannedNode, ...]
    distances: tuple[PlannedDistance, ...]
    mmio_window: int
    companions: tuple[Companion, ...]
    notes: tuple[str, ...]
    arguments: tuple[str, ...]
    command_line: tuple[str, ...] | None
