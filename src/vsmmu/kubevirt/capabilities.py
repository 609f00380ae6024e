# SPDX-License-Identifier: Apache-2.0
"""Per-function SMMU capabilities in the form of virt-launcher's ``PCICapabilities(bdf)``.

The document ``vsmmu.pci-capabilities/1`` is for programs in Go that want the values without Python; its
strings are libvirt's attribute values. A function is left out, with the reason, if a value is not known or
cannot be written down: whoever reads it fails closed by not finding it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from vsmmu.host.judgements import ats, direct_mapped
from vsmmu.smmuv3.properties import REGISTER_PROPERTIES

if TYPE_CHECKING:
    from vsmmu.host.facts import Host, HostFunction, HostSmmu

__all__ = ["CapabilitiesDocument", "PciCapabilities", "capabilities_document"]


class PciCapabilities(msgspec.Struct, frozen=True):
    """One function; the members are the fields of KubeVirt's ``gracePCICapabilities``.

    ``smmu`` is the host SMMU behind which it sits: functions of one ``<iommu>`` must have the same.
    ``evidence`` is the weakest that a value rests on.
    """

    accel: Literal["on"]
    ats: str
    ril: str
    ssidsize: str
    oas: str
    smmu: str
    evidence: Literal["measured", "published", "inferred"]


class CapabilitiesDocument(msgspec.Struct, frozen=True):
    """``vsmmu.pci-capabilities/1``: functions by address, and why others are missing."""

    schema: Literal["vsmmu.pci-capabilities/1"]
    host: str
    devices: dict[str, PciCapabilities]
    missing: dict[str, str]


def capabilities_document(host: Host) -> CapabilitiesDocument:
    """The document for all functions of a host."""
    devices: dict[str, PciCapabilities] = {}
    missing: dict[str, str] = {}
    for function in host.functions:
        smmu = host.smmu(function.smmu) if function.smmu else None
        if smmu is None:
            missing[function.address] = "no SMMU translates it"
            continue
        found = _capabilities(host, function, smmu)
        if isinstance(found, str):
            missing[function.address] = found
        else:
            devices[function.address] = found
    return CapabilitiesDocument("vsmmu.pci-capabilities/1", host.name, devices, missing)


_ORDER = ("measured", "published", "inferred")


def _capabilities(host: Host, function: HostFunction, smmu: HostSmmu) -> PciCapabilities | str:
    fixed = direct_mapped(function)
    if fixed.answer:
        return f"no VM can have it: {fixed.why}"
    values: dict[str, str] = {}
    kinds: list[Literal["measured", "published", "inferred"]] = []
    for entry in REGISTER_PROPERTIES:
        reading = host.read_field(smmu, entry.source)
        low, high = (entry.best_pin(entry.from_code(code)) for code in reading.interval)
        if entry.name == "ats" and ats(host, function).answer is False:
            low = high = 0
        if low != high:
            return f"{entry.source} is not known ({reading.evidence.source})"
        if low is None:
            return f"{entry.name} of its SMMU cannot be written down: left to QEMU's auto"
        values[entry.name] = entry.spell(low)
        if reading.evidence.kind != "unknown":
            kinds.append(reading.evidence.kind)
    return PciCapabilities(
        accel="on",
        **values,
        smmu=smmu.name,
        evidence=max(kinds, key=_ORDER.index, default="inferred"),
    )
