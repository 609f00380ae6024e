# SPDX-License-Identifier: Apache-2.0
"""``vsmmu inspect``: the resolved values of a running VM, drift against its host, and hot-plug."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from vsmmu.cli import console
from vsmmu.cli.options import parameters

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vsmmu.host.facts import Host
    from vsmmu.monitor.inspection import HotPlug, InspectedVsmmu, Inspection
    from vsmmu.monitor.socket_discovery import Found

__all__ = ["command"]

_EXAMPLES = """\b
Examples:
  vsmmu inspect                                        every VM with an accelerated vSMMU here
  vsmmu inspect /run/vm/qmp.sock
  vsmmu inspect $(pidof qemu-system-aarch64) --pin     the same VM, with its values written down
  vsmmu inspect guest1 --hotplug 0009:02:00.0          a libvirt domain
  vsmmu inspect -o json /run/vm/qmp.sock | jq .drift
"""


@click.command("inspect", epilog=_EXAMPLES)
@parameters("inspect")
def command(
    target: str | None,
    host: str,
    hotplug: str | None,
    bus: str,
    pin: bool,
    functions: tuple[str, ...],
    timeout: float,
    uri: str,
    output: str,
) -> int:
    """Read a running VM's vSMMUs back, beside its configuration and its host; without VM, list all that run.

    The values are those of the ID registers that the guest reads; QEMU itself keeps saying auto. Exit
    status 1 if something differs from what is configured, or from what the host would give now (drift), or
    if --hotplug says no.
    """
    from vsmmu.cli.hosts import read_host
    from vsmmu.monitor.socket_discovery import read_running

    if target is None:
        from vsmmu.cli.inspect_all import list_running, refuse_without_vm

        refuse_without_vm({"--hotplug": hotplug, "--bus": bus, "--pin": pin, "--function": functions})
        return list_running(host, timeout, uri, output)
    facts = read_host(host)
    found = _named(read_running(target, timeout, uri), functions)
    inspection = _inspection(found, facts, hotplug, bus)
    if output == "json":
        console.answer(inspection)
    elif pin:
        console.raw("".join(f"{line}\n" for line in _pinned(inspection, found)))
    else:
        console.say(*_text(inspection))
    refused = inspection.hotplug is not None and inspection.hotplug.answer != "starts"
    return 1 if refused or (inspection.drift and hotplug is None) else 0


def _named(found: Found, functions: tuple[str, ...]) -> Found:
    """The VM with the functions that the user names."""
    from vsmmu.errors import UsageError
    from vsmmu.pci import normal_address

    named: dict[str, str] = {}
    for text in functions:
        name, _, address = text.partition("=")
        normal = normal_address(address)
        if not name or normal is None:
            raise UsageError(
                "option-form",
                f"--function {text!r:.80} has not the form ID=BDF",
                next="write --function gpu0=0009:01:00.0",
            )
        named[name] = normal
    endpoints = tuple(
        entry._replace(function=named.get(entry.name, entry.function)) for entry in found.running.endpoints
    )
    return found._replace(running=found.running._replace(endpoints=endpoints))


def _inspection(found: Found, facts: Host, hotplug: str | None, bus: str) -> Inspection:
    import msgspec

    from vsmmu.errors import Negative, UsageError
    from vsmmu.monitor.hotplug import predict
    from vsmmu.monitor.inspection import inspect
    from vsmmu.pci import normal_address
    from vsmmu.qemu.versions import parse_version

    qemu = parse_version(found.running.version)
    if not found.running.vsmmus:
        raise Negative("no-vsmmu", "this VM has no arm-smmuv3 device", where=found.source,
                       next="start it with one: vsmmu plan")  # fmt: skip
    inspection = inspect(found.running, facts, qemu, found.source)
    if hotplug is None:
        return inspection
    address = normal_address(hotplug)
    if address is None:
        raise UsageError(
            "address", f"--hotplug: {hotplug!r:.80} is no PCI address", next="write 0009:01:00.0"
        )
    prediction = predict(found.running, facts, qemu, address, bus)
    return msgspec.structs.replace(inspection, hotplug=prediction)


def _text(inspection: Inspection) -> Iterator[console.Line]:
    yield f"{inspection.source}: QEMU {inspection.qemu}, {inspection.status}; facts of host {inspection.host}"
    for vsmmu in inspection.vsmmus:
        yield from _vsmmu(vsmmu)
    yield ""
    if inspection.hotplug is not None:
        yield from _hotplug(inspection.hotplug)
    else:
        yield "drift: see above" if inspection.drift else "no drift"


def _vsmmu(vsmmu: InspectedVsmmu) -> Iterator[console.Line]:
    from vsmmu.cli.table import table

    yield ""
    behind = ", ".join(entry.function or entry.device for entry in vsmmu.endpoints) or "no endpoint"
    accel = "" if vsmmu.accel else " (accel=off)"
    smmus = ", ".join(dict.fromkeys(entry.smmu for entry in vsmmu.endpoints if entry.smmu))
    yield f"{vsmmu.device} on {vsmmu.primary_bus}{accel} for {behind}" + (
        f", behind {smmus}" if smmus else ""
    )
    rows = [(entry.name, entry.configured, entry.guest, entry.host or "?") for entry in vsmmu.properties]
    yield from (f"  {line}" for line in table(("PROPERTY", "CONFIGURED", "GUEST", "HOST"), rows))
    yield "  " + " ".join(f"{name} {vsmmu.registers[name]}" for name in ("IDR0", "IDR1", "IDR3", "IDR5"))
    for entry in vsmmu.diagnostics:
        yield from console.diagnosis(entry)
    yield from (f"  note: {note}" for note in vsmmu.notes)


def _hotplug(answer: HotPlug) -> Iterator[console.Line]:
    where = f"{answer.function} behind {answer.vsmmu}" + (f" in {answer.bus}" if answer.bus else "")
    if answer.answer == "starts":
        yield f"{where}: would be admitted"
        yield "  device_add " + ",".join(_device_add(answer.command))
    elif answer.answer == "refused":
        yield f"{where}: would be refused"
    else:
        yield f"{where}: unknown"
    for entry in answer.diagnostics:
        yield from console.diagnosis(entry)
    yield from (f"  note: {note}" for note in answer.notes)


def _device_add(command: dict[str, str]) -> list[str]:
    rest = {key: value for key, value in command.items() if key != "driver"}
    return [command["driver"], *(f"{key}={value}" for key, value in rest.items())]


def _pinned(inspection: Inspection, found: Found) -> Iterator[str]:
    """The whole command line if the process shows it, else one line for each vSMMU."""
    pins = [_pins(vsmmu) if vsmmu.accel else {} for vsmmu in inspection.vsmmus]
    if found.words:
        yield _pinned_line(found.words, pins)
        return
    for vsmmu, values in zip(inspection.vsmmus, pins, strict=True):
        if values:
            yield f"{vsmmu.device} {','.join(f'{key}={value}' for key, value in values.items())}"


def _pinned_line(words: tuple[str, ...], pins: list[dict[str, str]]) -> str:
    """A command line with values written; vSMMUs stand in it and in memory in the order of their creation."""
    from vsmmu.diagnostic import Edit
    from vsmmu.errors import InputRefused
    from vsmmu.machine.command_line.argv import read_words
    from vsmmu.monitor.readconfig import read_config_file

    line = read_words(words, read_config_file)
    vsmmus = line.machine().vsmmus
    if len(vsmmus) != len(pins):
        raise InputRefused(
            "not-this-vm",
            f"the command line has {len(vsmmus)} vSMMUs and the VM {len(pins)}",
            next="name the socket instead of the process: then the values alone are printed",
        )
    pairs = zip(vsmmus, pins, strict=True)
    return line.edit(
        Edit(one.number, key, value) for one, values in pairs for key, value in values.items()
    ).text()


def _pins(vsmmu: InspectedVsmmu) -> dict[str, str]:
    """The values to write.

    :raise Negative: ``inexpressible``, if QEMU's auto took one that cannot be written.
    """
    from vsmmu.errors import Negative

    for entry in vsmmu.properties:
        if not entry.pin:
            raise Negative(
                "inexpressible",
                f"{entry.name} of {vsmmu.device} came out as {entry.guest}, which cannot be written",
                why="QEMU's auto copies what its explicit values do not reach",
                next=f"leave {entry.name}=auto, and start it on hosts that offer {entry.guest}, too",
            )
    return {entry.name: entry.pin for entry in vsmmu.properties}
