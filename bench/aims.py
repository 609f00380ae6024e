# SPDX-License-Identifier: Apache-2.0
"""The aims of the project by section of the results, each at most; and a gate that says which are met.

``python bench/aims.py`` prints every aim with what was measured last; its status is 0 if all are met, 1 if
one is missed or was not measured.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

__all__ = ["AIMS", "RESULTS"]

#: What all benches write down; docs/reference/performance.md is made of it.
RESULTS = Path(__file__).with_name("results.json")

#: The largest part of a peer's cost that each figure may be; linear growth is 1.
AIMS: dict[str, dict[str, float]] = {
    "start": {
        "resolve, of a bare interpreter": 3.7,
        "check, of a bare interpreter": 3.7,
        "--version, of a bare interpreter": 1.8,
        "resolve, of virt-xml": 0.25,
    },
    "process": {},
    "hook": {
        "accelerated domain, of a bare interpreter": 3.8,
        "domain without SMMU, of a bare interpreter": 1.5,
        "accelerated domain, of virt-xml": 0.25,
    },
    "run": {"added, of QEMU's own start": 1.0},
    "growth": {
        "an endpoint of 1,912, of one of 64": 1.5,
        "a vSMMU of 16, of one alone": 1.5,
        "a KiB of 4 MiB of XML, of one of 256 KiB": 1.5,
    },
    "emulate": {
        "trapped call, of the peer's": 1.5,
        "trapped call with 256 more files open, of the peer's": 1.5,
    },
    "fleet": {
        "baseline of alike hosts, of DuckDB's wall time": 0.4,
        "baseline of unlike hosts, of DuckDB's wall time": 0.4,
        "baseline of probed hosts, of DuckDB's wall time": 0.5,
        "baseline of alike hosts, of bare msgspec's CPU time": 1.5,
        "baseline of unlike hosts, of bare msgspec's CPU time": 1.5,
        "baseline of probed hosts, of bare msgspec's CPU time": 1.5,
        "a host of 1,000,000, of one of 100,000": 1.5,
    },
    "probe": {"asking, of a C program": 2.0},
}


def main() -> int:
    """Print each aim; see the module for the status."""
    results = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    missed = 0
    for section, aims in AIMS.items():
        measured = results.get(section, {}).get("aims", {})
        for name, most in aims.items():
            value = measured.get(name)
            met = value is not None and value <= most
            missed += not met
            said = "not measured" if value is None else f"{value:.2f}  {'met' if met else 'MISSED'}"
            print(f"{section:8} {name:60} at most {most:<5g} {said}")
    print(f"{missed} of {sum(map(len, AIMS.values()))} aims missed" if missed else "all aims met")
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
