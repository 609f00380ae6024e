# SPDX-License-Identifier: Apache-2.0
"""Which host functions and SMMUs a vSMMU has to fit: endpoints, functions to come, or a named SMMU."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from vsmmu.diagnostic import Diagnostic
from vsmmu.machine.drivers import is_vfio
from vsmmu.machine.endpoints import host_address
from vsmmu.pci import normal_address

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vsmmu.host.facts import Host, HostFunction, HostSmmu
    from vsmmu.machine.model import Device
    from vsmmu.machine.topology import Topology

__all__ = ["Candidate", "Ceiling", "Served", "Wishes", "served_by"]


class Ceiling(NamedTuple):
    """A baseline: more than this is not wanted, whatever the host offers.

    :param name: the pool, or the file that it came from.
    :param hosts: how many hosts stand behind it.
    :param values: the most for each property, in the property's unit.
    """

    name: str
    hosts: int
    values: Mapping[str, int]


class Wishes(NamedTuple):
    """What the caller adds to the configuration.

    :param functions: host addresses by device name, for vfio-pci with ``fd=``.
    :param also: host addresses of functions to come, by vSMMU name; the key ``""`` is every vSMMU.
    :param smmu: host SMMUs (name, platform device, or a function behind it) by vSMMU name; ``""`` likewise.
    :param assume_safe: take the safe value where a fact is unknown.
    :param allow_mixed: let one vSMMU serve two host SMMUs (QEMU starts, attaching fails later).
    :param pin_cmdqv: also write cmdqv.
    :param ceiling: a baseline that the values must not exceed.
    """

    functions: Mapping[str, str] = {}
    also: Mapping[str, tuple[str, ...]] = {}
    smmu: Mapping[str, str] = {}
    assume_safe: bool = False
    allow_mixed: bool = False
    pin_cmdqv: bool = False
    ceiling: Ceiling | None = None

    def also_for(self, vsmmu: str) -> tuple[str, ...]:
        """The functions to come behind ``vsmmu``."""
        return (*self.also.get("", ()), *self.also.get(vsmmu, ()))

    def smmu_for(self, vsmmu: str) -> str:
        """The host SMMU named for ``vsmmu``; empty if none was."""
        return self.smmu.get(vsmmu) or self.smmu.get("", "")


class Candidate(NamedTuple):
    """One function that a vSMMU has to fit; ``device`` is None for one to come."""

    name: str
    function: HostFunction | None
    smmu: HostSmmu | None
    device: Device | None


class Served(NamedTuple):
    """Everything that one vSMMU has to fit.

    :param candidates: in order of creation, functions to come last.
    :param smmus: the distinct host SMMUs, in the same order.
    :param empty: whether no endpoint is there at start, so that QEMU's own auto could not work.
    """

    candidates: tuple[Candidate, ...]
    smmus: tuple[HostSmmu, ...]
    empty: bool
    problems: tuple[Diagnostic, ...]


def served_by(vsmmu: Device, topology: Topology, host: Host, wishes: Wishes) -> Served:
    """Find what ``vsmmu`` serves; what cannot be made out is a problem, not an exception."""
    problems: list[Diagnostic] = []
    candidates = [
        _endpoint(device, host, wishes, problems)
        for device in topology.endpoints_of(topology.primary_bus_of(vsmmu))
        if is_vfio(device.driver) and device.number > vsmmu.number
    ]
    empty = not candidates
    candidates += [_to_come(text, vsmmu, host, problems) for text in wishes.also_for(vsmmu.name)]
    smmus = list({entry.smmu.name: entry.smmu for entry in candidates if entry.smmu is not None}.values())
    named = wishes.smmu_for(vsmmu.name)
    if named:
        _add_named(named, vsmmu, host, smmus, problems, narrow=not candidates)
    elif not candidates:
        smmus = list(host.smmus)
        if not smmus:
            problems.append(_no_smmus(vsmmu, host))
    if len(smmus) > 1 and (candidates or named) and not wishes.allow_mixed:
        problems.append(_two_smmus(vsmmu, candidates))
    return Served(tuple(candidates), tuple(smmus), empty, tuple(problems))


def _endpoint(device: Device, host: Host, wishes: Wishes, problems: list[Diagnostic]) -> Candidate:
    address = wishes.functions.get(device.name) or host_address(device)
    if address is None:
        hint = f"say which host function it is: --function {device.name}=BDF"
        problems.append(
            Diagnostic(
                "function-unnamed",
                f"the host function of {device.name} is not in the configuration",
                where=device.origin.place,
                why="vfio-pci by file descriptor or mediated device names none",
                next=hint,
            )
        )
        return Candidate(device.name, None, None, device)
    return _candidate(device.name, address, host, device, device.origin.place, problems)


def _to_come(text: str, vsmmu: Device, host: Host, problems: list[Diagnostic]) -> Candidate:
    return _candidate(text, normal_address(text) or text, host, None, f"--also for {vsmmu.name}", problems)


def _candidate(
    name: str, address: str, host: Host, device: Device | None, place: str, problems: list[Diagnostic]
) -> Candidate:
    function = host.function(address)
    smmu = host.smmu(function.smmu) if function is not None and function.smmu else None
    if smmu is None:
        known = ", ".join(entry.address for entry in host.functions[:8]) or "none"
        why = (
            f"host {host.name!r} has no facts about it; it knows {known}"
            if function is None
            else "no SMMU of the host translates it"
        )
        problems.append(
            Diagnostic(
                "function-unknown",
                f"what offers the SMMU behind {address} is not known",
                where=place,
                why=why,
                next="take facts with: vsmmu probe; or name another --host",
            )
        )
    return Candidate(name, function, smmu, device)


def _add_named(
    named: str, vsmmu: Device, host: Host, smmus: list[HostSmmu], problems: list[Diagnostic], *, narrow: bool
) -> None:
    address = normal_address(named)
    function = host.function(address) if address else None
    behind = named if function is None else function.smmu
    smmu = host.smmu(behind) if behind else None
    if smmu is None:
        names = ", ".join(entry.name for entry in host.smmus[:8]) or "none"
        problems.append(
            Diagnostic(
                "smmu-unknown",
                f"host {host.name!r} has no SMMU {named!r:.80}",
                where=f"--smmu for {vsmmu.name}",
                why=f"it has {names}",
                next="name one of these, or a function behind it",
            )
        )
    elif narrow:
        smmus[:] = [smmu]
    elif smmu not in smmus:
        smmus.append(smmu)


def _no_smmus(vsmmu: Device, host: Host) -> Diagnostic:
    return Diagnostic(
        "no-smmu",
        f"host {host.name!r} has no SMMU that {vsmmu.name} could use",
        next="take facts with: vsmmu probe; or name another --host",
    )


def _two_smmus(vsmmu: Device, candidates: list[Candidate]) -> Diagnostic:
    places = ", ".join(f"{entry.name} behind {entry.smmu.name}" for entry in candidates[:6] if entry.smmu)
    return Diagnostic(
        "two-host-smmus",
        f"{vsmmu.name} would have to serve two host SMMUs",
        where=vsmmu.origin.place,
        why=f"{places}; QEMU starts such a VM and then fails to attach the second",
        next="give each host SMMU a pxb-pcie and an arm-smmuv3 of its own",
    )
