# SPDX-License-Identifier: Apache-2.0
"""The facts about one host, in the shape of the document ``vsmmu.host/1``.

Partly known hosts are normal: a register may be known whole, or only some of its fields, or bounds of them.
The structs are the format: their JSON Schema is generated, and :mod:`vsmmu.host.files` reads and writes them.
Annotations are objects here, not text that msgspec would compile at each start.
"""

from functools import cached_property
from typing import TYPE_CHECKING, Annotated, ClassVar, Final, Literal

import msgspec

from vsmmu.errors import InputRefused
from vsmmu.host.evidence import UNKNOWN, Evidence, Fact, Reading
from vsmmu.host.numa_nodes import EgmRegion, NumaNode, nodes_fault, regions_fault
from vsmmu.host.text_forms import Bdf, Hex16, Hex24, Hex32, Hex64, Name
from vsmmu.smmuv3.fields import FIELDS, REGISTERS, field
from vsmmu.smmuv3.interval import Interval, exactly
from vsmmu.smmuv3.registers import IdRegisters

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

__all__ = [
    "SCHEMA",
    "Host",
    "HostFunction",
    "HostSmmu",
    "HwInfoFact",
    "Kernel",
    "MemoryRegion",
    "RegisterFact",
    "ReservedRegion",
    "fact_fault",
    "facts_of",
    "region_fault",
]

SCHEMA: Final = "vsmmu.host/1"

#: ``struct iommu_hw_info`` out_data_type of an SMMUv3 (include/uapi/linux/iommufd.h).
HW_INFO_ARM_SMMUV3: Final = 2


_LEAST_PAGE, _LARGEST_PAGE = 4 << 10, 64 << 10
_NO_EVIDENCE: Final = Evidence("unknown", "these facts do not say")


class _Document(msgspec.Struct, frozen=True, omit_defaults=True):
    """Immutable and terse; members that this version does not know are passed over (:attr:`Host.unread`)."""


class RegisterFact(_Document, frozen=True):
    """A whole register word, as read from the host."""

    value: Hex32
    evidence: str

    @property
    def word(self) -> int:
        """The word as a number."""
        return int(self.value, 16)


class HwInfoFact(_Document, frozen=True):
    """A member of the kernel's answer that is no SMMUv3 register, such as ``cap_reg``."""

    value: Hex64
    evidence: str


class Kernel(_Document, frozen=True):
    """The host's kernel, as far as it bears on the facts.

    ``boot_id`` is /proc/sys/kernel/random/boot_id of the boot in which the facts were measured;
    ``command_line`` has the parameters that bear on IOMMUs, vfio, KVM and PCI, and no others.
    """

    release: Name = ""
    boot_id: Name = ""
    command_line: str = ""


class HostSmmu(_Document, frozen=True):
    """One SMMUv3 of the host.

    ``name`` is the kernel's (``smmu3.0x0000000011000000``, the register base); ``device`` the platform
    device, whose number depends on probe order. ``hw_info_type`` is what IOMMU_GET_HW_INFO answered (2 is
    SMMUv3; 0 means a kernel without ARM_SMMU_V3_IOMMUFD). ``hw_info_flags`` has bit 0 for the Tegra264
    erratum (7.3). ``cmdqv`` is 1 if the host can give Tegra241 command queues to a VM, 0 if it cannot.
    ``cmdqv_viommu`` is 0 if it says that it can and then makes no vIOMMU of type 2, with the queues.
    ``coherent`` is the driver's view (firmware may override IDR0.COHACC); vfio refuses an incoherent SMMU.
    ``nesting`` is 1 if the kernel makes a vIOMMU for functions behind it (IOMMU_VIOMMU_ALLOC).
    ``kernel_log`` keeps the driver's own lines, from which fields may have been inferred.
    """

    name: Name
    device: Name = ""
    numa_node: int | None = None
    registers: dict[str, RegisterFact] = {}
    fields: dict[str, Fact] = {}
    hw_info_type: Fact = UNKNOWN
    hw_info_flags: Fact = UNKNOWN
    hw_info_data: dict[str, HwInfoFact] = {}
    cmdqv: Fact = UNKNOWN
    cmdqv_viommu: Fact = UNKNOWN
    coherent: Fact = UNKNOWN
    nesting: Fact = UNKNOWN
    kernel_log: tuple[str, ...] = ()

    @property
    def id_registers(self) -> IdRegisters | None:
        """All eight words, if every one is known."""
        if not all(name in self.registers for name in REGISTERS):
            return None
        return IdRegisters(**{name.lower(): self.registers[name].word for name in REGISTERS})


