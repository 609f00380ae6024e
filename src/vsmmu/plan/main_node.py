# SPDX-License-Identifier: Apache-2.0
"""CPUs and memory of a VM without NUMA nodes, as -smp and -m or as a domain's elements say them."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Final

from vsmmu.plan.surroundings import MainNode
from vsmmu.qemu.values import size as read_size

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vsmmu.machine.command_line.argv import CommandLine
    from vsmmu.machine.domain.document import DomainXml
    from vsmmu.machine.model import JsonValue

__all__ = ["main_node_of_domain", "main_node_of_words"]

#: QEMU's default.
_MEMORY: Final = 128 << 20
_TOPOLOGY: Final = ("drawers", "books", "sockets", "dies", "clusters", "modules", "cores", "threads")
_UNITS: Final = {"": 10, "KiB": 10, "k": 10, "MiB": 20, "M": 20, "GiB": 30, "G": 30, "TiB": 40, "T": 40}


def main_node_of_words(line: CommandLine) -> MainNode | str:
    """Node 0 of a command line without ``-numa``; why there can be none, if its memory is no plain ``-m``."""
    written: dict[str, dict[str, JsonValue]] = {"m": {}, "smp": {}}
    for option in line.options():
        if option.name in written:
            written[option.name] |= option.settings("size" if option.name == "m" else "cpus")
        elif option.name in ("mem-path", "mem-prealloc"):
            return f"-{option.name} says where its memory is from"
    machine = line.machine()
    if "memory-backend" in machine.machine_options:
        return "its memory is an object (memory-backend=)"
    if "maxmem" in written["m"]:
        return "it can grow (maxmem=), which makes a node of QEMU's own"
    text = str(written["m"].get("size", ""))
    memory = _MEMORY if not text else read_size(f"{text}M" if text.isdecimal() else text)
    if not memory:
        return f"-m {text!r:.40} is not understood"
    cpus = _cpus(written["smp"])
    return "-smp is not understood" if cpus is None else MainNode(cpus, memory)


def _cpus(smp: Mapping[str, JsonValue]) -> int | None:
    try:
        for name in ("maxcpus", "cpus"):
            if name in smp:
                return int(str(smp[name]))
        return prod(int(str(smp.get(name, "1"))) for name in _TOPOLOGY)
    except ValueError:
        return None


def main_node_of_domain(domain: DomainXml) -> MainNode | str:
    """Node 0 of a domain without cells; why there can be none, if its memory is not plain."""
    memory = domain.root.find("memory")
    unit = _UNITS.get(memory.get("unit")) if memory is not None else None
    cpus = domain.root.value("vcpu") or "1"
    if memory is None or unit is None or not memory.text.isdecimal() or not cpus.isdecimal():
        return "its <memory> or <vcpu> is not understood"
    if domain.root.find("maxMemory") is not None:
        return "it can grow (<maxMemory>)"
    return MainNode(int(cpus), int(memory.text) << unit)
