# SPDX-License-Identifier: Apache-2.0
"""``vsmmu inspect`` without a VM: a table of all VMs with an accelerated vSMMU that run here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vsmmu.cli import console
from vsmmu.errors import HostLacks, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from vsmmu.diagnostic import Diagnostic
    from vsmmu.host.facts import Host
    from vsmmu.monitor.running_vms import RunningVm, RunningVms

__all__ = ["list_running", "refuse_without_vm"]


def refuse_without_vm(given: Mapping[str, object]) -> None:
    """Refuse options that are about one VM.

    :raise UsageError: ``no-vm``.
    """
    if names := [name for name, value in given.items() if value]:
        raise UsageError(
            "no-vm", f"{', '.join(names)} is about one VM", next="name it: vsmmu inspect lists those that run"
        )


def list_running(spec: str, seconds: float, uri: str, output: str) -> int:
    """Print the VMs; exit status 1 if one is known to have drifted."""
    from vsmmu.monitor.running_vms import running_vms

    host, missing = _host(spec)
    found = running_vms(host, seconds, uri, missing)
    if output == "json":
        console.answer(found)
    else:
        console.say(*_text(found))
    return 1 if any(vm.drift for vm in found.vms) else 0


def _host(spec: str) -> tuple[Host, list[Diagnostic]]:
    """The facts; where this machine has none, those of a host of which nothing is known."""
    import msgspec

    from vsmmu.cli.hosts import read_host
    from vsmmu.host.facts import SCHEMA, Host

    try:
        return read_host(spec), []
    except HostLacks as error:
        if spec != "live":
            raise
        missing = msgspec.structs.replace(error.diagnostic, severity="unknown")
        return Host(schema=SCHEMA, name="live"), [missing]


def _text(found: RunningVms) -> Iterator[console.Line]:
    from vsmmu.cli.table import table

    if found.vms:
        head = ("NAME", "PID", "VSMMUS", "HOST SMMUS", "FUNCTIONS", "DRIFT")
        yield from table(head, [_row(vm) for vm in found.vms])
    else:
        yield "no VM with an accelerated vSMMU is seen to run here"
    for vm in found.vms:
        for entry in vm.diagnostics:
            yield from console.diagnosis(entry)
    for entry in found.unseen:
        yield from console.diagnosis(entry)


def _row(vm: RunningVm) -> tuple[str, ...]:
    drift = "?" if vm.drift is None else "yes" if vm.drift else "no"
    several = (vm.vsmmus, vm.host_smmus, vm.functions)
    return (vm.name or "-", str(vm.pid or "-"), *(",".join(names) or "?" for names in several), drift)
