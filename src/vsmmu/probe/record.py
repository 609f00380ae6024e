# SPDX-License-Identifier: Apache-2.0
"""Turn the kernel's answers into facts. Pure: answers in, a host with more facts out."""

from __future__ import annotations

import ctypes
import errno
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from vsmmu.host.driver_line import kernel_version
from vsmmu.host.evidence import UNKNOWN, Evidence, Fact
from vsmmu.host.facts import Host, HostFunction, HostSmmu, HwInfoFact, RegisterFact
from vsmmu.probe.notices import NOT_PROBED
from vsmmu.smmuv3.fields import REGISTERS
from vsmmu.uapi import hw_info

if TYPE_CHECKING:
    from vsmmu.probe.ask import Answer

__all__ = ["TYPE_NAMES", "carry_over", "record"]

#: What ``out_data_type`` says, for people.
TYPE_NAMES: Final = {
    hw_info.IOMMU_HW_INFO_TYPE_NONE: "no information",
    hw_info.IOMMU_HW_INFO_TYPE_INTEL_VTD: "an Intel VT-d IOMMU",
    hw_info.IOMMU_HW_INFO_TYPE_ARM_SMMUV3: "an SMMUv3",
    hw_info.IOMMU_HW_INFO_TYPE_TEGRA241_CMDQV: "a Tegra241 CMDQV",
    hw_info.IOMMU_HW_INFO_TYPE_AMD: "an AMD IOMMU",
}
_REGISTERS_OFFSET: Final = hw_info.iommu_hw_info_arm_smmuv3.idr.offset
_WORDS: Final = {
    hw_info.IOMMU_HW_INFO_TYPE_INTEL_VTD: hw_info.iommu_hw_info_vtd,
    hw_info.IOMMU_HW_INFO_TYPE_AMD: hw_info.iommu_hw_info_amd,
}
#: Linux kernel commit a11661a58c06 ("iommufd: Report ATS not supported status via IOMMU_GET_HW_INFO").
_SINCE_ATS: Final = (7, 1)
#: Kernels before leave out_max_pasid_log2 at 0.
_SINCE_PASID: Final = (6, 15)
_MEASURED_FACTS: Final = (
    "ats_not_supported",
    "max_pasid_log2",
    "dirty_tracking",
    "pasid_exec",
    "pasid_privileged",
)


#: Evidence by the key under which facts name it.
_Table = dict[str, Evidence]


class _Told(NamedTuple):
    """A number that the kernel told, or not, with the evidence for it."""

    value: int | None
    key: str
    evidence: Evidence

    @property
    def fact(self) -> Fact:
        return Fact(self.value, self.key)

    @property
    def table(self) -> _Table:
        return {self.key: self.evidence}


def record(host: Host, answer: Answer, taken_at: str) -> Host:
    """Add an answer to the facts: to the function that was asked, and to the SMMU before it.

    :param taken_at: the time of the answer, ISO 8601; it becomes the host's.
    """
    function = host.function(answer.address)
    smmu = host.smmu(function.smmu) if function and function.smmu else None
    if function is None or smmu is None:
        return host
    key = f"probe {answer.address}"
    smmu, of_smmu = _record_smmu(smmu, answer, key)
    function, of_function = _record_function(function, answer, host.kernel.release, key)
    if answer.regions is not None:
        function = msgspec.structs.replace(function, memory_regions=answer.regions)
        of_function |= {entry.evidence: _regions_evidence(answer, taken_at) for entry in answer.regions}
    own = {key: _evidence(answer, host.kernel.release, taken_at)}
    return msgspec.structs.replace(
        host,
        taken_at=taken_at,
        smmus=tuple(smmu if entry.name == smmu.name else entry for entry in host.smmus),
        functions=tuple(function if entry.address == function.address else entry for entry in host.functions),
        evidence={**host.evidence, **own, **of_smmu, **of_function},
    )


def carry_over(host: Host, before: Host) -> Host:
    """Keep what an earlier probe of the same boot measured, where SMMU and function are still the same."""
    smmus = tuple(_kept_smmu(smmu, before.smmu(smmu.name)) for smmu in host.smmus)
    functions = tuple(_kept_function(entry, before.function(entry.address)) for entry in host.functions)
    return msgspec.structs.replace(
        host,
        taken_at=before.taken_at,
        smmus=smmus,
        functions=functions,
        evidence={**before.evidence, **host.evidence},
    )


