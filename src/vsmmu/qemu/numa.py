# SPDX-License-Identifier: Apache-2.0
"""Refusals of a VM's NUMA nodes: memory backends, gaps and doubles in the numbers, the sum of their memory.

Sources: parse_numa_node() and numa_complete_configuration() in hw/core/numa.c of qemu/qemu; each text
measured with 11.1.3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vsmmu.qemu.findings import Refusal
from vsmmu.qemu.values import size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vsmmu.machine.model import JsonValue, Machine

__all__ = ["memory_bytes", "numa_refusals"]

_MIB: Final = 1 << 20
#: What a VM gets without ``-m``.
_DEFAULT_RAM: Final = "128M"


def numa_refusals(machine: Machine) -> Iterator[tuple[str, Refusal]]:
    """The option that QEMU names (empty for the whole) and what it says, in its order."""
    backends = {entry.id: entry for entry in machine.objects if entry.qom_type.startswith("memory-backend-")}
    seen: set[int] = set()
    total: int | None = 0
    for option in machine.numa:
        if option.settings.get("type") != "node":
            continue
        node = _number(option.settings.get("nodeid", str(len(seen))))
        if node is None:
            return
        if node in seen:
            yield option.origin.option, Refusal("qemu-node-twice", {"value": node})
        seen.add(node)
        name = option.settings.get("memdev", "")
        if name and name not in backends:
            yield option.origin.option, Refusal("qemu-node-memory", {"value": name})
            total = None
        written = (
            backends[name].properties.get("size") if name in backends else option.settings.get("mem", "0")
        )
        memory = _bytes(written)
        total = None if total is None or memory is None else total + memory
    for missing in sorted(set(range(max(seen, default=0))) - seen, reverse=True):
        yield "", Refusal("qemu-node-missing", {"value": missing})
        return
    ram = memory_bytes(machine)
    whole = ram is not None and total is not None and "memory-backend" not in machine.machine_options
    if seen and whole and total != ram:
        yield "", Refusal("qemu-node-sum", {"value": f"{total:#x}", "expected": f"{ram:#x}"})


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() else None


def memory_bytes(machine: Machine) -> int | None:
    """The size of the VM's memory, as ``-m`` says; None if it cannot be read."""
    return _bytes(machine.memory.get("size", _DEFAULT_RAM))


def _bytes(written: JsonValue) -> int | None:
    """A size; a number without unit in an option of memory counts MiB, in JSON bytes."""
    if isinstance(written, int):
        return written
    if not isinstance(written, str):
        return None
    return int(written) * _MIB if written.isdecimal() else size(written)
