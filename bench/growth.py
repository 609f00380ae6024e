# SPDX-License-Identifier: Apache-2.0
"""What grows with a VM: reading, resolving and editing it, with ever more endpoints, vSMMUs and XML.

``python bench/growth.py``. The CPU time of the quickest of some runs in this process.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from measure import best_of, record
from sized_vms import MOST_ENDPOINTS, MOST_VSMMUS, addresses, host_with, vm

import vsmmu
from domains import domain
from vsmmu.host.builtin import builtin_host
from vsmmu.machine.command_line.argv import read_words
from vsmmu.policy.resolver import resolve_machine
from vsmmu.qemu.versions import LATEST

#: Endpoints behind one vSMMU each, and the most that QEMU has bus numbers for, behind sixteen.
ENDPOINTS = ((1, 1), (64, 1), (512, 1), (MOST_ENDPOINTS, MOST_VSMMUS))
#: Eight endpoints each.
VSMMUS = (1, 4, MOST_VSMMUS)
KIBIBYTES = (64, 256, 1024, 4096)
ENTRY = "<m:entry xmlns:m='urn:example' key='{0}'>value {0}</m:entry>\n"


def of_command_line(endpoints: int, vsmmus: int) -> float:
    """Seconds for a command line."""
    functions = addresses(endpoints, vsmmus)
    words, host = vm(functions), host_with(functions)

    def work() -> None:
        line = read_words(words)
        resolution = resolve_machine(line.machine(), host, LATEST)
        resolution.require()
        line.edit(resolution.edits)

    return best_of(work)


def of_domain(kibibytes: int) -> float:
    """Seconds for a domain of one vSMMU that is nearly all metadata, in short elements."""
    plain, host = domain().decode(), builtin_host("gb200")
    room = (kibibytes << 10) - len(plain) - len("<metadata></metadata>")
    entries, number = [], 0
    while (entry := ENTRY.format(number)) and len(entry) <= room:
        entries.append(entry)
        number, room = number + 1, room - len(entry)
    filled = plain.replace("</domain>", f"<metadata>{''.join(entries)}</metadata></domain>").encode()

    def work() -> None:
        answer = vsmmu.resolve(vsmmu.read_vm(filled), host, qemu=LATEST)
        assert answer.vm.render() != filled

    return best_of(work)


def main() -> None:
    """Measure, print, write."""
    endpoints = {count: of_command_line(count, vsmmus) for count, vsmmus in ENDPOINTS}
    several = {count: of_command_line(8 * count, count) for count in VSMMUS}
    xml = {count: of_domain(count) for count in KIBIBYTES}
    figures = {"endpoints": endpoints, "vSMMUs": several, "KiB of XML": xml}
    for unit, sizes in figures.items():
        for count, seconds in sizes.items():
            print(f"{count:>6} {unit:12} {seconds * 1e3:8.2f} ms {seconds / count * 1e6:8.1f} us each")
    ratios = {
        "an endpoint of 1,912, of one of 64": (endpoints[MOST_ENDPOINTS] / MOST_ENDPOINTS)
        / (endpoints[64] / 64),
        "a vSMMU of 16, of one alone": several[16] / 16 / several[1],
        "a KiB of 4 MiB of XML, of one of 256 KiB": xml[4096] / 4096 / (xml[256] / 256),
    }
    record("growth", figures, ratios)


if __name__ == "__main__":
    main()
