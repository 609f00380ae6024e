# SPDX-License-Identifier: Apache-2.0
"""EGM regions of the host, from /sys/class/egm.

Sources: drivers/vfio/pci/nvgrace-gpu/egm.c of NVIDIA/NV-Kernels (``egm_size`` as ``0x%lx``; ``gpu_devices``,
an address a line) and its series for Linux, which has links that are called after the GPUs in place of
``gpu_devices``. The first releases had neither.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from vsmmu.host.evidence import Evidence
from vsmmu.host.numa_nodes import EgmRegion, regions_fault
from vsmmu.pci import normal_address

if TYPE_CHECKING:
    from vsmmu.probe.system_root import Tree

__all__ = ["EVIDENCE", "KEY", "read_egm"]

_EGM: Final = "/sys/class/egm"
#: The evidence of a region, and the key by which the region names it.
KEY: Final = "sysfs-egm"
EVIDENCE: Final = Evidence("measured", _EGM)
#: A class that every kernel has: without it, sysfs does not say what others there are.
_ANY_CLASS: Final = "/sys/class/mem"
_LARGEST: Final = (1 << 64) - 1


def read_egm(tree: Tree) -> tuple[EgmRegion, ...] | None:
    """The regions whose devices are there; None if sysfs does not say, or says what cannot be."""
    names = tree.names(_EGM)
    if not names and not tree.exists(_ANY_CLASS):
        return None
    found = [
        {
            "name": name,
            "size": _size(tree.text(f"{_EGM}/{name}/egm_size")),
            "functions": _functions(tree, f"{_EGM}/{name}"),
            "evidence": KEY,
        }
        for name in names
    ]
    try:
        regions = msgspec.convert(found, tuple[EgmRegion, ...])
    except msgspec.ValidationError:
        return None
    return None if regions_fault(regions, {KEY}) else regions


def _size(text: str | None) -> str | None:
    try:
        size = int(text or "", 16)
    except ValueError:
        return None
    return f"{size:#x}" if 0 < size <= _LARGEST else None


def _functions(tree: Tree, region: str) -> list[str]:
    """The GPUs, by the attribute or by links; none if the kernel does not say."""
    written = tree.text(f"{region}/gpu_devices")
    words = written.split() if written is not None else tree.names(region)
    return sorted({word for word in words if normal_address(word) == word})
