# SPDX-License-Identifier: Apache-2.0
"""Memory of a VM that is an EGM region of its host, and the functions that can use it.

The guest's driver finds its EGM by an ``acpi-egm-memory`` for each GPU, which names the guest's node whose
memory is that of the GPU's socket; NVIDIA's forks alone have the type. Sources: hw/acpi/acpi_egm_memory.c of
NVIDIA/QEMU; nvgrace_egm_mmap() in drivers/vfio/pci/nvgrace-gpu/egm.c of NVIDIA/NV-Kernels and of its series
for Linux. Nothing of it was measured.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from msgspec import UNSET

from vsmmu.diagnostic import Diagnostic
from vsmmu.host.mmio_window import spell_size
from vsmmu.machine.model import EGM
from vsmmu.named_tuple import NamedTuple
from vsmmu.qemu.numa_options import nodes_by_number
from vsmmu.qemu.settings import read_bool
from vsmmu.qemu.values import quantity, unsigned

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vsmmu.host.facts import Host, HostFunction
    from vsmmu.host.numa_nodes import EgmRegion
    from vsmmu.machine.model import Device, Machine, MachineObject
    from vsmmu.qemu.versions import Qemu

__all__ = [
    "FORKS_WITH_EGM",
    "backend_words",
    "backing_node",
    "egm_backend",
    "egm_backends",
    "egm_needs",
    "has_egm",
    "region_of",
]

_FILE: Final = "memory-backend-file"
_PATH: Final = r"/+dev/+(egm[0-9]+)"
#: Who has the type, for people.
FORKS_WITH_EGM: Final = "NVIDIA's forks (--qemu nvidia-10.1, nvidia-11.0), which alone have acpi-egm-memory"


class EgmBackend(NamedTuple):
    """A memory backend whose file is an EGM region.

    :param region: the name of the region.
    :param nodes: the guest's NUMA nodes whose memory it is.
    """

    entry: MachineObject
    region: str
    nodes: tuple[int, ...]


def has_egm(qemu: Qemu) -> bool:
    """Whether a QEMU has the type ``acpi-egm-memory``."""
    if qemu.fork is not None:
        return EGM in qemu.fork.objects
    from vsmmu.qemu.device_tables import table  # few VMs ask

    return table(qemu).object(EGM) is not None


def region_of(host: Host, address: str) -> EgmRegion | None:
    """The EGM region that a function can use; None if it has none, or the facts do not say."""
    regions = () if host.egm is UNSET else host.egm
    return next((region for region in regions if address in region.functions), None)


def egm_backends(machine: Machine) -> Iterator[EgmBackend]:
    """The memory backends of a VM that are EGM regions."""
    nodes: dict[str, list[int]] = {}
    for node, option in nodes_by_number(machine.numa).items():
        nodes.setdefault(option.settings.get("memdev", ""), []).append(node)
    for entry in machine.objects:
        found = re.fullmatch(_PATH, str(entry.properties.get("mem-path", "")))
        if entry.qom_type == _FILE and found is not None:
            yield EgmBackend(entry, found[1], tuple(nodes.get(entry.id, ())))


def backing_node(machine: Machine, region: EgmRegion) -> int | None:
    """The guest's first NUMA node whose memory is of a region; None if there is none."""
    nodes = (
        node for backend in egm_backends(machine) if backend.region == region.name for node in backend.nodes
    )
    return next(nodes, None)


def backend_words(region: EgmRegion, name: str) -> str:
    """The memory backend that is a whole region, as ``-object`` takes it."""
    return egm_backend(name, region.path, "SIZE" if region.length is None else spell_size(region.length))


def egm_backend(name: str, path: str, size: str) -> str:
    """A memory backend that is an EGM region, as ``-object`` takes it."""
    return f"{_FILE},id={name},mem-path={path},size={size},share=on,prealloc=on"


def egm_needs(
    machine: Machine, host: Host, qemu: Qemu, given: Sequence[tuple[Device, HostFunction]]
) -> Iterator[Diagnostic]:
    """Warnings on a VM whose functions have EGM on the host, and on memory that is an EGM region.

    :param given: devices with the functions of the host that they stand for.
    """
    backends = list(egm_backends(machine))
    if host.egm is UNSET:
        return
    regions = {region.name: region for region in host.egm}
    for backend in backends:
        region = regions.get(backend.region)
        yield from _unlisted(backend) if region is None else _size(backend, region)
        yield from _private(backend)
    for region in host.egm:
        users = [(device, function) for device, function in given if function.address in region.functions]
        own = [backend for backend in backends if backend.region == region.name]
        if not own and users:
            yield _elsewhere(machine, region, users, qemu)
        for backend in own[:1]:
            yield from _shared(backend, region, given)
            yield from _untold(machine, region, users, own, qemu)


