# SPDX-License-Identifier: Apache-2.0
"""A plan as boxes: the host's nodes and SMMUs, each with its part of the VM."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vsmmu.host.mmio_window import spell_size
from vsmmu.picture.box import Box

if TYPE_CHECKING:
    from vsmmu.plan.model import Plan, PlannedPort, PlannedVsmmu

__all__ = ["plan_box"]


def plan_box(plan: Plan, made_up: tuple[str, ...] = ()) -> Box:
    """The whole plan; host SMMUs on several NUMA nodes are put together by node.

    :param made_up: what to say of a host that serves as an example.
    """
    nodes = dict.fromkeys(vsmmu.host_node for vsmmu in plan.vsmmus)
    inside = [
        Box(
            "no NUMA node known" if node is None else f"host NUMA node {node}",
            inside=tuple(_host_smmu(vsmmu) for vsmmu in plan.vsmmus if vsmmu.host_node == node),
            shade="place",
        )
        for node in nodes
    ]
    shown = inside if len(nodes) > 1 else inside[0].inside
    lines = [f"QEMU {plan.qemu}, {plan.machine_type}"]
    if plan.mmio_window:
        lines.append(f"MMIO window {spell_size(plan.mmio_window)}")
    lines += [
        f"guest node {node.id}: CPUs {node.cpus}, {spell_size(node.memory)}"
        for node in plan.nodes
        if node.memory
    ]
    return Box(f"VM on {plan.host}", tuple(lines), tuple(shown), "place", notes=made_up)


def _host_smmu(vsmmu: PlannedVsmmu) -> Box:
    node = "" if vsmmu.numa_node is None else f", guest node {vsmmu.numa_node}"
    buses = f"buses {vsmmu.first_bus}-{vsmmu.last_bus}{node}"
    values = " ".join(f"{entry.name}={entry.value}" for entry in vsmmu.properties if entry.value != "auto")
    guest = Box(
        f"{vsmmu.id} on {vsmmu.expander}",
        (values, buses),
        tuple(_port(port) for port in vsmmu.ports),
        "strong",
    )
    return Box(vsmmu.host_smmu, ("host SMMU",), (guest,), "place")


def _port(port: PlannedPort) -> Box:
    if not port.function:
        return Box(port.id, (f"chassis {port.chassis}", "free for hot-plug"), shade="open")
    lines = [f"chassis {port.chassis}", f"{port.device}: {port.function}"]
    if port.initiators:
        lines.append(f"guest nodes {port.initiators[0]}-{port.initiators[-1]} for its memory")
    return Box(port.id, tuple(lines))
