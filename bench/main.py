# SPDX-License-Identifier: Apache-2.0
"""What vsmmu costs: cold start, throughput, growth. Prints a table, and writes it down (make bench).

Figures are ratios to something that runs on the same machine, because seconds of one machine say little.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

import virt_xml
from measure import Cost, best_of, compare, machine, rate, record

from vsmmu.host.builtin import builtin_host
from vsmmu.host.evidence import Evidence
from vsmmu.host.facts import SCHEMA, Host, HostFunction
from vsmmu.machine.command_line.argv import read_words
from vsmmu.policy.resolver import resolve_machine
from vsmmu.qemu.versions import LATEST

VM = (
    "qemu-system-aarch64 -M virt,accel=kvm,gic-version=3 -cpu host -bios AAVMF.fd -nodefaults "
    "-object iommufd,id=iommufd0 -device pxb-pcie,id=pcie.1,bus_nr=8,bus=pcie.0 "
    "-device arm-smmuv3,primary-bus=pcie.1,id=smmuv3.0,accel=on"
)
PORT = (
    "-device pcie-root-port,id=rp{port},bus=pcie.1,chassis={port},addr={slot:#x}.{function},multifunction=on"
)
VFIO = (
    "-device vfio-pci,id=vfio{n},host={address},bus=rp{port},addr=0.{function},multifunction=on,"
    "iommufd=iommufd0"
)
#: Functions of a slot, and of a port: PCI has no more.
EIGHT = 8
SIZES = (1, 16, 64, 512)
#: The aims of the project: at most this many times the other.
AIMS = {
    "resolve, of a bare interpreter": 3.7,
    "resolve, of virt-xml": 0.25,
    "512 endpoints, each of one of 64": 2.0,
}
_BARE, _OTHER, _GROWTH = AIMS


def vm(addresses: list[str]) -> list[str]:
    """A command line with these functions, eight behind each root port."""
    parts = [VM]
    for number, address in enumerate(addresses):
        port, function = divmod(number, EIGHT)
        if not function:
            parts.append(PORT.format(port=port + 1, slot=port // EIGHT, function=port % EIGHT))
        parts.append(VFIO.format(n=number + 1, address=address, port=port + 1, function=function))
    return shlex.split(" ".join(parts))


def host_with(addresses: list[str]) -> Host:
    """A host with one SMMU like the GB200's and these functions behind it."""
    smmu = builtin_host("gb200").smmus[0]
    return Host(
        schema=SCHEMA,
        name="bench",
        smmus=(smmu,),
        functions=tuple(HostFunction(address=address, smmu=smmu.name) for address in addresses),
        evidence={**builtin_host("gb200").evidence, "none": Evidence("unknown", "made up")},
    )


def cold_start(runs: int) -> dict[str, Cost]:
    """A start of vsmmu beside one of its bare interpreter, and of virt-xml."""
    # The binary itself, not the shim of a version manager, which costs more than vsmmu does; and with our own
    # site-packages: those of others may run code at every start.
    python = sys.executable
    script = str(Path(sys.executable).with_name("vsmmu"))
    question = ["--host", "builtin:gb200", "--", *vm(["0009:01:00.0"])]
    commands: dict[str, tuple[list[str], bytes]] = {
        "python -I -c pass": ([python, "-I", "-c", "pass"], b""),
        "vsmmu resolve": ([sys.executable, script, "resolve", *question], b""),
        "vsmmu check": ([sys.executable, script, "check", *question], b""),
        "vsmmu explain": ([sys.executable, script, "explain", *question], b""),
        "vsmmu --version": ([sys.executable, script, "--version"], b""),
    }
    if virt_xml.is_there():
        commands["virt-xml --edit --print-diff"] = (virt_xml.COMMAND, virt_xml.DOMAIN)
    return compare(commands, runs)


def throughput() -> dict[str, float]:
    """Resolutions a second in one process, of a command line in memory."""
    words, host = vm(["0009:01:00.0"]), builtin_host("gb200")
    machine = read_words(words).machine()
    return {
        "read and resolve": rate(lambda: resolve_machine(read_words(words).machine(), host, LATEST)),
        "resolve": rate(lambda: resolve_machine(machine, host, LATEST)),
    }


def growth() -> dict[int, float]:
    """Seconds to read and resolve a VM with so many endpoints."""
    seconds = {}
    for size in SIZES:
        addresses = [f"0000:{number // 32 + 1:02x}:{number % 32:02x}.0" for number in range(size)]
        words, host = vm(addresses), host_with(addresses)

        def work(words: list[str] = words, host: Host = host) -> None:
            line = read_words(words)
            resolution = resolve_machine(line.machine(), host, LATEST)
            resolution.require()
            line.edit(resolution.edits)

        seconds[size] = best_of(work)
    return seconds


def report(starts: dict[str, Cost], rates: dict[str, float], sizes: dict[int, float]) -> list[str]:
    """The table, line by line."""
    bare, other = starts["python -I -c pass"].cpu, starts.get("virt-xml --edit --print-diff")
    lines = ["cold start (medians)               CPU ms   wall ms   x python   x virt-xml"]
    for name, cost in starts.items():
        beside = f"{cost.cpu / other.cpu:10.2f}" if other else "         -"
        lines.append(
            f"  {name:30} {cost.cpu * 1e3:8.1f} {cost.wall * 1e3:9.1f} {cost.cpu / bare:10.1f} {beside}"
        )
    lines += ["", "in one process            a second of CPU"]
    lines += [f"  {name:30} {value:8.0f}" for name, value in rates.items()]
    lines += ["", "endpoints                          CPU ms   us each"]
    lines += [f"  {size:<30} {value * 1e3:8.2f} {value / size * 1e6:9.1f}" for size, value in sizes.items()]
    return lines


def verdicts(starts: dict[str, Cost], sizes: dict[int, float]) -> dict[str, tuple[float, float]]:
    """The figures that the project has aims for, each with its aim (at most)."""
    resolved = starts["vsmmu resolve"].cpu
    found = {_BARE: resolved / starts["python -I -c pass"].cpu}
    if other := starts.get("virt-xml --edit --print-diff"):
        found[_OTHER] = resolved / other.cpu
    # Linear: eight times the endpoints cost at most twice eight times as much.
    found[_GROWTH] = (sizes[512] / 512) / (sizes[64] / 64)
    return {name: (value, AIMS[name]) for name, value in found.items()}


def main() -> int:
    """Measure, print, write; status 1 if an aim is missed and --gate is given."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=21, help="starts of each program")
    parser.add_argument("--gate", action="store_true", help="exit with 1 if an aim is missed")
    arguments = parser.parse_args()
    if not virt_xml.is_there():
        print("virt-xml is not here, so it is left out (Debian: apt install virtinst)", file=sys.stderr)
    starts, rates, sizes = cold_start(arguments.runs), throughput(), growth()
    aims = verdicts(starts, sizes)
    print(machine(), "", *report(starts, rates, sizes), "", sep="\n")
    for name, (value, aim) in aims.items():
        print(f"  {name:36} {value:6.2f}  aim: at most {aim:g}  {'met' if value <= aim else 'MISSED'}")
    ratios = {name: aims[name] for name in (_BARE, _OTHER) if name in aims}
    record("start", {"starts": {name: cost._asdict() for name, cost in starts.items()}}, ratios)
    record("process", rates)
    record("growth", sizes, {_GROWTH: aims[_GROWTH]})
    return int(arguments.gate and any(value > aim for value, aim in aims.values()))


if __name__ == "__main__":
    sys.exit(main())
