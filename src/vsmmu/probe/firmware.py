# SPDX-License-Identifier: Apache-2.0
"""A function's root complex as ACPI or the device tree describes it."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Final, NamedTuple

from vsmmu.errors import InputRefused
from vsmmu.host.evidence import UNKNOWN, Evidence, Fact
from vsmmu.probe.srat import MAX_BYTES, SRAT, generic_initiators
from vsmmu.probe.sysfs import host_bridge

if TYPE_CHECKING:
    from vsmmu.probe.iort import RootComplex
    from vsmmu.probe.system_root import Tree

__all__ = ["FROM_SRAT", "IORT", "Firmware", "RootFacts"]

IORT: Final = "/sys/firmware/acpi/tables/IORT"
_DEVICE_TREE: Final = "/sys/firmware/devicetree/base"

_FROM_IORT: Final = Evidence(
    "measured", f"the firmware's IORT ({IORT})", "attributes of the root complex node"
)
_FROM_TREE: Final = Evidence(
    "measured", "the device tree", "the property ats-supported of the PCI host bridge; absent means no"
)
_NO_CANWBS_IN_TREE: Final = Evidence(
    "inferred",
    "the device tree",
    "it has no word for CANWBS, so Linux assumes that the root complex lacks it",
)


FROM_SRAT: Final = Evidence(
    "measured", f"the firmware's SRAT ({SRAT})", "generic initiators with the function as their device"
)


class RootFacts(NamedTuple):
    """Facts of one function's root complex, with the evidence that they name."""

    ats: Fact
    canwbs: Fact
    evidence: dict[str, Evidence]


class Firmware:
    """The machine's description of its root complexes; read when first asked, once."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._bridges: dict[str, bool] = {}

    def root_complex(self, address: str) -> RootFacts:
        """The root complex above the function at ``address``."""
        if self._tree.exists(IORT):
            return self._from_iort(int(address.partition(":")[0], 16))
        if self._tree.exists(_DEVICE_TREE):
            return self._from_device_tree(address)
        return _unknown("no IORT and no device tree", "this firmware does not describe an SMMU")

    def _from_iort(self, segment: int) -> RootFacts:
        if isinstance(self._iort, Evidence):
            return _unknown(self._iort.source, self._iort.detail)
        # The first of a segment, as the kernel takes it.
        root = next((root for root in self._iort if root.segment == segment), None)
        if root is None:
            return _unknown("the firmware's IORT", f"it has no root complex for PCI segment {segment:04x}")
        return RootFacts(Fact(int(root.ats), "iort"), Fact(int(root.canwbs), "iort"), {"iort": _FROM_IORT})

    def generic_initiators(self, address: str) -> Fact:
        """The NUMA nodes that firmware keeps for the function; unknown where the SRAT does not name it."""
        count = self._initiators.get(address)
        return UNKNOWN if count is None else Fact(count, "srat")

    @cached_property
    def _initiators(self) -> dict[str, int]:
        return generic_initiators(self._tree.data(SRAT, MAX_BYTES) or b"")

    @cached_property
    def _iort(self) -> tuple[RootComplex, ...] | Evidence:
        from vsmmu.probe.iort import MAX_BYTES as MOST
        from vsmmu.probe.iort import parse_iort

        data = self._tree.data(IORT, MOST + 1)
        if data is None:
            return Evidence("unknown", f"{IORT} cannot be read", "only root may; run as root: vsmmu probe")
        try:
            return parse_iort(data)
        except InputRefused as error:
            return Evidence("unknown", error.what, error.why)

    def _from_device_tree(self, address: str) -> RootFacts:
        bridge = host_bridge(self._tree, address)
        if bridge is None or not self._tree.exists(f"{bridge}/of_node"):
            return _unknown("the device tree", f"it has no node for the host bridge of {address}")
        if bridge not in self._bridges:
            self._bridges[bridge] = self._tree.exists(f"{bridge}/of_node/ats-supported")
        return RootFacts(
            Fact(int(self._bridges[bridge]), "device-tree"),
            Fact(0, "device-tree-canwbs"),
            {"device-tree": _FROM_TREE, "device-tree-canwbs": _NO_CANWBS_IN_TREE},
        )


def _unknown(source: str, detail: str) -> RootFacts:
    fact = Fact(None, "firmware")
    return RootFacts(fact, fact, {"firmware": Evidence("unknown", source, detail)})
