# SPDX-License-Identifier: Apache-2.0
"""The probe's plan and answers as text and as JSON (``vsmmu.probe-plan/1``)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from vsmmu.diagnostic import Diagnostic
from vsmmu.probe.record import TYPE_NAMES
from vsmmu.smmuv3.fields import REGISTERS
from vsmmu.smmuv3.properties import REGISTER_PROPERTIES
from vsmmu.uapi import hw_info

if TYPE_CHECKING:
    from vsmmu.host.facts import Host, HostFunction, HostSmmu
    from vsmmu.probe.ask import Answer
    from vsmmu.probe.execute import ProbePlan

__all__ = ["PLAN_SCHEMA", "PlanDocument", "answer_lines", "plan_document"]

PLAN_SCHEMA: Final = "vsmmu.probe-plan/1"


class PlanTarget(msgspec.Struct, frozen=True, omit_defaults=True):
    """One question: the functions that can answer it, best first, or what keeps it from being asked."""

    name: str
    choices: tuple[str, ...] = ()
    diagnostics: tuple[Diagnostic, ...] = ()


class PlanDocument(msgspec.Struct, frozen=True, kw_only=True):
    """What ``vsmmu probe --dry-run -o json`` prints: ``steps`` in the order in which they would be done."""

    schema: str
    steps: tuple[str, ...]
    targets: tuple[PlanTarget, ...]
    facts_path: str


def plan_document(plan: ProbePlan) -> PlanDocument:
    """The plan as a document."""
    return PlanDocument(
        schema=PLAN_SCHEMA,
        steps=tuple(plan.describe()),
        targets=tuple(
            PlanTarget(target.name, target.choices, (target.refusal.diagnostic,) if target.refusal else ())
            for target in plan.targets
        ),
        facts_path=plan.facts_path,
    )


def answer_lines(host: Host, answer: Answer) -> list[str]:
    """What the kernel said of one function and the IOMMU before it."""
    function = host.function(answer.address)
    smmu = host.smmu(function.smmu) if function and function.smmu else None
    if function is None or smmu is None:
        return []
    lines = [f"{smmu.name}: {TYPE_NAMES.get(answer.info.type, f'type {answer.info.type}')}"]
    if smmu.registers and answer.info.type == hw_info.IOMMU_HW_INFO_TYPE_ARM_SMMUV3:
        words = [f"{name} {smmu.registers[name].value}" for name in REGISTERS if name in smmu.registers]
        lines += [f"  {'  '.join(words[start : start + 4])}" for start in range(0, len(words), 4)]
        lines.append(f"  {_properties(smmu)}")
        if (smmu.hw_info_flags.value or 0) & hw_info.IOMMU_HW_INFO_ARM_SMMUV3_ERRATA_REPEAT_TLBI_CFGI:
            lines.append("  erratum: TLBI and CFGI commands must be issued twice (T264-SMMU-3)")
    elif answer.info.type == hw_info.IOMMU_HW_INFO_TYPE_NONE:
        lines.append("  its driver tells nothing: the kernel needs CONFIG_ARM_SMMU_V3_IOMMUFD")
    lines += [f"  {name} {fact.value}" for name, fact in smmu.hw_info_data.items()]
    return [*lines, f"  through {function.address}: {_function(function)}"]


def _properties(smmu: HostSmmu) -> str:
    registers = smmu.registers
    told = [
        f"{entry.name} {entry.spell(entry.from_code(entry.source_field.decode(registers[name].word)))}"
        for entry in REGISTER_PROPERTIES
        if (name := entry.source_field.register) in registers
    ]
    nesting = {0: "no nesting", 1: "nesting", None: "nesting not known"}[smmu.nesting.value]
    return ", ".join([*told, f"cmdqv {'on' if smmu.cmdqv.value else 'off'}", nesting])


def _function(function: HostFunction) -> str:
    ats = {0: "ATS supported", 1: "ATS not supported", None: "ATS support not told by this kernel"}
    pasid = function.max_pasid_log2.value
    bits = (
        "PASID not told by this kernel" if pasid is None else f"{pasid} PASID bits" if pasid else "no PASID"
    )
    return f"{ats.get(function.ats_not_supported.value, '')}, {bits}"
