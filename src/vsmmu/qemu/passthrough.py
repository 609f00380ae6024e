# SPDX-License-Identifier: Apache-2.0
"""Needs of passed-through functions besides a vSMMU: room for their BARs, nodes for their memory.

QEMU starts without; the guest's kernel or driver then leaves something out, so these are warnings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import UNSET

from vsmmu.diagnostic import Diagnostic
from vsmmu.host.judgements import generic_initiators
from vsmmu.host.mmio_window import DEFAULT_WINDOW, spell_size, window_need
from vsmmu.machine.drivers import is_vfio
from vsmmu.machine.endpoints import host_address
from vsmmu.machine.model import INITIATOR, WINDOW_OPTION
from vsmmu.machine.topology import Topology
from vsmmu.named_tuple import NamedTuple
from vsmmu.qemu.values import size as read_size
from vsmmu.versions import spell_version

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from vsmmu.host.facts import Host, HostFunction
    from vsmmu.host.mmio_window import WindowNeed
    from vsmmu.machine.model import Device, Machine
    from vsmmu.qemu.versions import Qemu

__all__ = ["Needs", "functions_by_root", "initiator_nodes", "needs_of", "unmet_needs"]


class Needs(NamedTuple):
    """What the functions of a VM need besides a vSMMU, and what they get.

    :param given: devices with the functions of the host that they stand for.
    :param need: of the MMIO window; None if the size of no BAR is known.
    :param window: in bytes; None if what is written cannot be read.
    """

    given: tuple[tuple[Device, HostFunction], ...]
    need: WindowNeed | None
    window: int | None


def needs_of(machine: Machine, host: Host, functions: Mapping[str, str]) -> Needs:
    """The needs of a VM's functions, for people.

    :param functions: as for :func:`unmet_needs`.
    """
    given = tuple(_given(machine, host, functions))
    written = machine.machine_options.get(WINDOW_OPTION)
    window = DEFAULT_WINDOW if written is None else read_size(written)
    return Needs(given, window_need(_by_root(Topology.of(machine), given)), window)


def unmet_needs(
    machine: Machine, topology: Topology, host: Host, qemu: Qemu, functions: Mapping[str, str]
) -> Iterator[Diagnostic]:
    """Warnings on a VM whose functions get less than they need, as far as the facts tell.

    :param functions: the addresses of functions that the configuration does not name, by device.
    """
    given = list(_given(machine, host, functions))
    yield from _small_window(machine, topology, qemu, given)
    if host.egm is not UNSET and (host.egm or _maps_egm(machine)):
        from vsmmu.qemu.egm import egm_needs  # few hosts have any

        yield from egm_needs(machine, host, qemu, given)
    for device, function in given:
        wanted = generic_initiators(host, function).interval.low
        found = len(initiator_nodes(machine, device.id))
        if found < wanted:
            yield Diagnostic(
                "generic-initiators-missing",
                f"{function.address} has {wanted} NUMA nodes of its own on the host, and {found} here: "
                "the guest's driver cannot online the memory that it brings",
                where=device.name,
                next="vsmmu fix and plan write them: -numa node,nodeid=N, an acpi-generic-initiator each",
                severity="warning",
            )


def _maps_egm(machine: Machine) -> bool:
    """Whether memory of a VM may be an EGM region."""
    return any("egm" in str(entry.properties.get("mem-path", "")) for entry in machine.objects)


def functions_by_root(
    machine: Machine, topology: Topology, host: Host, functions: Mapping[str, str]
) -> list[list[HostFunction]]:
    """The host's functions that the VM has, those behind one root complex together.

    :param functions: as for :func:`unmet_needs`.
    """
    return _by_root(topology, _given(machine, host, functions))


def _given(
    machine: Machine, host: Host, functions: Mapping[str, str]
) -> Iterator[tuple[Device, HostFunction]]:
    for device in machine.devices:
        address = functions.get(device.name) or host_address(device) if is_vfio(device.driver) else None
        function = host.function(address) if address else None
        if function is not None:
            yield device, function


def _by_root(topology: Topology, given: Iterable[tuple[Device, HostFunction]]) -> list[list[HostFunction]]:
    roots: dict[int, list[HostFunction]] = {}
    for device, function in given:
        bus = topology.bus_of(device)
        roots.setdefault(-2 if bus is None else bus.root_owner, []).append(function)
    return list(roots.values())


def initiator_nodes(machine: Machine, device: str) -> list[str]:
    """The nodes of which a device is the generic initiator."""
    return [
        str(entry.properties.get("node", ""))
        for entry in machine.objects
        if entry.qom_type == INITIATOR and device and entry.properties.get("pci-dev") == device
    ]


def _small_window(
    machine: Machine, topology: Topology, qemu: Qemu, given: list[tuple[Device, HostFunction]]
) -> Iterator[Diagnostic]:
    need = window_need(_by_root(topology, given))
    written = machine.machine_options.get(WINDOW_OPTION)
    window = DEFAULT_WINDOW if written is None else read_size(written)
    if need is None or window is None or need.least <= window:
        return
    mend = f"write {WINDOW_OPTION}={spell_size(need.ample)} on -machine (libvirt: <pcihole64> of pcie-root)"
    from vsmmu.machine.features import FEATURES

    since = FEATURES["mmio-window"].qemu
    yield Diagnostic(
        "mmio-window-small",
        f"memory BARs need {spell_size(need.least)}{'' if need.exact else ' at least'} of MMIO window, and "
        f"the VM has {spell_size(window)}: firmware and guest leave some out (can't assign; no space)",
        where=", ".join(device.name for device, function in given if function.memory_regions),
        next=mend
        if since is None or qemu.version >= since
        else f"use QEMU {spell_version(since)} or later, and {mend}",
        severity="warning",
    )
