# SPDX-License-Identifier: Apache-2.0
"""NUMA nodes of a host: contradictions, distances that are certain, and what sysfs shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from examples import host, smmu, with_nodes
from vsmmu.errors import InputRefused
from vsmmu.host.builtin import builtin_host
from vsmmu.host.files import decode_host, encode_host
from vsmmu.host.numa_nodes import NumaNode
from vsmmu.plan.distances import Place, distance
from vsmmu.probe.discover import discover

if TYPE_CHECKING:
    from fake_host import FakeHost

GRACE = with_nodes(builtin_host("gb200"))


@pytest.mark.parametrize(
    "nodes",
    [
        (NumaNode(0), NumaNode(0)),
        (NumaNode(0, distances=(10,)), NumaNode(1)),
        (NumaNode(0, distances=(10, 20)), NumaNode(1, distances=(10, 20))),
        (NumaNode(0, evidence="nobody"),),
    ],
)
def test_nodes_that_contradict_themselves(nodes: tuple[NumaNode, ...]) -> None:
    with pytest.raises(InputRefused, match="facts-inconsistent"):
        msgspec.structs.replace(host(smmu()), numa_nodes=nodes)


def test_they_come_back_from_a_file() -> None:
    assert decode_host(encode_host(GRACE), "x").numa_nodes == GRACE.numa_nodes


def test_a_distance_is_known_if_all_nodes_that_it_may_be_agree() -> None:
    near, far, gpu = Place(0), Place(1), Place(0, initiator=True)
    assert (distance(GRACE, near, far), distance(GRACE, near, near)) == (80, 10)
    assert (distance(GRACE, near, gpu), distance(GRACE, gpu, far), distance(GRACE, gpu, gpu)) == (80, 120, 80)
    assert distance(GRACE, near, Place(99)) is None
    assert distance(host(smmu()), near, near) is None
    nodes = GRACE.numa_nodes
    assert nodes is not msgspec.UNSET
    odd = msgspec.structs.replace(nodes[2], distances=(81, *nodes[2].distances[1:]))
    other = msgspec.structs.replace(GRACE, numa_nodes=(*nodes[:2], odd, *nodes[3:]))
    assert distance(other, gpu, near) is None
    assert distance(other, near, gpu) == 80


def test_sysfs(fake: FakeHost) -> None:
    base = "/sys/devices/system/node"
    assert discover(fake.tree).numa_nodes is msgspec.UNSET
    sets = {"online": "0-1,4", "has_cpu": "0", "has_memory": "0-1", "has_generic_initiator": "4"}
    for name, text in sets.items():
        fake.write(f"{base}/{name}", f"{text}\n")
    for node, text in ((0, "10 20 30"), (1, "20 10 40"), (4, "30 40 10")):
        fake.write(f"{base}/node{node}/distance", f"{text}\n")
    assert discover(fake.tree).numa_nodes == (
        NumaNode(0, cpus=True, memory=True, distances=(10, 20, 30), evidence="sysfs-node"),
        NumaNode(1, memory=True, distances=(20, 10, 40), evidence="sysfs-node"),
        NumaNode(4, generic_initiator=True, distances=(30, 40, 10), evidence="sysfs-node"),
    )


@pytest.mark.parametrize("text", ["10", "10 20 300", "20 10", "10 x"])
def test_sysfs_that_cannot_be_says_nothing(fake: FakeHost, text: str) -> None:
    fake.write("/sys/devices/system/node/online", "0-1\n")
    fake.write("/sys/devices/system/node/node0/distance", text)
    fake.write("/sys/devices/system/node/node1/distance", "20 10")
    assert discover(fake.tree).numa_nodes is msgspec.UNSET
