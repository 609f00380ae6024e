# SPDX-License-Identifier: Apache-2.0
"""``vsmmu emulate``: run a program against the kernel interface of another host."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from vsmmu.cli import console
from vsmmu.cli.options import parameters
from vsmmu.errors import HostLacks, UsageError

if TYPE_CHECKING:
    from vsmmu.emulate.hardware import Hardware
    from vsmmu.emulate.trace import Trace
    from vsmmu.host.facts import Host

__all__ = ["command"]

_EXAMPLES = """\b
Examples:
  vsmmu emulate --host builtin:gb200 -- vsmmu probe 0009:01:00.0
  vsmmu emulate --host facts.json --trace calls.jsonl -- my-vmm
  vsmmu emulate --host builtin:gb200 --fault BIND_IOMMUFD:EBUSY -- my-vmm
"""


@click.command(
    name="emulate",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    epilog=_EXAMPLES,
)
@parameters("emulate")
def command(
    argv: tuple[str, ...],
    host_name: str,
    faults: tuple[str, ...],
    trace_file: str | None,
    control: str,
    bind: tuple[str, ...],
    quiet: bool,
) -> int:
    """Run PROGRAM as if it were on another host, as far as iommufd and vfio device files go.

    A test tool: the answers come from facts about that host, gaps in them are filled and named, and no
    hardware is behind it. No privilege is needed where user namespaces are allowed. The exit status is the
    program's.
    """
    from vsmmu.emulate.faults import parse_fault
    from vsmmu.emulate.launch import EmulationOptions, run

    host = _host(host_name)
    hardware = _hardware(host, bind)
    parsed = tuple(parse_fault(text) for text in faults)
    trace = _trace(trace_file, host, hardware)
    if not quiet:
        _say_what_is_made_up(host, hardware)
    try:
        return run(hardware, argv, EmulationOptions(parsed, trace, control))
    finally:
        if trace is not None:
            trace.close()


def _host(name: str) -> Host:
    from vsmmu.cli.hosts import read_host

    if name == "live":
        raise UsageError(
            "emulate-live", "the host to emulate is this one", next="give a facts file or builtin:NAME"
        )
    return read_host(name)


def _hardware(host: Host, bind: tuple[str, ...]) -> Hardware:
    from vsmmu.emulate.hardware import Hardware

    addresses = {function.address for function in host.functions}
    wanted = addresses if "all" in bind else set(bind)
    if wanted - addresses:
        raise UsageError(
            "no-such-function",
            f"the host has no function {sorted(wanted - addresses)[0]!r:.60}",
            next=f"there are: {', '.join(sorted(addresses)[:20])}",
        )
    return Hardware(host, wanted)


def _trace(path: str | None, host: Host, hardware: Hardware) -> Trace | None:
    from vsmmu.emulate.complaints import Complaints
    from vsmmu.emulate.trace import Trace

    if path is None:
        return None
    try:
        file = open(path, "wb")  # noqa: PTH123, SIM115 - closed by the caller
    except OSError as error:
        raise HostLacks(
            "file-write",
            "cannot write the trace",
            where=path,
            why=error.strerror or "",
            next="name another file with --trace",
        ) from None
    trace = Trace(file, Complaints())
    smmus = {
        name: {
            "registers": smmu.filled.registers.as_dict(),
            "synthetic": {register: f"{mask:#010x}" for register, mask in smmu.filled.synthetic.items()},
            "rules": dict(smmu.filled.fields),
        }
        for name, smmu in hardware.smmus.items()
    }
    trace.event("start", host=host.name, smmus=smmus)
    return trace


def _say_what_is_made_up(host: Host, hardware: Hardware) -> None:
    """On stderr, equal SMMUs together: which bits no fact determines."""
    lines: dict[str, list[str]] = {}
    guessed = {
        function.smmu.name
        for function in hardware.functions.values()
        if function.smmu is not None and function.nesting_made_up
    }
    for name, smmu in hardware.smmus.items():
        masks = [f"{register}:{mask:08x}" for register, mask in smmu.filled.synthetic.items() if mask]
        if masks or name in guessed:
            lines.setdefault(" ".join([*masks, *["nesting"] * (name in guessed)]), []).append(name)
    for made_up, names in lines.items():
        others = f" and {len(names) - 1} more" if len(names) > 1 else ""
        console.remark(f"{host.name}: synthetic bits of {names[0]}{others}: {made_up}")
