# SPDX-License-Identifier: Apache-2.0
"""Every VM with an accelerated vSMMU that runs on this machine: processes of QEMU, and libvirt's domains."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from vsmmu.diagnostic import Diagnostic
from vsmmu.errors import InputRefused, VsmmuError, error_of
from vsmmu.machine.command_line.argv import read_words
from vsmmu.machine.command_line.sources import is_emulator
from vsmmu.machine.drivers import is_vfio
from vsmmu.machine.topology import Topology
from vsmmu.monitor.inspection import Inspection, inspect
from vsmmu.monitor.socket_discovery import process_words, read_running
from vsmmu.pci import normal_address
from vsmmu.qemu.board import with_globals
from vsmmu.qemu.settings import is_accelerated
from vsmmu.qemu.versions import parse_version

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from vsmmu.host.facts import Host
    from vsmmu.machine.model import Machine

__all__ = ["RunningVm", "RunningVms", "hides_processes", "running_vms"]

#: ``/proc`` shows other users' processes to root only, or to a group (``hidepid=2``, ``=invisible``, ``=4``).
_HIDING: Final = re.compile(r"^(?:\S+ ){4}/proc .* - proc .*\bhidepid=(?!0\b|off\b)\w+", re.MULTILINE)


class RunningVm(msgspec.Struct, frozen=True):
    """One running VM that has an accelerated vSMMU.

    :param name: its name: libvirt's, or the one of ``-name``; empty if it has none.
    :param pid: of its process; 0 where that is hidden, and libvirt told of the VM.
    :param vsmmus: its accelerated vSMMUs.
    :param functions: the host's functions behind them, as far as they are known.
    :param host_smmus: the host SMMUs behind these, as far as they are known.
    :param drift: whether something differs; null if that is not known, and ``diagnostics`` say why.
    :param inspection: what its monitor told; null if it did not.
    """

    name: str
    pid: int
    vsmmus: tuple[str, ...]
    functions: tuple[str, ...]
    host_smmus: tuple[str, ...]
    drift: bool | None
    diagnostics: tuple[Diagnostic, ...]
    inspection: Inspection | None


class RunningVms(msgspec.Struct, frozen=True, tag_field="schema", tag="vsmmu.running/1"):
    """``vsmmu.running/1``: the VMs with an accelerated vSMMU that run here, and what could not be seen."""

    host: str
    vms: tuple[RunningVm, ...]
    unseen: tuple[Diagnostic, ...]


class _Process(NamedTuple):
    pid: int
    name: str
    machine: Machine


def running_vms(host: Host, seconds: float, uri: str, unseen: Iterable[Diagnostic] = ()) -> RunningVms:
    """Find them, and read each back.

    :param seconds: for the questions to one VM.
    :param uri: libvirt's connection URI.
    :param unseen: what is known to be missing already, such as the host's facts.
    """
    missing = [*unseen, *_hidden()]
    processes: list[_Process] = []
    for pid in sorted(int(name) for name in os.listdir("/proc") if name.isdecimal()):  # noqa: PTH208
        try:
            if (found := _process(pid)) is not None:
                processes.append(found)
        except VsmmuError as error:
            if error.code != "no-such-process":  # it has ended meanwhile
                missing.append(error.diagnostic)
    vms = [_of_process(process, host, seconds, uri) for process in processes]
    known = {process.name for process in processes}
    if any(found.code == "processes-hidden" for found in missing):
        names, problem = _domains(uri, seconds)
        missing += problem
        vms += [vm for name in names if name not in known and (vm := _of_domain(name, host, seconds, uri))]
    return RunningVms(host.name, tuple(vms), tuple(missing))


def hides_processes(mountinfo: str) -> bool:
    """Whether ``/proc`` is mounted so that other users' processes are not shown.

    :param mountinfo: the text of ``/proc/self/mountinfo``.
    """
    return _HIDING.search(mountinfo) is not None


def _hidden() -> Iterator[Diagnostic]:
    if os.geteuid() and hides_processes(
        Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace")
    ):
        yield Diagnostic(
            "processes-hidden",
            "processes of other users are not shown to this one",
            where="/proc",
            why="it is mounted with hidepid",
            next="run it as root",
            severity="unknown",
        )


def _process(pid: int) -> _Process | None:
    """The process, if it is QEMU with an accelerated vSMMU; its command line is all that is looked at."""
    words = process_words(pid)
    if not is_emulator(words[0]) and not is_emulator(_executable(pid)):
        return None
    try:
        line = read_words(words)
        machine = line.machine()
    except InputRefused as error:
        raise InputRefused.of(msgspec.structs.replace(error.diagnostic, where=f"process {pid}")) from None
    if not any(_accelerated(machine)):
        return None
    named = [option.settings("guest") for option in line.options() if option.name == "name"]
    name = str(named[-1].get("guest", "")) if named else ""
    return _Process(pid, name, machine)


def _executable(pid: int) -> str:
    """The file that a process runs; ``/`` where that is not for this user to know."""
    try:
        return os.readlink(f"/proc/{pid}/exe")  # noqa: PTH115
    except OSError:
        return "/"


def _accelerated(machine: Machine) -> Iterator[str]:
    return (device.name for device in machine.vsmmus if is_accelerated(device, machine))


def _functions(machine: Machine) -> Iterator[str]:
    """The host's functions behind accelerated vSMMUs, as far as the command line names them."""
    topology = Topology.of(with_globals(machine))
    accelerated = set(_accelerated(machine))
    for device in machine.vsmmus:
        bus = topology.primary_bus_of(device)
        if device.name in accelerated and bus is not None:
            for endpoint in topology.endpoints_behind(bus.name):
                if is_vfio(endpoint.driver) and (address := normal_address(endpoint.text("host"))):
                    yield address


