# SPDX-License-Identifier: Apache-2.0
"""Distances of planned NUMA nodes: those of the host where each node of the guest stands for one."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import msgspec
import pytest

from domains import domain
from examples import Q11_1, function, host, smmu, with_nodes
from vsmmu.errors import Negative
from vsmmu.host.builtin import builtin_host
from vsmmu.host.numa_nodes import NumaNode
from vsmmu.machine.domain.document import read_domain_xml
from vsmmu.plan.libvirt import devices_xml
from vsmmu.plan.libvirt_surroundings import with_surroundings
from vsmmu.plan.model import PlannedDistance
from vsmmu.plan.numa import guest_nodes
from vsmmu.plan.planner import Order, plan
from vsmmu.plan.surroundings import Surroundings

if TYPE_CHECKING:
    from vsmmu.host.facts import Host
    from vsmmu.plan.model import Plan

GB200 = builtin_host("gb200")
GPU, OTHER = "0009:01:00.0", "0019:01:00.0"
HEAD = "qemu-system-aarch64 -M virt -accel kvm -bios firmware.fd -nodefaults"
BARE = {"expander": "", "port": "", "hostdev": "", "iommu": ""}


def planned(*devices: str, on: Host = GB200, vm: str = "") -> Plan:
    return plan(Order(devices, words=tuple(shlex.split(vm))), on, Q11_1)


BOUND = (
    f"{HEAD} -m 8G -smp 2 "
    "-object memory-backend-ram,id=m0,size=4G,host-nodes=0,policy=bind -numa node,nodeid=0,cpus=0,memdev=m0 "
    "-object memory-backend-ram,id=m1,size=4G,host-nodes=1,policy=bind -numa node,nodeid=1,cpus=1,memdev=m1"
)


def test_distances_are_those_of_the_host_where_each_node_stands_for_one() -> None:
    answer = planned(GPU, OTHER, on=with_nodes(GB200), vm=BOUND)
    assert answer.answer == "starts"
    far = {(entry.source, entry.target): entry.value for entry in answer.distances}
    assert len(far) == 18 * 17 // 2
    # The first function's nodes are 2 to 9, near to node 0; the second's 10 to 17, near to node 1.
    assert (far[0, 1], far[0, 2], far[1, 2], far[2, 9], far[2, 10], far[1, 17]) == (80, 80, 120, 80, 120, 80)
    assert "-numa dist,src=0,dst=1,val=80" in " ".join(answer.arguments)


@pytest.mark.parametrize(
    ("on", "vm"),
    [
        (GB200, BOUND),
        (with_nodes(GB200), BOUND.replace(",host-nodes=1,policy=bind", "")),
        (with_nodes(GB200), f"{HEAD} -m 4G"),
        (with_nodes(GB200), ""),
    ],
)
def test_no_distance_is_written_if_one_is_not_known(on: Host, vm: str) -> None:
    answer = planned(GPU, OTHER, on=on, vm=vm)
    assert answer.distances == ()
    assert "dist," not in " ".join(answer.arguments)


def test_distances_that_a_vm_has_stay_and_the_others_are_added() -> None:
    vm = f"{BOUND} -numa dist,src=0,dst=1,val=21"
    answer = planned(GPU, on=with_nodes(GB200), vm=vm)
    assert answer.answer == "starts"
    assert (0, 1) not in {(entry.source, entry.target) for entry in answer.distances}
    assert len(answer.distances) == 10 * 9 // 2 - 1
    with pytest.raises(Negative, match="distance between node 0 and 2 is missing"):
        planned(GPU, vm=vm)


def test_distances_in_both_directions() -> None:
    nodes = (NumaNode(0, cpus=True, distances=(10, 20)), NumaNode(1, cpus=True, distances=(30, 10)))
    on = msgspec.structs.replace(host(smmu(), function("0000:01:00.0", "smmu0")), numa_nodes=nodes)
    answer = planned("0000:01:00.0", on=on, vm=BOUND)
    assert answer.distances == (PlannedDistance(0, 1, 20), PlannedDistance(1, 0, 30))
    assert answer.answer == "starts"


def test_distances_of_a_domain() -> None:
    cells = "<cell id='0' cpus='0' memory='1' unit='GiB'/><cell id='1' cpus='1' memory='1' unit='GiB'/>"
    bound = "".join(f"<memnode cellid='{node}' mode='strict' nodeset='{node}'/>" for node in (0, 1))
    given = read_domain_xml(
        domain(**BARE, cpu=f"<cpu><numa>{cells}</numa></cpu>", uuid=f"<numatune>{bound}</numatune>"), "vm.xml"
    )
    answer = plan(Order((GPU,), domain=given), with_nodes(GB200), Q11_1)
    grown = with_surroundings(given, Surroundings(answer.nodes, distances=answer.distances))
    text = grown.text()
    assert "<cell id='1' cpus='1' memory='1' unit='GiB'><distances><sibling id='0' value='80'/>" in text
    assert text.count("<sibling ") == len(answer.distances) == 10 * 9 // 2
    again = guest_nodes(grown)
    assert sum(len(node.measured) for node in again.values()) == len(answer.distances)
    written = devices_xml(answer)
    assert written.count("<sibling ") == len(answer.distances) - 1
