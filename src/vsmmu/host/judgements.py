# SPDX-License-Identifier: Apache-2.0
"""Judgements on one host that several facts decide: nesting, ATS, bridges, 1:1 regions; each made here alone.

Nesting is what ``IOMMU_VIOMMU_ALLOC`` needs. Source: Linux 7.3 drivers/iommu/arm/arm-smmu-v3:
arm_smmu_device_hw_probe() and arm_smmu_device_iidr_probe() (the driver's NESTING feature: both stages, and no
erratum), arm_smmu_domain_alloc_paging_flags() (a nest parent needs the feature), arm_smmu_get_viommu_size()
(a vIOMMU also needs the root complex's CANWBS, or IDR3.FWB).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from vsmmu.host.facts import HW_INFO_ARM_SMMUV3
from vsmmu.named_tuple import NamedTuple
from vsmmu.smmuv3.interval import Interval, exactly, hull

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vsmmu.host.facts import Host, HostFunction, HostSmmu, ReservedRegion

__all__ = [
    "MMUS_WITH_ERRATA",
    "PAGES",
    "Judgement",
    "ats",
    "ats_required",
    "bridge",
    "command_queues",
    "direct_mapped",
    "generic_initiators",
    "nest_parent",
    "nesting",
    "nesting_behind",
    "page_sizes",
]

_ARM: Final = 0x43B
_MMU_600, _MMU_700 = 0x483, 0x487
#: IIDR.ProductID of the SMMUs by Arm of which early revisions do not nest.
MMUS_WITH_ERRATA: Final = frozenset({_MMU_600, _MMU_700})
_TRANS_S1, _TRANS_S2, _NESTING = 1 << 9, 1 << 10, 1 << 19
#: Linux that knows the NESTING feature: in what is older its bit is always clear.
_SINCE_NESTING: Final = (6, 5)
_CLASS_BRIDGE: Final = "06"
_STAGES: Final = ("IDR0.S1P", "IDR0.S2P")
_OPEN: Final = Interval(0, 1)
#: PCI ids of devices without CXL.cache that need ATS all the same: vendor, first and last device.
_NEED_ATS: Final = (("10de", 0x2E00, 0x2E3F), ("15b3", 0x2101, 0x2101))
#: The vfio driver of GPUs that bring memory, and the nodes for each (one for each part that MIG can make).
_COHERENT_MEMORY, _COHERENT_NODES = "nvgrace-gpu", 8
_MOST_NODES: Final = 255
#: The pages that kernels of Arm hosts have, in bytes.
PAGES: Final = (4 << 10, 16 << 10, 64 << 10)


class _HasRegions(Protocol):
    """A function as far as 1:1 mapping goes."""

    @property
    def reserved_regions(self) -> tuple[ReservedRegion, ...] | msgspec.UnsetType: ...


class Judgement(NamedTuple):
    """A yes or no as far as the facts settle it, with the reason.

    :param interval: within 0 (no) and 1 (yes).
    :param why: the fact that decides, or that is missing.
    """

    interval: Interval
    why: str

    @property
    def answer(self) -> bool | None:
        """True, False, or None if the facts leave it open."""
        exact = self.interval.exact
        return None if exact is None else bool(exact)


def nesting(host: Host, smmu: HostSmmu, function: HostFunction | None) -> Judgement:
    """Whether the kernel makes a vIOMMU for this function of the SMMU.

    Where the kernel was asked (``nesting``) nothing else counts, but for one thing: it was asked of one
    function, and the answer may not hold below a root complex with another CANWBS.

    :param function: None for a function of which nothing is known.
    """
    implied = _implied_nesting(host, smmu, function)
    told = host.read(smmu.nesting, "nesting")
    if told.exact is None:
        return implied
    if _differs_from_others(host, smmu, function, told.exact):
        return implied if implied.answer is False else Judgement(_OPEN, "another function was asked")
    if told.exact == 0:
        return _no(implied.why if implied.answer is False else "the kernel refuses IOMMU_VIOMMU_ALLOC")
    return _yes(told.evidence.source)


def nesting_behind(host: Host, smmu: HostSmmu, functions: Iterable[HostFunction] | None = None) -> Judgement:
    """Whether the kernel makes vIOMMUs for the functions behind the SMMU: open also where they differ.

    :param functions: those that count; by default all that are behind it. Bridges never count.
    """
    behind = host.behind(smmu) if functions is None else functions
    judged = [nesting(host, smmu, entry) for entry in behind if bridge(entry).answer is not True]
    judged = judged or [nesting(host, smmu, None)]
    lowest = min(judged, key=lambda entry: entry.interval)
    return Judgement(hull(entry.interval for entry in judged), lowest.why)


def nest_parent(host: Host, smmu: HostSmmu) -> Judgement:
    """Whether the kernel makes page tables on which nested ones can stand: the driver's NESTING feature."""
    if host.read(smmu.nesting, "nesting").exact == 1:
        return _yes("the kernel makes vIOMMUs")
    stages = {key: host.read_field(smmu, key).exact for key in _STAGES}
    missing = [key for key, exact in stages.items() if exact == 0]
    if missing:
        return _no(f"no {' and '.join(missing)}")
    driver = _driver_feature(host, smmu)
    if driver is not None:
        return driver
    affected = _erratum(host, smmu)
    if affected.answer is True:
        return _no(affected.why)
    unknown = [key for key, exact in stages.items() if exact is None]
    if unknown:
        return Judgement(_OPEN, f"{' and '.join(unknown)} not known")
    return _yes("stages 1 and 2") if affected.answer is False else Judgement(_OPEN, affected.why)


