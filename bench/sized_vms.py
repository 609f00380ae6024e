# SPDX-License-Identifier: Apache-2.0
"""VMs and hosts of any size, for what grows with them."""

from __future__ import annotations

import shlex
from itertools import count as count_up
from itertools import islice
from typing import TYPE_CHECKING

import msgspec

from vsmmu.host.builtin import builtin_host
from vsmmu.host.evidence import Evidence
from vsmmu.host.facts import SCHEMA, Host, HostFunction

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["MOST_ENDPOINTS", "MOST_VSMMUS", "addresses", "host_with", "vm"]

VM = (
    "qemu-system-aarch64 -M virt,accel=kvm,gic-version=3 -cpu host -bios AAVMF.fd -nodefaults "
    "-object iommufd,id=iommufd0"
)
VSMMU = (
    "-device pxb-pcie,id=pcie.{n},bus_nr={bus},bus=pcie.0 "
    "-device arm-smmuv3,primary-bus=pcie.{n},id=smmuv3.{n},accel=on"
)
PORT = (
    "-device pcie-root-port,id=rp{chassis},bus=pcie.{n},chassis={chassis},addr={slot:#x}.{function},"
    "multifunction=on"
)
VFIO = (
    "-device vfio-pci,id=vfio{id},host={host},bus={bus},addr=0.{function},multifunction=on,iommufd=iommufd0"
)
#: Functions of a slot, and of a port: PCI has no more.
EIGHT = 8
#: Bus numbers are divided among so many vSMMUs, of which each has 16: its own, and up to 15 ports.
MOST_VSMMUS = 16
BUSES = 256 // MOST_VSMMUS
#: The most endpoints behind vSMMUs: a port takes a bus number, and bus 0 is the machine's.
MOST_ENDPOINTS = EIGHT * (256 - 1 - MOST_VSMMUS)


def addresses(count: int, smmus: int = 1) -> list[str]:
    """So many addresses of a host, spread over as many domains as SMMUs; the first fills up before others."""
    room = EIGHT * (BUSES - 1)
    places = ((domain, n) for n in count_up() for domain in range(smmus) if domain or n < room - EIGHT)
    if smmus == 1:
        places = ((0, n) for n in count_up())
    return [f"{domain:04x}:{n // 32 + 1:02x}:{n % 32:02x}.0" for domain, n in islice(places, count)]


def host_with(functions: list[str]) -> Host:
    """A host with an SMMU like the GB200's for each domain of these functions."""
    given = builtin_host("gb200")
    domains = sorted({address[:4] for address in functions})
    return Host(
        schema=SCHEMA,
        name="bench",
        smmus=tuple(msgspec.structs.replace(given.smmus[0], name=f"smmu{d}", device="") for d in domains),
        functions=tuple(HostFunction(address=address, smmu=f"smmu{address[:4]}") for address in functions),
        evidence={**given.evidence, "none": Evidence("unknown", "made up")},
    )


def vm(functions: list[str]) -> list[str]:
    """A command line with these functions, a vSMMU for each of their domains, eight behind each root port.

    One vSMMU alone has all bus numbers; of several, each has those of its share.
    """
    parts = [VM]
    domains = sorted({address[:4] for address in functions})
    for number, domain in enumerate(domains, 1):
        parts += _vsmmu(number, [entry for entry in functions if entry[:4] == domain], len(domains))
    return shlex.split(" ".join(parts))


def _vsmmu(number: int, functions: list[str], vsmmus: int) -> Iterator[str]:
    bus = 8 if vsmmus == 1 else max(1, (number - 1) * BUSES)
    yield VSMMU.format(n=number, bus=bus)
    for index, host in enumerate(functions):
        port, function = divmod(index, EIGHT)
        chassis, slot = (number - 1) * BUSES + port + 1, port // EIGHT
        if not function:
            yield PORT.format(n=number, chassis=chassis, slot=slot, function=port % EIGHT)
        yield VFIO.format(id=f"{number}.{index}", host=host, bus=f"rp{chassis}", function=function)