class ReservedRegion(_Document, frozen=True):
    """A range of addresses that the kernel keeps from free use in a function's IOMMU domain, both ends in it.

    ``type`` is the kernel's word in /sys/kernel/iommu_groups/N/reserved_regions: ``direct`` has to stay
    mapped 1:1, ``direct-relaxable`` only until a driver takes the function, ``msi`` and ``reserved`` are not
    to be mapped.
    """

    start: Hex64
    end: Hex64
    type: Name
    evidence: str = ""


class MemoryRegion(_Document, frozen=True):
    """A memory BAR of a function, as a VM gets it: 0 to 5, and its size in bytes.

    ``high`` is true where it is 64 bits wide and prefetchable, so that it can lie above 4 GiB behind a port.
    sysfs tells a size *at least*: a variant of vfio-pci (nvgrace-gpu) can show more to a VM.
    """

    index: Annotated[int, msgspec.Meta(ge=0, le=5)]
    size: Hex64
    high: bool = False
    bound: Literal["exact", "at-least"] = "exact"
    evidence: str = ""


class HostFunction(_Document, frozen=True):
    """One PCI function of the host.

    ``smmu`` is the name of the SMMU that translates it; null if none does. ``ats_capability`` is 1 if the
    configuration space has the ATS capability; ``ats_not_supported`` is IOMMU_HW_CAP_PCI_ATS_NOT_SUPPORTED
    as the kernel reported it (kernels before 7.1 never set it, so a 0 of theirs is no fact);
    ``root_complex_ats`` and ``canwbs`` are the IORT root complex's attributes; ``max_pasid_log2`` is what
    the kernel enabled for the device, which is not the SMMU's SSIDSIZE. ``pasid_capability`` is 1 if the
    configuration space has the PASID capability, and ``pasid_width`` the bits that it gives (0..20).
    ``dirty_tracking``, ``pasid_exec`` and ``pasid_privileged`` are the other IOMMU_HW_CAP bits; the last two
    are only told where PASID is enabled. ``reserved_regions`` are those of its IOMMU group; they and
    ``memory_regions`` are left out where nobody looked. ``generic_initiators`` is how many NUMA nodes without
    CPU and memory the firmware keeps for it (SRAT), for memory that its driver brings. ``cxl_cache`` is 1 if
    the configuration space says that it is capable of CXL.cache.
    """

    address: Bdf
    smmu: Name | None = None
    label: Name = ""
    vendor: Hex16 | None = None
    device: Hex16 | None = None
    class_code: Hex24 | None = None
    driver: Name = ""
    iommu_group: int | None = None
    numa_node: int | None = None
    physical_function: Bdf | None = None
    virtual_functions: int | None = None
    reserved_regions: tuple[ReservedRegion, ...] | msgspec.UnsetType = msgspec.UNSET
    memory_regions: tuple[MemoryRegion, ...] | msgspec.UnsetType = msgspec.UNSET
    generic_initiators: Fact = UNKNOWN
    cxl_cache: Fact = UNKNOWN
    ats_capability: Fact = UNKNOWN
    ats_not_supported: Fact = UNKNOWN
    root_complex_ats: Fact = UNKNOWN
    canwbs: Fact = UNKNOWN
    pasid_capability: Fact = UNKNOWN
    pasid_width: Fact = UNKNOWN
    max_pasid_log2: Fact = UNKNOWN
    dirty_tracking: Fact = UNKNOWN
    pasid_exec: Fact = UNKNOWN
    pasid_privileged: Fact = UNKNOWN