def ats(host: Host, function: HostFunction, smmu: HostSmmu | None = None) -> Judgement:
    """Whether the function can use ATS: its capability, its root complex, and the kernel's word.

    A virtual function cannot where its physical one cannot: the kernel goes by that.

    :param smmu: the SMMU behind which it sits, if that counts too.
    """
    capability = host.read(function.ats_capability, "ats_capability").exact
    refused = host.read(function.ats_not_supported, "ats_not_supported").exact
    physical = host.function(function.physical_function) if function.physical_function else None
    if capability == 0:
        return _no("it has no ATS capability")
    if physical is not None and _ats_refused(host, physical):
        return _no(f"its physical function {physical.address} cannot use ATS")
    if refused == 1:
        return _no("the kernel says that it cannot use ATS")
    if host.read(function.root_complex_ats, "root_complex_ats").exact == 0:
        return _no("the firmware says that its root complex has no ATS")
    offered = 1 if smmu is None else host.read_field(smmu, "IDR0.ATS").exact
    if offered == 0:
        return _no("its SMMU has no ATS")
    if offered is None:
        return Judgement(_OPEN, "IDR0.ATS of its SMMU is not known")
    if capability is None:
        return Judgement(_OPEN, "its ATS capability is not known")
    if refused is None:
        return Judgement(_OPEN, "the kernel has not said whether it can use ATS")
    return _yes("it has the capability, and the kernel lets it use ATS")


def _ats_refused(host: Host, function: HostFunction) -> bool:
    """Whether a function's own capability, or the kernel's word on it, rules ATS out."""
    return (
        host.read(function.ats_capability, "ats_capability").exact == 0
        or host.read(function.ats_not_supported, "ats_not_supported").exact == 1
    )


def ats_required(host: Host, function: HostFunction) -> Judgement:
    """Whether the function needs ATS for basic operation, so that doing without is no choice.

    Such a device gets the host's physical addresses by ATS alone. A virtual function has the need of its
    physical one. Source: Linux 7.3.4, pci_ats_required() in drivers/pci/ats.c and pci_dev_ats_required[] in
    drivers/pci/quirks.c (commits 91561e1dc94b, 073e63812525): CXL.cache, GB20B, CX10 with NVLink-C2C.
    """
    owner = function if function.physical_function is None else host.function(function.physical_function)
    if owner is None:
        return Judgement(_OPEN, "its physical function is not known")
    if host.read(owner.ats_capability, "ats_capability").exact == 0:
        return _no("it has no ATS capability")
    number = None if owner.device is None else int(owner.device, 16)
    if number is not None and any(
        owner.vendor == vendor and first <= number <= last for vendor, first, last in _NEED_ATS
    ):
        return _yes(f"Linux lists {owner.vendor}:{owner.device} among the devices that need ATS")
    cache = host.read(owner.cxl_cache, "cxl_cache").exact
    if cache == 1:
        return _yes("it is capable of CXL.cache, which needs ATS")
    if cache is None or number is None:
        return Judgement(_OPEN, "its PCI id or CXL.cache is not known")
    return _no("neither CXL.cache nor its PCI id needs ATS")


def bridge(function: HostFunction) -> Judgement:
    """Whether the function is a bridge, which no VM can be given and vfio does not take."""
    if function.class_code is None:
        return Judgement(_OPEN, "its class is not known")
    decide = _yes if function.class_code.startswith(_CLASS_BRIDGE) else _no
    return decide(f"its class is {function.class_code}")


def command_queues(host: Host, smmu: HostSmmu) -> Judgement:
    """Whether VMs can be given command queues of the SMMU (Tegra241 CMDQV).

    Where the kernel says so and then makes no vIOMMU with them, they cannot.
    """
    told = host.read(smmu.cmdqv, "cmdqv")
    if told.exact == 1 and host.read(smmu.cmdqv_viommu, "cmdqv_viommu").exact == 0:
        return _no("the kernel offers command queues, and makes no vIOMMU with them")
    return Judgement(told.interval, told.evidence.source)


def direct_mapped(function: _HasRegions) -> Judgement:
    """Whether firmware wants the function mapped 1:1, so that the kernel gives it to no VM.

    Source: Linux 7.3 __iommu_take_dma_ownership() and iommu_create_device_direct_mappings() in
    drivers/iommu/iommu.c; the regions are those of the IOMMU group (IORT RMR, RMRR, IVMD). A region of type
    ``direct-relaxable`` is no obstacle.
    """
    if function.reserved_regions is msgspec.UNSET:
        return Judgement(_OPEN, "its reserved regions were not looked at")
    direct = [region for region in function.reserved_regions if region.type == "direct"]
    if not direct:
        return _no("no reserved region of type direct")
    return _yes(f"the reserved region {direct[0].start}..{direct[0].end} is of type direct")