def _kept_smmu(smmu: HostSmmu, before: HostSmmu | None) -> HostSmmu:
    if before is None:
        return smmu
    if before.kernel_log and not smmu.kernel_log:  # the kernel's ring has been overwritten since
        smmu = msgspec.structs.replace(
            smmu,
            fields=before.fields,
            coherent=before.coherent,
            cmdqv=before.cmdqv,
            cmdqv_viommu=before.cmdqv_viommu,
            nesting=before.nesting,
            kernel_log=before.kernel_log,
        )
    if before.hw_info_type.value is None:
        return smmu
    return msgspec.structs.replace(
        smmu,
        registers=before.registers,
        fields=before.fields,
        hw_info_type=before.hw_info_type,
        hw_info_flags=before.hw_info_flags,
        hw_info_data=before.hw_info_data,
        cmdqv=before.cmdqv,
        cmdqv_viommu=before.cmdqv_viommu,
        nesting=before.nesting,
    )


def _kept_function(function: HostFunction, before: HostFunction | None) -> HostFunction:
    same = before is not None and (before.vendor, before.device, before.smmu) == (
        function.vendor,
        function.device,
        function.smmu,
    )
    if not same:
        return function
    kept = {name: getattr(before, name) for name in _MEASURED_FACTS}
    if before is not None and any(region.bound == "exact" for region in before.memory_regions or ()):
        kept["memory_regions"] = before.memory_regions
    return msgspec.structs.replace(function, **kept)


def _evidence(answer: Answer, release: str, taken_at: str) -> Evidence:
    info = answer.info
    name = TYPE_NAMES.get(info.type, "a type that vsmmu does not know")
    capabilities = (
        "no capabilities word" if info.capabilities is None else f"capabilities {info.capabilities:#x}"
    )
    return Evidence(
        "measured",
        f"IOMMU_GET_HW_INFO on {answer.address}, Linux {release}",
        f"type {info.type} ({name}), {info.length} bytes, {capabilities}, "
        f"max_pasid_log2 {info.max_pasid_log2}; {taken_at}",
    )


def _regions_evidence(answer: Answer, taken_at: str) -> Evidence:
    return Evidence("measured", f"VFIO_DEVICE_GET_REGION_INFO on {answer.address}", taken_at)


def _record_smmu(smmu: HostSmmu, answer: Answer, key: str) -> tuple[HostSmmu, _Table]:
    info = answer.info
    kind = Fact(info.type, key)
    if info.type != hw_info.IOMMU_HW_INFO_TYPE_ARM_SMMUV3:
        return _record_other(smmu, answer, key, kind)
    registers = {
        name: RegisterFact(f"{int.from_bytes(word, 'little'):#010x}", key)
        for index, name in enumerate(REGISTERS)
        if len(word := info.data[_REGISTERS_OFFSET + 4 * index : _REGISTERS_OFFSET + 4 * index + 4]) == 4
    }
    # What a register says outweighs what the log suggested; a field of a word that was not told stays.
    fields = {name: fact for name, fact in smmu.fields.items() if name.partition(".")[0] not in registers}
    flags = Fact(int.from_bytes(info.data[:4], "little"), key) if len(info.data) >= 4 else smmu.hw_info_flags
    cmdqv, words = _cmdqv(answer, key)
    nesting = _nesting(answer, key)
    queues = _cmdqv_viommu(answer, key)
    recorded = msgspec.structs.replace(
        smmu,
        registers=registers,
        fields=fields,
        hw_info_type=kind,
        hw_info_flags=flags,
        cmdqv=cmdqv.fact,
        cmdqv_viommu=queues.fact if queues else UNKNOWN,
        nesting=smmu.nesting
        if nesting.fact.value is None and smmu.nesting.value is not None
        else nesting.fact,
        hw_info_data=words,
    )
    return recorded, cmdqv.table | nesting.table | (queues.table if queues else {})


def _record_other(smmu: HostSmmu, answer: Answer, key: str, kind: Fact) -> tuple[HostSmmu, _Table]:
    """An IOMMU that is no SMMUv3, or one whose driver was built without ARM_SMMU_V3_IOMMUFD (type 0)."""
    structure = _WORDS.get(answer.info.type)
    words = {} if structure is None else _members(structure, answer.info.data, "", key)
    not_told = {
        name: Fact(None, "not-told") if fact.evidence == NOT_PROBED else fact
        for name, fact in smmu.fields.items()
    }
    if answer.info.type == hw_info.IOMMU_HW_INFO_TYPE_NONE:
        detail = "the kernel answers type 0: build it with CONFIG_ARM_SMMU_V3_IOMMUFD (Linux 6.13 or later)"
    else:
        detail = f"it is {TYPE_NAMES.get(answer.info.type, 'something else')}, no SMMUv3"
    recorded = msgspec.structs.replace(smmu, hw_info_type=kind, hw_info_data=words, fields=not_told)
    return recorded, {"not-told": Evidence("unknown", "IOMMU_GET_HW_INFO", detail)}


