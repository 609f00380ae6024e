# SPDX-License-Identifier: Apache-2.0
"""A plan as a picture: the VM's vSMMUs, beside them the host's SMMUs that they stand for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vsmmu.host.mmio_window import spell_size
from vsmmu.picture.box import Box, BoxLink, Picture
from vsmmu.picture.host import function_lines, made_up_lines, smmu_boxes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vsmmu.host.facts import Host
    from vsmmu.plan.model import Plan, PlannedPort, PlannedVsmmu

__all__ = ["plan_picture"]


def plan_picture(plan: Plan, host: Host) -> Picture:
    """The VM, the part of the host that it is planned on, and which vSMMU stands for which SMMU.

    :param host: the facts that the plan was made from.
    """
    names = dict.fromkeys(entry.host_smmu for entry in plan.vsmmus)
    smmus = [smmu for smmu in host.smmus if smmu.name in names]
    planned = {port.function for entry in plan.vsmmus for port in entry.ports}
    functions = [entry for entry in host.functions if entry.address in planned]
    vm = Box(
        "VM",
        tuple(_vm_lines(plan)),
        tuple(_vsmmu(entry, host) for smmu in smmus for entry in plan.vsmmus if entry.host_smmu == smmu.name),
    )
    title = (host.title,) if host.title else ()
    return Picture(
        (vm, Box(f"host {host.name}", title, smmu_boxes(host, smmus, functions), "place")),
        tuple(BoxLink(entry.id, entry.host_smmu) for entry in plan.vsmmus),
        "from a vSMMU to the host SMMU that it stands for",
        made_up_lines(host),
    )


def _vm_lines(plan: Plan) -> Iterator[str]:
    yield f"QEMU {plan.qemu}, {plan.machine_type}"
    if plan.mmio_window:
        yield f"MMIO window {spell_size(plan.mmio_window)}"
    for node in plan.nodes:
        if node.memory:
            of = f" of {node.egm}" if node.egm else ""
            yield f"guest NUMA node {node.id}: CPUs {node.cpus}, {spell_size(node.memory)}{of}"


def _vsmmu(vsmmu: PlannedVsmmu, host: Host) -> Box:
    values = " ".join(f"{entry.name}={entry.value}" for entry in vsmmu.properties if entry.value != "auto")
    node = () if vsmmu.numa_node is None else (f"guest NUMA node {vsmmu.numa_node}",)
    return Box(
        f"{vsmmu.id} on {vsmmu.expander}",
        (values, f"buses {vsmmu.first_bus}-{vsmmu.last_bus}", *node),
        tuple(_port(port, host) for port in vsmmu.ports),
        "strong",
        key=vsmmu.id,
    )


def _port(port: PlannedPort, host: Host) -> Box:
    title = f"{port.id}, chassis {port.chassis}"
    if not port.function:
        return Box(title, ("free for hot-plug",), shade="open")
    function = host.function(port.function)
    what = () if function is None else function_lines(function)[:1]
    nodes = f"guest NUMA nodes {port.initiators[0]}-{port.initiators[-1]}" if port.initiators else ""
    memory = (f"its memory: {nodes}",) if nodes else ()
    egm = () if port.egm is None else (f"its EGM: guest NUMA node {port.egm}",)
    return Box(title, (f"{port.device}: {port.function}", *what, *memory, *egm))
