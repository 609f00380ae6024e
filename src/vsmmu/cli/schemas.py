# SPDX-License-Identifier: Apache-2.0
"""Every document that vsmmu reads or prints, with the JSON Schema made from its struct."""

from __future__ import annotations

from importlib import import_module
from inspect import cleandoc
from typing import Any, Final

import msgspec

__all__ = ["DOCUMENTS", "schema_of"]

#: Name of the schema (without ``vsmmu.`` and version) -> where its struct is; imported when asked for.
DOCUMENTS: Final[dict[str, str]] = {
    "host": "vsmmu.host.facts:Host",
    "resolution": "vsmmu.cli.documents:ResolutionDocument",
    "explanation": "vsmmu.explanation.model:ExplanationDocument",
    "verdict": "vsmmu.cli.documents:VerdictDocument",
    "survey": "vsmmu.policy.survey:Survey",
    "bundle": "vsmmu.bundle.model:Bundle",
    "fix": "vsmmu.cli.documents:MendingDocument",
    "probe-plan": "vsmmu.probe.documents:PlanDocument",
    "doctor": "vsmmu.doctor.model:Diagnosis",
    "requirements": "vsmmu.doctor.requirements_model:RequirementsDocument",
    "plan": "vsmmu.plan.model:Plan",
    "functions": "vsmmu.plan.listing:Listing",
    "inspection": "vsmmu.monitor.inspection:Inspection",
    "running": "vsmmu.monitor.running_vms:RunningVms",
    "baseline": "vsmmu.fleet.documents:BaselineDocument",
    "comparison": "vsmmu.fleet.documents:ComparisonDocument",
    "placement": "vsmmu.fleet.documents:PlacementDocument",
    "report": "vsmmu.fleet.documents:ReportDocument",
    "pci-capabilities": "vsmmu.kubevirt.capabilities:CapabilitiesDocument",
    "capture": "vsmmu.emulate.capture:CaptureDocument",
    "error": "vsmmu.cli.documents:ErrorDocument",
}


def schema_of(name: str) -> dict[str, Any]:
    """The JSON Schema of the document called ``name``.

    :raise KeyError: if there is none.
    """
    module, _, struct = DOCUMENTS[name].partition(":")
    made = msgspec.json.encode(msgspec.json.schema(getattr(import_module(module), struct)))
    schema: dict[str, Any] = msgspec.json.decode(
        made.replace(rb"$(?!\\n)", b"$")
    )  # the same in ECMA's dialect
    for part in schema["$defs"].values():
        if "description" in part:  # a docstring, which older Pythons than 3.13 leave indented
            part["description"] = cleandoc(part["description"])
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
