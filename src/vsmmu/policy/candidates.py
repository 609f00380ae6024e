# SPDX-License-Identifier: Apache-2.0
"""The host functions and SMMUs that a vSMMU has to fit: endpoints, functions to come, a named SMMU."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vsmmu.diagnostic import Diagnostic
from vsmmu.machine.drivers import is_vfio
from vsmmu.machine.endpoints import host_address
from vsmmu.named_tuple import NamedTuple
from vsmmu.pci import normal_address

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vsmmu.host.facts import Host, HostFunction, HostSmmu
    from vsmmu.machine.model import Device
    from vsmmu.machine.topology import Topology
    from vsmmu.policy.options import Options

__all__ = ["Served", "ServedFunction", "served_by"]


class ServedFunction(NamedTuple):
    """One function that a vSMMU has to fit; ``device`` is None for one to come.

    :param problem: why nothing is known of it; None if its SMMU is.
    """

    name: str
    function: HostFunction | None
    smmu: HostSmmu | None
    device: Device | None
    problem: Diagnostic | None = None


class Served(NamedTuple):
    """Everything that one vSMMU has to fit.

    :param candidates: in order of creation, functions to come last.
    :param smmus: the distinct host SMMUs, in the same order.
    :param problems: what could not be made out.
    """

    candidates: tuple[ServedFunction, ...]
    smmus: tuple[HostSmmu, ...]
    problems: tuple[Diagnostic, ...]


def served_by(vsmmu: Device, topology: Topology, host: Host, options: Options) -> Served:
    """Find what ``vsmmu`` serves; what cannot be made out is a problem, not an exception."""
    present = [
        _endpoint(device, host, options)
        for device in topology.endpoints_of(topology.primary_bus_of(vsmmu))
        if is_vfio(device.driver) and device.number > vsmmu.number
    ]
    coming = [_to_come(text, vsmmu, host) for text in options.also_for(vsmmu.name)]
    candidates = (*present, *coming)
    behind = tuple({entry.smmu.name: entry.smmu for entry in candidates if entry.smmu is not None}.values())
    text = options.smmu_for(vsmmu.name)
    named = _named_smmu(text, host) if text else None
    if candidates or text:
        smmus = behind if named is None or named in behind else (*behind, named)
    else:
        smmus = host.smmus
    served = Served(candidates, smmus, ())
    return served._replace(problems=tuple(_problems(vsmmu, served, host, options, named)))


def _problems(
    vsmmu: Device, served: Served, host: Host, options: Options, named: HostSmmu | None
) -> Iterator[Diagnostic]:
    yield from (entry.problem for entry in served.candidates if entry.problem is not None)
    text = options.smmu_for(vsmmu.name)
    if text and named is None:
        yield _no_such_smmu(text, vsmmu, host)
    elif not text and not served.candidates and not served.smmus:
        yield _no_smmus(vsmmu, host)
    if len(served.smmus) > 1 and (served.candidates or text) and not options.allow_mixed:
        yield _two_smmus(vsmmu, served.candidates)


def _endpoint(device: Device, host: Host, options: Options) -> ServedFunction:
    address = options.functions.get(device.name) or host_address(device)
    if address is not None:
        return _candidate(device.name, address, host, device, device.origin.place)
    problem = Diagnostic(
        "function-unnamed",
        f"the host function of {device.name} is not in the configuration",
        where=device.origin.place,
        why="vfio-pci by file descriptor or mediated device names none",
        next=f"say which host function it is: --function {device.name}=BDF",
    )
    return ServedFunction(device.name, None, None, device, problem)


def _to_come(text: str, vsmmu: Device, host: Host) -> ServedFunction:
    return _candidate(text, normal_address(text) or text, host, None, f"--also for {vsmmu.name}")


def _candidate(name: str, address: str, host: Host, device: Device | None, place: str) -> ServedFunction:
    function = host.function(address)
    smmu = host.smmu(function.smmu) if function is not None and function.smmu else None
    if smmu is not None:
        return ServedFunction(name, function, smmu, device)
    known = ", ".join(entry.address for entry in host.functions[:8]) or "none"
    why = (
        f"host {host.name!r} has no facts about it; it knows {known}"
        if function is None
        else "no SMMU of the host translates it"
    )
    problem = Diagnostic(
        "function-unknown",
        f"what offers the SMMU behind {address} is not known",
        where=place,
        why=why,
        next="take facts with: vsmmu probe; or name another --host",
    )
    return ServedFunction(name, function, None, device, problem)


def _named_smmu(text: str, host: Host) -> HostSmmu | None:
    """The host SMMU that ``--smmu`` names, by its own name or by a function behind it."""
    address = normal_address(text)
    function = host.function(address) if address else None
    behind = text if function is None else function.smmu
    return host.smmu(behind) if behind else None


def _no_such_smmu(text: str, vsmmu: Device, host: Host) -> Diagnostic:
    names = ", ".join(entry.name for entry in host.smmus[:8]) or "none"
    return Diagnostic(
        "smmu-unknown",
        f"host {host.name!r} has no SMMU {text!r:.80}",
        where=f"--smmu for {vsmmu.name}",
        why=f"it has {names}",
        next="name one of these, or a function behind it",
    )


def _no_smmus(vsmmu: Device, host: Host) -> Diagnostic:
    return Diagnostic(
        "no-smmu",
        f"host {host.name!r} has no SMMU that {vsmmu.name} could use",
        next="take facts with: vsmmu probe; or name another --host",
    )


def _two_smmus(vsmmu: Device, candidates: Sequence[ServedFunction]) -> Diagnostic:
    places = ", ".join(f"{entry.name} behind {entry.smmu.name}" for entry in candidates[:6] if entry.smmu)
    return Diagnostic(
        "two-host-smmus",
        f"{vsmmu.name} would have to serve two host SMMUs",
        where=vsmmu.origin.place,
        why=f"{places}; QEMU starts such a VM and then fails to attach the second",
        next="give each host SMMU a pxb-pcie and an arm-smmuv3 of its own",
    )