class Host(_Document, frozen=True, kw_only=True, dict=True):
    """One host. ``synthetic`` says in sentences what was made up, for hosts that serve as examples.

    ``iommufd`` is 0 if the kernel has no /dev/iommu, so that no VM can be given a function by iommufd.
    ``page_size`` is that of the kernel's ordinary pages, in bytes. ``product`` is the machine by its
    firmware: DMI's product name, or the device tree's model. ``numa_nodes`` and ``egm`` are left out where
    nobody looked.

    :raise InputRefused: ``facts-inconsistent`` when the parts contradict each other: a function behind an
        SMMU that is not listed, a fact that names no evidence, a field that its register contradicts.
    """

    schema: str
    name: Name
    title: str = ""
    taken_at: Name = ""
    kernel: Kernel = Kernel()
    product: Name = ""
    synthetic: tuple[str, ...] = ()
    iommufd: Fact = UNKNOWN
    page_size: Fact = UNKNOWN
    numa_nodes: tuple[NumaNode, ...] | msgspec.UnsetType = msgspec.UNSET
    egm: tuple[EgmRegion, ...] | msgspec.UnsetType = msgspec.UNSET
    smmus: tuple[HostSmmu, ...] = ()
    functions: tuple[HostFunction, ...] = ()
    evidence: dict[str, Evidence] = {}

    def __post_init__(self) -> None:
        """Check what types alone cannot; runs also when the host is decoded."""
        _check_host(self)

    #: Whether a function that is not listed is certainly not there. It is no member of the document: a list
    #: that was written down may be older than the host.
    complete: ClassVar[bool] = False
    #: Members of the document that this version does not know, as ``functions[].colour``; set by the reader
    #: of a facts file.
    unread: ClassVar[tuple[str, ...]] = ()

    def listing_all(self) -> "Host":
        """The same facts, from a source that states every function: the host itself, or a built-in host."""
        listed = msgspec.structs.replace(self)
        listed.__dict__["complete"] = True
        return listed

    def smmu(self, name: str) -> HostSmmu | None:
        """The SMMU with this name, or with this platform device name."""
        return self._smmu_by_name.get(name)

    def function(self, address: str) -> HostFunction | None:
        """The function at this address (domain written, lower case)."""
        return self._function_by_address.get(address)

    @cached_property
    def _smmu_by_name(self) -> dict[str, HostSmmu]:
        by_device = {smmu.device: smmu for smmu in reversed(self.smmus) if smmu.device}
        return by_device | {smmu.name: smmu for smmu in self.smmus}

    @cached_property
    def _function_by_address(self) -> dict[str, HostFunction]:
        return {function.address: function for function in self.functions}

    def behind(self, smmu: HostSmmu) -> tuple[HostFunction, ...]:
        """The functions that this SMMU translates."""
        return tuple(function for function in self.functions if function.smmu == smmu.name)

    def read(self, fact: Fact, key: str, limit: int = 1) -> Reading:
        """Look one fact up, in the range 0..``limit``, with its evidence."""
        evidence = self.evidence.get(fact.evidence, _NO_EVIDENCE)
        if fact.value is None:
            return Reading(key, Interval(0, limit), Evidence("unknown", evidence.source, evidence.detail))
        low = 0 if fact.bound == "at-most" else fact.value
        high = limit if fact.bound == "at-least" else fact.value
        return Reading(key, Interval(low, high), evidence)

    def read_field(self, smmu: HostSmmu, key: str) -> Reading:
        """Look a register field up: from the whole word if it is known, else from the field's own fact.

        :raise KeyError: if the architecture has no such field.
        """
        entry = field(key)
        register = smmu.registers.get(entry.register)
        if register is not None:
            value = exactly(entry.decode(register.word))
            return Reading(key, value, self.evidence[register.evidence], register.word)
        return self.read(smmu.fields.get(key, UNKNOWN), key, entry.limit)


def _check_host(host: Host) -> None:
    if host.schema != SCHEMA:
        raise _refuse(host, f"the schema is {host.schema!r:.80}, not {SCHEMA!r}", "")
    for name in _HOST_FACTS:
        _check_evidence(host, "the host", name, getattr(host, name))
    pages = host.page_size.value
    if pages is not None and (pages.bit_count() != 1 or not _LEAST_PAGE <= pages <= _LARGEST_PAGE):
        raise _refuse(host, f"page_size is {pages}", "pages are of 4096 to 65536 bytes, a power of two")
    if fault := nodes_fault(host.numa_nodes, host.evidence) or regions_fault(host.egm, host.evidence):
        raise _refuse(host, fault, "")
    smmus = _unique(host, "SMMU", [smmu.name for smmu in host.smmus])
    _unique(host, "function", [function.address for function in host.functions])
    for smmu in host.smmus:
        _check_smmu(host, smmu)
    for function in host.functions:
        if function.smmu is not None and function.smmu not in smmus:
            raise _refuse(
                host, f"function {function.address} sits behind SMMU {function.smmu!r}", "not listed"
            )
        for name in _FUNCTION_FACTS:
            _check_evidence(host, function.address, name, getattr(function, name))
        regions: list[ReservedRegion | MemoryRegion] = [*(function.reserved_regions or ())]
        for region in [*regions, *(function.memory_regions or ())]:
            if fault := region_fault(region, host.evidence):
                raise _refuse(host, f"{function.address}: {fault}", "")