def _cmdqv(answer: Answer, key: str) -> tuple[_Told, dict[str, HwInfoFact]]:
    name = f"{key} cmdqv"
    source = f"IOMMU_GET_HW_INFO on {answer.address}, type 3 (Tegra241 CMDQV)"
    if answer.cmdqv is None:
        refused = "EOPNOTSUPP: this kernel and SMMU give a VM no command queues"
        return _Told(0, name, Evidence("measured", source, refused)), {}
    words = _members(hw_info.iommu_hw_info_tegra241_cmdqv, answer.cmdqv.data, "cmdqv.", name)
    if answer.cmdqv.type != hw_info.IOMMU_HW_INFO_TYPE_TEGRA241_CMDQV:
        words["cmdqv.type"] = HwInfoFact(f"{answer.cmdqv.type:#x}", name)
    told = ", ".join(
        f"{member.removeprefix('cmdqv.')} {int(fact.value, 16)}" for member, fact in words.items()
    )
    return _Told(1, name, Evidence("measured", source, told)), words


def _cmdqv_viommu(answer: Answer, key: str) -> _Told | None:
    """Only a refusal is worth a word: the kernel offers the queues and does not give them."""
    if answer.cmdqv_viommu != errno.EOPNOTSUPP:
        return None
    source = f"IOMMU_VIOMMU_ALLOC on {answer.address}, type 2 (Tegra241 CMDQV)"
    refused = "EOPNOTSUPP: the kernel makes no vIOMMU with the command queues that it offers"
    return _Told(0, f"{key} cmdqv vIOMMU", Evidence("measured", source, refused))


def _nesting(answer: Answer, key: str) -> _Told:
    """EOPNOTSUPP settles that the kernel does not nest here; any other error says nothing of the SMMU."""
    name = f"{key} nesting"
    source = f"IOMMU_VIOMMU_ALLOC on {answer.address}"
    if answer.nesting == 0:
        return _Told(1, name, Evidence("measured", source, "the kernel made a virtual SMMU"))
    if answer.nesting == errno.EOPNOTSUPP:
        refused = "EOPNOTSUPP: no S1 and S2, an erratum, or neither CANWBS nor S2FWB"
        return _Told(0, name, Evidence("measured", source, refused))
    reason = (
        "not tried" if answer.nesting is None else errno.errorcode.get(answer.nesting, str(answer.nesting))
    )
    return _Told(None, name, Evidence("unknown", source, reason))


def _members(structure: type[ctypes.Structure], data: bytes, prefix: str, key: str) -> dict[str, HwInfoFact]:
    """The members of a structure that the answer has whole, reserved ones left out."""
    filled = structure.from_buffer_copy(data.ljust(ctypes.sizeof(structure), b"\0"))
    return {
        f"{prefix}{name}": HwInfoFact(f"{getattr(filled, name):#x}", key)
        for name, _ in _fields(structure)
        if not name.startswith("__")
        and getattr(structure, name).offset + getattr(structure, name).size <= len(data)
    }


def _fields(structure: type[ctypes.Structure]) -> list[tuple[str, type]]:
    return [(entry[0], entry[1]) for entry in structure._fields_]


def _record_function(
    function: HostFunction, answer: Answer, release: str, key: str
) -> tuple[HostFunction, _Table]:
    untold: _Table = {}
    capabilities, pasid = answer.info.capabilities, answer.info.max_pasid_log2
    facts = {name: Fact() for name in _MEASURED_FACTS}
    if capabilities is not None:
        facts["dirty_tracking"] = Fact(int(bool(capabilities & hw_info.IOMMU_HW_CAP_DIRTY_TRACKING)), key)
        if pasid:
            facts["pasid_exec"] = Fact(int(bool(capabilities & hw_info.IOMMU_HW_CAP_PCI_PASID_EXEC)), key)
            facts["pasid_privileged"] = Fact(
                int(bool(capabilities & hw_info.IOMMU_HW_CAP_PCI_PASID_PRIV)), key
            )
    if (capabilities or 0) & hw_info.IOMMU_HW_CAP_PCI_ATS_NOT_SUPPORTED:
        facts["ats_not_supported"] = Fact(1, key)
    elif capabilities is not None and _at_least(release, _SINCE_ATS):
        facts["ats_not_supported"] = Fact(0, key)
    else:
        facts["ats_not_supported"] = Fact(None, "ats-untold")
        untold["ats-untold"] = Evidence(
            "unknown", f"Linux {release}", "kernels before 7.1 do not report whether a device can use ATS"
        )
    if pasid or _at_least(release, _SINCE_PASID):
        facts["max_pasid_log2"] = Fact(pasid, key)
    else:
        facts["max_pasid_log2"] = Fact(None, "pasid-untold")
        untold["pasid-untold"] = Evidence(
            "unknown", f"Linux {release}", "kernels before 6.15 do not report how many PASID bits are enabled"
        )
    return msgspec.structs.replace(function, **facts), untold


def _at_least(release: str, version: tuple[int, int]) -> bool:
    found = kernel_version(release)
    return found is not None and found >= version
