# SPDX-License-Identifier: Apache-2.0
"""What KubeVirt's hook costs a VM's start: a domain of 50 KiB, beside a bare interpreter and virt-xml.

``python bench/hook/main.py [--virt-xml 'chroot DIR virt-xml']``. The edit is the same for both: four
attributes of one ``<driver>``; virt-xml is told the values, the hook finds them out.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "bench"), str(ROOT / "tests")]

from measure import Cost, compare, record, version  # noqa: E402

from domains import domain  # noqa: E402 - found by the line above

SIZE = 50 << 10
VALUES = {"ats": "on", "ril": "off", "ssidsize": "20", "oas": "48"}
FACTS = ROOT / "src" / "vsmmu" / "host" / "builtin" / "gb200.json"
HOOK = "from vsmmu.cli.hook import main; main()"


def domain_of(size: int) -> str:
    """A domain with one accelerated SMMU and a long tail of metadata, as an operator leaves it behind."""
    plain = domain()
    notes = "".join(f"<!-- {number:06} {'note ' * 16}-->\n" for number in range(size // 96))
    return plain.decode().replace("</domain>", notes[: max(0, size - len(plain)) // 96 * 96] + "</domain>")


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument(
        "--virt-xml", default=shutil.which("virt-xml") or "", help="command that starts virt-xml"
    )
    options = parser.parse_args()
    os.environ["VSMMU_HOST"] = str(FACTS)
    accelerated = domain_of(SIZE)
    other = accelerated.replace("smmuv3", "intel").replace(" accel='on'", "")
    hook = [sys.executable, "-I", "-c", HOOK, "--vmi", '{"metadata":{"name":"vm"}}', "--domain"]
    commands: dict[str, tuple[list[str], bytes]] = {
        "python -I -c pass": ([sys.executable, "-I", "-c", "pass"], b""),
        "onDefineDomain, no SMMU": ([*hook, other], b""),
        "onDefineDomain, accelerated": ([*hook, accelerated], b""),
    }
    if options.virt_xml:
        xpaths = [f"--xml=./devices/iommu/driver/@{name}={value}" for name, value in VALUES.items()]
        test = accelerated.replace("type='kvm'", "type='test'", 1).encode()
        command = [
            *shlex.split(options.virt_xml),
            "--connect",
            "test:///default",
            "--edit",
            *xpaths,
            "--print-xml",
        ]
        named = version(*shlex.split(options.virt_xml), "--version")
        commands[f"virt-xml {named}, the same edit"] = (command, test)
    costs = compare(commands, options.runs)
    report(len(accelerated), costs)


def report(size: int, costs: dict[str, Cost]) -> None:
    """Print the table, and write it down."""
    bare = costs["python -I -c pass"]
    print(f"domain of {size} bytes (medians)       CPU ms   wall ms   x python")
    for name, cost in costs.items():
        print(f"  {name:30} {cost.cpu * 1e3:8.1f} {cost.wall * 1e3:9.1f} {cost.cpu / bare.cpu:10.1f}")
    hook = costs["onDefineDomain, accelerated"].cpu
    ratios = {
        "accelerated domain, of a bare interpreter": hook / bare.cpu,
        "domain without SMMU, of a bare interpreter": costs["onDefineDomain, no SMMU"].cpu / bare.cpu,
    }
    other = [cost.cpu for name, cost in costs.items() if name.startswith("virt-xml")]
    if other:
        ratios["accelerated domain, of virt-xml"] = hook / other[0]
    note = "" if other else "virt-xml is not installed (Debian: virtinst)"
    record("hook", {"starts": {name: cost._asdict() for name, cost in costs.items()}}, ratios, note)


if __name__ == "__main__":
    main()
