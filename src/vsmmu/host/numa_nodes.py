# SPDX-License-Identifier: Apache-2.0
"""NUMA nodes of a host and their distances, as /sys/devices/system/node has them; EGM regions.

EGM (Extended GPU Memory) is memory of a socket that firmware keeps for VMs with GPUs of that socket: the
host's kernel does not use it, and a VM that maps ``/dev/egmN`` has it as its own. Source:
drivers/vfio/pci/nvgrace-gpu/egm.c of NVIDIA/NV-Kernels; no release of Linux has it.

Annotations are objects here, not text that msgspec would compile at each start.
"""

from typing import TYPE_CHECKING, Annotated, Final

import msgspec

from vsmmu.host.text_forms import Bdf, Hex64, whole

if TYPE_CHECKING:
    from collections.abc import Container

__all__ = ["EgmRegion", "NumaNode", "nodes_fault", "regions_fault"]

Distance = Annotated[int, msgspec.Meta(ge=10, le=255)]
Number = Annotated[int, msgspec.Meta(ge=0, le=1023)]
Device = Annotated[str, whole("egm[0-9]{1,7}", "a device below /dev and /sys/class/egm")]
_LOCAL: Final = 10


class NumaNode(msgspec.Struct, frozen=True, omit_defaults=True):
    """A NUMA node of the host.

    ``generic_initiator`` is true where it is kept for memory that a function brings; such a node has neither
    CPUs nor, before that function's driver is at work, memory. ``distances`` are those to all nodes of the
    host, in their order; 10 is the node itself.
    """

    id: Number
    cpus: bool = False
    memory: bool = False
    generic_initiator: bool = False
    distances: tuple[Distance, ...] = ()
    evidence: str = ""


class EgmRegion(msgspec.Struct, frozen=True, omit_defaults=True):
    """An EGM region of the host.

    ``name`` is the kernel's, with the number of a proximity domain (``egm4``). ``size`` in bytes is null and
    ``functions``, the GPUs that can use it, are none where the kernel does not say; its first releases did
    not.
    """

    name: Device
    size: Hex64 | None = None
    functions: tuple[Bdf, ...] = ()
    evidence: str = ""

    @property
    def path(self) -> str:
        """Its device file, which a VM's memory backend maps."""
        return f"/dev/{self.name}"

    @property
    def length(self) -> int | None:
        """Its size as a number; None where the kernel does not say."""
        return None if self.size is None else int(self.size, 16)


def nodes_fault(nodes: tuple[NumaNode, ...] | msgspec.UnsetType, evidence: "Container[str]") -> str:
    """What is wrong with the nodes of a host beyond their members' forms; empty if nothing.

    :param evidence: the keys that the host's evidence has.
    """
    known = () if nodes is msgspec.UNSET else nodes
    if len({node.id for node in known}) < len(known):
        return "a NUMA node is listed twice"
    for number, node in enumerate(known):
        if node.distances and (len(node.distances) != len(known) or node.distances[number] != _LOCAL):
            return f"the distances of NUMA node {node.id} are not those to each node"
        if node.evidence and node.evidence not in evidence:
            return f"NUMA node {node.id} names the evidence {node.evidence!r:.40}, which is not listed"
    return ""


def regions_fault(regions: tuple[EgmRegion, ...] | msgspec.UnsetType, evidence: "Container[str]") -> str:
    """What is wrong with the EGM regions of a host beyond their members' forms; empty if nothing.

    :param evidence: the keys that the host's evidence has.
    """
    known = () if regions is msgspec.UNSET else regions
    if len({region.name for region in known}) < len(known):
        return "an EGM region is listed twice"
    functions = [function for region in known for function in region.functions]
    if len(set(functions)) < len(functions):
        return "a function is listed with two EGM regions"
    for region in known:
        if region.evidence and region.evidence not in evidence:
            return f"EGM region {region.name} names the evidence {region.evidence!r:.40}, which is not listed"
    return ""
