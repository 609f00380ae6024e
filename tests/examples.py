# SPDX-License-Identifier: Apache-2.0
"""Hosts and VMs for tests, in as few words as the test is about."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import msgspec

from vsmmu.host.evidence import Evidence, Fact
from vsmmu.host.facts import SCHEMA, Host, HostFunction, HostSmmu, HwInfoFact
from vsmmu.host.numa_nodes import EgmRegion, NumaNode
from vsmmu.machine.command_line.argv import read_words
from vsmmu.machine.model import Device, Origin
from vsmmu.qemu.versions import parse_version
from vsmmu.smmuv3.fields import oas_code

if TYPE_CHECKING:
    from vsmmu.machine.model import Machine

__all__ = [
    "Q10_2",
    "Q11_0",
    "Q11_1",
    "device",
    "fact",
    "function",
    "host",
    "many",
    "port",
    "queues",
    "smmu",
    "vfio",
    "vm",
    "without_memory",
]

Q10_2, Q11_0, Q11_1 = parse_version("10.2"), parse_version("11.0"), parse_version("11.1")

EVIDENCE = {"known": Evidence("measured", "a test"), "open": Evidence("unknown", "a test", "nobody looked")}

#: What the compatibility check wants of a host besides the four values.
SUITABLE = {
    "IDR0.S1P": 1,
    "IDR0.S2P": 1,
    "IDR0.ST_LEVEL": 1,
    "IDR0.TTENDIAN": 2,
    "IDR0.TTF": 2,
    "IDR1.SIDSIZE": 16,
    "IDR5.GRAN4K": 1,
    "IDR5.GRAN16K": 1,
    "IDR5.GRAN64K": 1,
}

#: A number, a bound (``Fact(5, "known", "at-least")``), or None for unknown.
Known = int | Fact | None


def fact(value: Known, bound: str = "exact") -> Fact:
    if isinstance(value, Fact):
        return value
    return Fact(None, "open") if value is None else Fact(value, "known", bound)  # type: ignore[arg-type]


def smmu(
    name: str = "smmu0",
    *,
    ats: Known = 1,
    ril: Known = 1,
    ssidsize: Known = 20,
    oas: Known = 48,
    cmdqv: Known = 0,
    nesting: Known = 1,
    hw_info_type: Known = 2,
    **fields: Known,
) -> HostSmmu:
    """A host SMMU on which everything works; ``fields`` are written ``IDR5_GRAN4K``."""
    known: dict[str, Known] = {
        **SUITABLE,
        "IDR0.ATS": ats,
        "IDR3.RIL": ril,
        "IDR1.SSIDSIZE": ssidsize,
        "IDR5.OAS": oas_code(oas) if isinstance(oas, int) else oas,
    }
    known |= {key.replace("_", ".", 1): value for key, value in fields.items()}
    return HostSmmu(
        name=name,
        device=f"arm-smmu-v3.{name}.auto",
        fields={key: fact(value) for key, value in known.items()},
        hw_info_type=fact(hw_info_type),
        cmdqv=fact(cmdqv),
        nesting=fact(nesting),
    )


def function(address: str = "0000:01:00.0", behind: str | None = "smmu0", **facts: Known) -> HostFunction:
    """A function with everything known that is given; ATS works unless something else is said."""
    known = {"ats_capability": 1, "ats_not_supported": 0} | facts
    return HostFunction(address=address, smmu=behind, **{name: fact(value) for name, value in known.items()})


def host(*parts: HostSmmu | HostFunction) -> Host:
    """A host of these parts; one ordinary function, ``0000:01:00.0``, if there are only SMMUs."""
    smmus = tuple(part for part in parts if isinstance(part, HostSmmu)) or (smmu(),)
    functions = tuple(part for part in parts if isinstance(part, HostFunction))
    return Host(
        schema=SCHEMA,
        name="example",
        smmus=smmus,
        functions=functions or (function(behind=smmus[0].name),),
        evidence=EVIDENCE,
    )


def vm(values: str = "", *rest: str, head: str = "-M virt", vsmmu: str = "accel=on") -> Machine:
    """A VM with the vSMMU ``s`` on ``pcie.1``; ``rest`` are more options, by default one endpoint ``v1``.

    :param values: of the vSMMU, such as ``ats=on,ril=off``.
    """
    return options(
        f"{head} -accel kvm -bios firmware.fd -nodefaults -object iommufd,id=i0",
        "-device pxb-pcie,id=pcie.1,bus_nr=8,bus=pcie.0",
        f"-device arm-smmuv3,primary-bus=pcie.1,id=s,{','.join(filter(None, (vsmmu, values)))}",
        *(rest or (port(1), vfio("0000:01:00.0", 1))),
    )


def options(*parts: str) -> Machine:
    """The VM of ``qemu-system-aarch64`` with these options, in shell quoting."""
    return read_words(shlex.split(" ".join(("qemu-system-aarch64", *parts)))).machine()


def port(number: int, bus: str = "pcie.1") -> str:
    return f"-device pcie-root-port,id=rp{number},bus={bus},chassis={number}"


def vfio(address: str, number: int, more: str = "") -> str:
    """The endpoint ``vN`` behind port N."""
    text = f"-device vfio-pci,host={address},bus=rp{number},iommufd=i0,id=v{number}"
    return f"{text},{more}" if more else text


def device(text: str) -> Device:
    """A device to be plugged in while the VM runs, as device_add writes it."""
    driver, *pairs = text.split(",")
    properties = dict(pair.split("=", 1) for pair in pairs)
    return Device(0, driver, properties.pop("id", ""), properties, "keyval", Origin("", "device_add"))


def with_nodes(facts: Host, far: int = 40) -> Host:
    """A two-socket host with eight nodes for the memory of each GPU, as a Grace board has them.

    :param far: the distance of a node from the other socket.
    """
    sockets = [entry.numa_node or 0 for entry in facts.functions if entry.driver.startswith("nvgrace")]
    places = [(0, False), (1, False), *((socket, True) for socket in sockets for _ in range(8))]

    def between(one: int, other: int) -> int:
        if one == other:
            return 10
        return (80 if places[one][1] or places[other][1] else far) + 40 * (places[one][0] != places[other][0])

    nodes = tuple(
        NumaNode(
            number,
            cpus=not initiator,
            memory=not initiator,
            generic_initiator=initiator,
            distances=tuple(between(number, other) for other in range(len(places))),
        )
        for number, (_, initiator) in enumerate(places)
    )
    return msgspec.structs.replace(facts, numa_nodes=nodes)


def with_egm(facts: Host, size: int | None = 64 << 30) -> Host:
    """A made-up host whose firmware keeps an EGM region on each socket for the GPUs there."""
    sockets: dict[int, list[str]] = {}
    for entry in facts.functions:
        if entry.driver.startswith("nvgrace"):
            sockets.setdefault(entry.numa_node or 0, []).append(entry.address)
    regions = tuple(
        EgmRegion(f"egm{node + 4}", None if size is None else f"{size:#x}", tuple(own), "egm")
        for node, own in sockets.items()
    )
    told = {"egm": Evidence("measured", "a made-up tree")}
    return msgspec.structs.replace(facts, egm=regions, evidence=facts.evidence | told)


def with_pages(facts: Host, size: int) -> Host:
    """The same host, whose kernel has pages of this size."""
    told = {"pages": Evidence("measured", "a test")}
    return msgspec.structs.replace(facts, page_size=Fact(size, "pages"), evidence=facts.evidence | told)


def without_memory(facts: Host) -> Host:
    """The same host, with functions that bring no memory: they need nothing but a vSMMU."""
    functions = [
        msgspec.structs.replace(entry, driver="vfio-pci", memory_regions=msgspec.UNSET)
        for entry in facts.functions
    ]
    return msgspec.structs.replace(facts, functions=tuple(functions))


def queues(**words: int) -> HostSmmu:
    """A host SMMU whose kernel answers something unusual about its command queues."""
    told = {f"cmdqv.{name}": HwInfoFact(hex(word), "known") for name, word in words.items()}
    return msgspec.structs.replace(smmu(cmdqv=1), hw_info_data=told)


def many(count: int) -> str:
    """So many expanders with a vSMMU each."""
    return " ".join(
        f"-device pxb-pcie,id=p{n},bus_nr={20 + 4 * n},bus=pcie.0 -device arm-smmuv3,primary-bus=p{n}"
        for n in range(count)
    )
