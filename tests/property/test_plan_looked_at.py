# SPDX-License-Identifier: Apache-2.0
"""All that plan writes is judged by the model: it starts, and nothing of it is "not looked at"."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from domains import domain
from examples import with_egm, with_nodes
from layouts import LAYOUTS
from vsmmu.errors import Negative
from vsmmu.host.builtin import builtin_host, builtin_names
from vsmmu.host.facts import MemoryRegion
from vsmmu.host.judgements import bridge, direct_mapped
from vsmmu.machine.command_line.argv import read_words
from vsmmu.machine.domain.document import read_domain_xml
from vsmmu.plan.merge import merged
from vsmmu.plan.planner import Order, plan
from vsmmu.policy.checking import check
from vsmmu.policy.options import Options
from vsmmu.qemu.versions import FORK_RELEASES, parse_version

if TYPE_CHECKING:
    from vsmmu.host.facts import Host
    from vsmmu.plan.selection import Grouping

WORDS = "qemu-system-aarch64 -M virt,gic-version=3 -accel kvm -nodefaults -bios f.fd -cpu host -smp 4 -m 64G"
BOARD = "<os firmware='efi'><type arch='aarch64' machine='virt'>hvm</type></os>"
BARE = {"expander": "", "port": "", "hostdev": "", "iommu": ""}
CPUS = ("", "<cpu/>", "<cpu mode='host-passthrough'/>", "<cpu mode='host-passthrough' check='none'/>")
QEMUS = (*map(parse_version, ("11.1", "11.0")), *FORK_RELEASES)
#: What cannot be planned: a host that does not nest or has 40 address bits, a fork's own words in a domain.
REFUSED = {
    *("qemu-fork-domain", "qemu-default-unknown", "xml-inexpressible", "oas-inexpressible"),
    *("qemu-viommu", "qemu-viommu-11.0", "qemu-no-vfio-device", "qemu-nest-parent"),
}
SAFE = Options(assume_safe=True)


def looked_at(functions: tuple[str, ...], facts: Host, group: Grouping = "smmu") -> int:
    """Plan for every QEMU and in both forms, and hold what comes out against the model; how many did."""
    seen, left = 0, list[str]()
    line = tuple(shlex.split(WORDS))
    for qemu in QEMUS:
        for text in (None, *CPUS):
            before = None if text is None else read_domain_xml(domain(**BARE, cpu=text, os=BOARD), "vm.xml")
            words = line if before is None else ()
            try:
                made = plan(Order(functions, words=words, domain=before, group=group), facts, qemu, SAFE)
                after = merged(made, before) if before is not None else read_words(made.command_line or ())
            except Negative as refused:  # the host, or the fork's own words in a domain
                left.append(refused.code)
                continue
            verdict = check(after, facts, qemu, SAFE)
            found = [str(entry) for entry in verdict.diagnostics if entry.severity in ("error", "unknown")]
            assert verdict.answer == made.answer, found
            assert verdict.answer in ("starts", "unknown"), found
            assert verdict.not_judged == (before or read_words(line)).not_judged()
            seen += verdict.answer == "starts"
    assert set(left) <= REFUSED
    return seen


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout(name: str) -> None:
    layout = LAYOUTS[name]
    started = looked_at((*layout.functions, *layout.nics), layout.host(), layout.group)
    # Of the others not everything that QEMU looks at is published, and the answer says so.
    assert started >= len(CPUS) + 1 or not name.startswith("gb")


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_part_of_a_vm_is_not_refused_for_what_the_vm_has(name: str) -> None:
    layout = LAYOUTS[name]
    facts, functions = layout.host(), (*layout.functions, *layout.nics)
    made = plan(Order(functions, group=layout.group), facts, QEMUS[0], SAFE)
    verdict = check(read_words(made.arguments), facts, QEMUS[0], SAFE)
    assert verdict.answer == ("starts" if name.startswith("gb") else "unknown"), verdict.failure
    assert not verdict.not_judged


@pytest.mark.parametrize("name", builtin_names())
def test_every_function_of_every_built_in_host(name: str) -> None:
    facts = builtin_host(name)
    for entry in facts.functions:
        if entry.smmu and not bridge(entry).answer and not direct_mapped(entry).answer:
            looked_at((entry.address,), facts)


@st.composite
def hosts(draw: st.DrawFn) -> Host:
    """A Grace host with regions of any size, gaps among its nodes, and EGM on some."""
    facts = builtin_host("gb200")
    if draw(st.booleans()):
        facts = with_nodes(facts, draw(st.integers(11, 255)) if draw(st.booleans()) else 40)
    sizes = st.sampled_from([1 << 20, 16 << 30, 128 << 30, 256 << 30, (512 << 30) - (1 << 30), 512 << 30])
    functions = [
        msgspec.structs.replace(
            entry,
            memory_regions=tuple(
                MemoryRegion(index, f"{draw(sizes):#x}", high, draw(st.sampled_from(["exact", "at-least"])))
                for index, high in ((0, False), (2, True), (4, True))[: draw(st.integers(0, 3))]
            ),
        )
        for entry in facts.functions
    ]
    facts = msgspec.structs.replace(facts, functions=tuple(functions))
    if facts.numa_nodes is not msgspec.UNSET and draw(st.booleans()):
        # Numbers with gaps, as where a node is off.
        nodes = tuple(msgspec.structs.replace(node, id=node.id * 3) for node in facts.numa_nodes)
        facts = msgspec.structs.replace(facts, numa_nodes=nodes)
    return with_egm(facts) if draw(st.booleans()) else facts


@settings(max_examples=8, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(hosts(), st.data())
def test_whatever_the_host_is_like(facts: Host, data: st.DataObject) -> None:
    addresses = [entry.address for entry in facts.functions]
    chosen = data.draw(st.lists(st.sampled_from(addresses), min_size=1, unique=True))
    group: Grouping = data.draw(st.sampled_from(["smmu", "root-complex"]))
    assert looked_at(tuple(chosen), facts, group)
