# SPDX-License-Identifier: Apache-2.0
"""Facts that differ from every built-in host."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from vsmmu.host.facts import SCHEMA
from vsmmu.smmuv3.properties import REGISTER_PROPERTIES

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

#: Fields that QEMU compares and that are the same everywhere here.
_COMMON = {
    "IDR0.ST_LEVEL": 1, "IDR0.TTENDIAN": 0, "IDR0.TTF": 2, "IDR1.SIDSIZE": 16,
    "IDR5.GRAN4K": 1, "IDR5.GRAN16K": 1, "IDR5.GRAN64K": 1,
}  # fmt: skip


@pytest.fixture
def facts(tmp_path: Path) -> Callable[..., str]:
    """Writes facts of a host with two SMMUs and a function behind each: ``facts(oas=5, second_oas=4)``.

    Numbers are codes of the register fields.
    """

    def write(**codes: int) -> str:
        path = tmp_path / "host.json"
        path.write_text(json.dumps(_document(codes)))
        return str(path)

    return write


def _document(codes: dict[str, int]) -> dict[str, object]:
    default = {"ats": 1, "ril": 0, "ssidsize": 20, "oas": 5, "pasid_width": 20}
    smmus, functions = [], []
    for name, prefix, domain in (("smmu3.0x1", "", "0009"), ("smmu3.0x2", "second_", "0019")):
        chosen = {
            key: codes.get(prefix + key, codes.get(key, value) if not prefix else value)
            for key, value in default.items()
        }
        fields = {entry.source: chosen[entry.name] for entry in REGISTER_PROPERTIES} | _COMMON
        known = {key: {"value": value, "evidence": "test"} for key, value in fields.items()}
        one = {"value": 1, "evidence": "test"}
        kernel = {"hw_info_type": {"value": 2, "evidence": "test"}, "nesting": one, "coherent": one}
        smmus.append({"name": name, "fields": known, **kernel})
        functions.append(
            {
                "address": f"{domain}:01:00.0",
                "smmu": name,
                "ats_capability": one,
                "ats_not_supported": {"value": 0, "evidence": "test"},
                "max_pasid_log2": {"value": chosen["pasid_width"], "evidence": "test"},
            }
        )
    evidence = {"test": {"kind": "measured", "source": "a test"}}
    return {"schema": SCHEMA, "name": "test", "smmus": smmus, "functions": functions, "evidence": evidence}