def _check_smmu(host: Host, smmu: HostSmmu) -> None:
    for name, register in smmu.registers.items():
        if register.evidence not in host.evidence:
            raise _refuse(
                host, f"SMMU {smmu.name}: {name} names the evidence {register.evidence!r:.40}", "not listed"
            )
    for key, word in smmu.hw_info_data.items():
        if word.evidence not in host.evidence:
            raise _refuse(
                host, f"SMMU {smmu.name}: {key} names the evidence {word.evidence!r:.40}", "not listed"
            )
    for key, fact in smmu.fields.items():
        _check_evidence(host, smmu.name, key, fact)
        if key not in FIELDS:
            continue  # of a later architecture: nothing here asks for it
        entry = field(key)
        if fact.value is not None and not 0 <= fact.value <= entry.limit:
            raise _refuse(
                host, f"SMMU {smmu.name}: {key} is {fact.value}", f"{entry.bits} holds 0..{entry.limit}"
            )
        _check_against_register(host, smmu, key, fact)
    for name in _SMMU_FACTS:
        _check_evidence(host, smmu.name, name, getattr(smmu, name))


def region_fault(region: ReservedRegion | MemoryRegion, evidence: "Container[str]") -> str:
    """What is wrong with a region beyond its members' forms; empty if nothing.

    :param evidence: the keys that the host's evidence has.
    """
    if isinstance(region, ReservedRegion) and int(region.start, 16) > int(region.end, 16):
        return f"a reserved region goes from {region.start} to {region.end}"
    if region.evidence and region.evidence not in evidence:
        return f"a region names the evidence {region.evidence!r:.40}, which is not listed"
    return ""


def _check_against_register(host: Host, smmu: HostSmmu, key: str, fact: Fact) -> None:
    register = smmu.registers.get(field(key).register)
    if register is None or fact.value is None:
        return
    stated, read = fact.value, field(key).decode(register.word)
    agrees = {"exact": read == stated, "at-least": read >= stated, "at-most": read <= stated}[fact.bound]
    if not agrees:
        raise _refuse(host, f"SMMU {smmu.name}: {key} is stated as {stated}", f"the register says {read}")


def fact_fault(fact: Fact, evidence: "Mapping[str, Evidence]") -> tuple[str, str] | None:
    """What is wrong with a fact beyond its members' forms, and why; None if nothing.

    :param evidence: the host's.
    """
    if fact.value is None and not fact.evidence:
        return None
    known = evidence.get(fact.evidence)
    if known is None:
        return f"names the evidence {fact.evidence!r:.40}", "not listed"
    if (fact.value is None) != (known.kind == "unknown"):
        return f"has {known.kind} evidence but value {fact.value}", ""
    return None


def _check_evidence(host: Host, where: str, name: str, fact: Fact) -> None:
    if fact is not UNKNOWN and (fault := fact_fault(fact, host.evidence)):
        raise _refuse(host, f"{where}: {name} {fault[0]}", fault[1])


def _unique(host: Host, what: str, names: list[str]) -> set[str]:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise _refuse(host, f"{what} {name!r} is listed twice", "")
        seen.add(name)
    return seen


def _refuse(host: Host, what: str, why: str) -> InputRefused:
    return InputRefused(
        "facts-inconsistent",
        what,
        where=f"host {host.name!r:.80}",
        why=why,
        next="correct the facts, or take them again with: vsmmu probe",
    )


def facts_of(struct: type[msgspec.Struct]) -> tuple[str, ...]:
    """The members of ``struct`` that are facts: one definition, so that no check forgets a new one."""
    return tuple(name for name in struct.__struct_fields__ if struct.__annotations__[name] is Fact)


_HOST_FACTS: Final = facts_of(Host)
_SMMU_FACTS: Final = facts_of(HostSmmu)
_FUNCTION_FACTS: Final = facts_of(HostFunction)