def generic_initiators(host: Host, function: HostFunction) -> Judgement:
    """How many NUMA nodes without CPU and memory the function has as its own: an interval within 0..255.

    A GPU that brings memory (nvgrace-gpu) has eight, for its driver to online that memory in; where neither
    the facts say how many, nor its driver that it is one, it is open.
    """
    told = host.read(function.generic_initiators, "generic_initiators", _MOST_NODES)
    if not told.is_unknown:
        return Judgement(told.interval, told.evidence.source)
    if function.driver.replace("_", "-").startswith(_COHERENT_MEMORY):
        return Judgement(exactly(_COHERENT_NODES), f"its driver is {function.driver}")
    return Judgement(Interval(0, _MOST_NODES), "neither the facts nor its driver say so")


def page_sizes(host: Host) -> tuple[int, ...]:
    """The sizes that the pages of the host's kernel may have, in bytes, the smallest first."""
    told = host.read(host.page_size, "page_size", PAGES[-1])
    if told.exact is not None:
        return (told.exact,)
    low, high = told.interval
    return tuple(size for size in PAGES if low <= size <= high)


def _implied_nesting(host: Host, smmu: HostSmmu, function: HostFunction | None) -> Judgement:
    """Nesting by everything but the kernel's own answer."""
    kind = host.read(smmu.hw_info_type, "hw_info_type", 0xFFFFFFFF).exact
    if kind is not None and kind != HW_INFO_ARM_SMMUV3:
        return _no(f"IOMMU_GET_HW_INFO answers type {kind}, not {HW_INFO_ARM_SMMUV3}")
    parent = nest_parent(host, smmu)
    forced = host.read_field(smmu, "IDR3.FWB").exact
    snooped = None if function is None else host.read(function.canwbs, "canwbs").exact
    if parent.answer is False:
        return parent
    if forced == 0 and snooped == 0:
        return _no("neither CANWBS nor S2FWB")
    if 1 not in (forced, snooped):
        unknown = [name for name, exact in (("CANWBS", snooped), ("S2FWB", forced)) if exact is None]
        return Judgement(_OPEN, f"{' and '.join(unknown)} not known")
    return parent


def _differs_from_others(host: Host, smmu: HostSmmu, function: HostFunction | None, told: int) -> bool:
    """Whether CANWBS alone decides, is not as ``told`` here, and is so for another function behind it."""
    if function is None or host.read_field(smmu, "IDR3.FWB").exact != 0:
        return False
    if host.read(function.canwbs, "canwbs").exact != 1 - told:
        return False
    return any(host.read(other.canwbs, "canwbs").exact == told for other in host.behind(smmu))


def _driver_feature(host: Host, smmu: HostSmmu) -> Judgement | None:
    """What the driver's probe line says of NESTING; None if it says nothing."""
    if not smmu.kernel_log:
        return None
    from vsmmu.host.driver_line import kernel_version, last_probe_line  # few facts have lines

    line = last_probe_line(smmu.kernel_log)
    if line is None:
        return None
    if line.features & _NESTING:
        return _yes("the driver has NESTING")
    version = kernel_version(host.kernel.release)
    both = line.features & _TRANS_S1 and line.features & _TRANS_S2
    if both and version is not None and version >= _SINCE_NESTING:
        return _no("the driver has both stages, and gives NESTING up")
    return None


def _erratum(host: Host, smmu: HostSmmu) -> Judgement:
    """Whether the driver gives nesting up for an erratum: 1209401 (MMU-600), 2268618, 2812531 (MMU-700)."""
    known = {
        name: host.read_field(smmu, f"IIDR.{name}").interval
        for name in ("Implementer", "ProductID", "Variant", "Revision")
    }
    implementer, product = known["Implementer"].exact, known["ProductID"].exact
    if implementer not in (None, _ARM) or (product is not None and product not in MMUS_WITH_ERRATA):
        return _no("no product with such an erratum")
    if product is None:
        return Judgement(_OPEN, "IIDR.ProductID not known")
    variant = known["Variant"].at_least(exactly(2 if product == _MMU_600 else 1))
    revision = True if product == _MMU_600 else known["Revision"].at_least(exactly(1))
    name = "MMU-600" if product == _MMU_600 else "MMU-700"
    if variant and revision:
        return _no(f"a revision of {name} without such errata")
    if False in (variant, revision) and implementer == _ARM:
        return _yes(f"an erratum of this revision of {name}")
    return Judgement(_OPEN, f"the revision of {name} is not known")


def _yes(why: str) -> Judgement:
    return Judgement(exactly(1), why)


def _no(why: str) -> Judgement:
    return Judgement(exactly(0), why)