def _unlisted(backend: EgmBackend) -> Iterator[Diagnostic]:
    yield Diagnostic(
        "egm-unlisted",
        f"the facts have no EGM region /dev/{backend.region}, so QEMU could refuse",
        where=backend.entry.id,
        why=f"can't open backing store /dev/{backend.region} for guest RAM: No such file or directory",
        next="vsmmu show lists them; some kernels make them when a driver takes their first GPU",
        severity="unknown",
    )


def _size(backend: EgmBackend, region: EgmRegion) -> Iterator[Diagnostic]:
    size, length = quantity(backend.entry.properties.get("size")), region.length
    if size is None or length is None or size == length:
        return
    larger = size > length
    yield Diagnostic(
        "egm-size",
        f"{backend.entry.id} has {spell_size(size)}, and {region.path} has {spell_size(length)}: "
        + ("QEMU cannot map it, or maps what is behind it" if larger else "the rest lies idle"),
        where=backend.entry.id,
        why="some releases of nvgrace-egm refuse what is larger, older ones do not look" if larger else "",
        next=f"write size={spell_size(length)}; the size of -m is the sum of all nodes",
        severity="hazard" if larger else "warning",
    )


def _private(backend: EgmBackend) -> Iterator[Diagnostic]:
    if read_bool(backend.entry.properties.get("share")) is not True:
        yield Diagnostic(
            "egm-private",
            f"{backend.entry.id} maps /dev/{backend.region} without share=on: what the guest writes goes "
            "into memory of the host, not into the EGM region",
            where=backend.entry.id,
            next=f"write share=on on {backend.entry.id}",
            severity="hazard",
        )


def _elsewhere(
    machine: Machine, region: EgmRegion, users: Sequence[tuple[Device, HostFunction]], qemu: Qemu
) -> Diagnostic:
    """Functions with EGM in a VM whose memory is not of their region."""
    size = "" if region.length is None else f" ({spell_size(region.length)})"
    names = ", ".join(function.address for _, function in users)
    if machine.backends is None:
        remedy = "libvirt has no element for it: write the command line, for " + FORKS_WITH_EGM
    elif not has_egm(qemu):
        remedy = f"run {FORKS_WITH_EGM}; without EGM there is nothing to do"
    else:
        remedy = (
            f"-object {backend_words(region, 'egm-ram')} as memdev= of the guest's node for {names}, -m with "
            f"the sum of all nodes, and for each function {EGM},id=ID,pci-dev=DEVICE,node=NODE"
        )
    return Diagnostic(
        "egm-memory",
        f"the host keeps {region.path}{size} for a VM with {names}, and the memory of this one is not of it",
        where=", ".join(device.name for device, _ in users),
        why="EGM is memory of the host that a GPU reaches by itself, if it is the VM's own",
        next=remedy,
        severity="warning",
    )


def _shared(
    backend: EgmBackend, region: EgmRegion, given: Sequence[tuple[Device, HostFunction]]
) -> Iterator[Diagnostic]:
    here = {function.address for _, function in given}
    others = [address for address in region.functions if address not in here]
    if others:
        yield Diagnostic(
            "egm-shared",
            f"{region.path} is the memory of this VM, and {', '.join(others)} can use it, too, and "
            f"{'is' if len(others) == 1 else 'are'} not in it",
            where=backend.entry.id,
            why="a second VM that maps it would have the same memory, and the kernel does not prevent it",
            next="give this VM all functions of the region, or no other VM the region",
            severity="warning",
        )


def _untold(
    machine: Machine,
    region: EgmRegion,
    users: Sequence[tuple[Device, HostFunction]],
    own: Sequence[EgmBackend],
    qemu: Qemu,
) -> Iterator[Diagnostic]:
    """Functions whose region is the VM's memory, of which the guest's driver is not told."""
    nodes = {node for backend in own for node in backend.nodes}
    for device, function in users:
        objects = [
            entry
            for entry in machine.objects
            if entry.qom_type == EGM and device.id and entry.properties.get("pci-dev") == device.id
        ]
        told = {quantity(entry.properties.get("node"), unsigned) for entry in objects}
        if told & nodes or None in told:
            continue
        node = min(nodes, default=None)
        place = (
            f"node {node}" if node is not None else f"no NUMA node of the guest (memdev={own[0].entry.id})"
        )
        remedy = (
            f"-object {EGM},id=ID,pci-dev={device.id or 'DEVICE'},node={'NODE' if node is None else node}"
        )
        yield Diagnostic(
            "egm-object",
            f"{region.path} is {place}, and "
            + ("no acpi-egm-memory says so to " if not objects else "another node is named for ")
            + f"the guest's driver of {function.address}",
            where=device.name,
            next=remedy if has_egm(qemu) else f"run {FORKS_WITH_EGM}",
            severity="warning",
        )
