# SPDX-License-Identifier: Apache-2.0
"""EGM regions (Extended GPU Memory): memory of a socket that firmware keeps for VMs with GPUs of that socket.

Source: drivers/vfio/pci/nvgrace-gpu/egm.c of NVIDIA/NV-Kernels; no release of Linux has it. The host's kernel
does not use such memory; a VM maps ``/dev/egmN`` and has it as its own.
"""

from typing import TYPE_CHECKING, Annotated

import msgspec

from vsmmu.host.text_forms import Bdf, Hex64, whole

if TYPE_CHECKING:
    from collections.abc import Container

__all__ = ["EgmRegion", "regions_fault"]

Device = Annotated[str, whole("egm[0-9]{1,7}", "a device below /dev and /sys/class/egm")]


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