def _of_process(process: _Process, host: Host, seconds: float, uri: str) -> RunningVm:
    inspection, problems = _inspected(str(process.pid), host, seconds, uri)
    return _vm(
        process.name,
        process.pid,
        tuple(_accelerated(process.machine)),
        tuple(_functions(process.machine)),
        host,
        inspection,
        problems,
    )


def _of_domain(name: str, host: Host, seconds: float, uri: str) -> RunningVm | None:
    inspection, problems = _inspected(name, host, seconds, uri)
    if inspection is not None and not any(vsmmu.accel for vsmmu in inspection.vsmmus):
        return None
    return _vm(name, 0, (), (), host, inspection, problems)


def _vm(
    name: str,
    pid: int,
    vsmmus: tuple[str, ...],
    functions: tuple[str, ...],
    host: Host,
    inspection: Inspection | None,
    problems: tuple[Diagnostic, ...],
) -> RunningVm:
    """The VM with what its monitor told, which knows better than its command line."""
    if inspection is not None:
        accelerated = [vsmmu for vsmmu in inspection.vsmmus if vsmmu.accel]
        endpoints = [entry for vsmmu in accelerated for entry in vsmmu.endpoints]
        vsmmus = tuple(vsmmu.device for vsmmu in accelerated)
        functions = tuple(entry.function for entry in endpoints if entry.function) or functions
    behind = [host.function(address) for address in functions]
    smmus = dict.fromkeys(entry.smmu for entry in behind if entry is not None and entry.smmu)
    unknown = [
        *problems,
        *(() if smmus or inspection is None else [_facts_missing(host, name or f"process {pid}")]),
    ]
    drift = None if inspection is None or (unknown and not inspection.drift) else inspection.drift
    return RunningVm(name, pid, vsmmus, functions, tuple(smmus), drift, tuple(unknown), inspection)


def _facts_missing(host: Host, where: str) -> Diagnostic:
    return Diagnostic(
        "function-unknown",
        "which host SMMU it depends on is not known",
        where=where,
        why=f"host {host.name!r} has no facts about its functions, or they came by descriptor",
        next="take facts with: vsmmu probe; name them: vsmmu inspect VM --function ID=BDF",
        severity="unknown",
    )


def _inspected(
    target: str, host: Host, seconds: float, uri: str
) -> tuple[Inspection | None, tuple[Diagnostic, ...]]:
    try:
        found = read_running(target, seconds, uri)
        qemu = parse_version(found.running.version)
    except (VsmmuError, OSError) as error:
        problem = msgspec.structs.replace(error_of(error).diagnostic, severity="unknown")
        return None, (problem,)
    return inspect(found.running, host, qemu, found.source), ()


def _domains(uri: str, seconds: float) -> tuple[list[str], list[Diagnostic]]:
    from vsmmu.monitor.defined_vms import domain_names

    try:
        return domain_names(uri, seconds, running=True), []
    except VsmmuError as error:
        return [], [msgspec.structs.replace(error.diagnostic, severity="unknown")]
