# SPDX-License-Identifier: Apache-2.0
"""explain says where the sizes of BARs, NUMA nodes and the MMIO window are from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

import examples
from examples import function, host, port, smmu, vfio, vm
from vsmmu.cli.explain_needs import needs_lines
from vsmmu.host.builtin import builtin_host
from vsmmu.machine.command_line.argv import read_words

if TYPE_CHECKING:
    from vsmmu.host.facts import Host

GPU = "0009:01:00.0"


def said(facts: Host, *words: str) -> tuple[list[str], int]:
    footnotes: dict[object, int] = {}
    machine = read_words(words).machine() if words else vm("", port(1), vfio("0000:01:00.0", 1))
    lines = needs_lines(machine, facts, {}, footnotes)  # type: ignore[arg-type]
    parts = [line if isinstance(line, tuple) else (line,) for line in lines]
    return ["".join(str(getattr(part, "text", part)) for part in line) for line in parts], len(footnotes)


def test_bars_nodes_and_the_window_of_a_gpu() -> None:
    given = f"qemu-system-aarch64 -M virt -device vfio-pci,host={GPU},id=gpu"
    text, footnotes = said(builtin_host("gb200"), *given.split())
    assert text[1] == f"gpu {GPU}"
    assert "  BAR 4 = at least 256G, above 4 GiB, inferred [1]" in text
    assert any("its own = 8" in line and "in the guest: none" in line for line in text)
    assert text[-1].startswith("highmem-mmio-size=512G QEMU's default; their BARs need 256G at least")
    assert footnotes == 1
    nodes = " -numa node,nodeid=0 -numa node,nodeid=1 -object acpi-generic-initiator,id=g,pci-dev=gpu,node=1"
    text, _ = said(builtin_host("gb200"), *f"{given}{nodes} -M highmem-mmio-size=1T".split())
    assert any(line.endswith("in the guest: 1") for line in text)
    assert text[-1].startswith("highmem-mmio-size=1T written")


def test_a_function_that_needs_ats() -> None:
    text, _ = said(host(smmu(), function(cxl_cache=1)))
    assert text[-1] == "  needs ATS: it is capable of CXL.cache, which needs ATS"


def test_functions_that_need_nothing_are_not_mentioned() -> None:
    assert said(examples.host()) == ([], 0)
    small = msgspec.structs.replace(function(), memory_regions=())
    assert said(host(smmu(), small))[0][-1].endswith("need 0, and with 512G all find room in any order")
