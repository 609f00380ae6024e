# SPDX-License-Identifier: Apache-2.0
"""The memory of ``-m``: parameters and sizes that QEMU refuses, and a ``memory-backend`` that does not fit.

Sources: parse_option_size() in util/qemu-option.c, machine_set_mem() in hw/core/machine.c, create_machine()
and qemu_create_default_memdev() in system/vl.c of qemu/qemu; each text measured with 11.1.3.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from vsmmu.machine.model import Unread
from vsmmu.qemu.findings import Refusal
from vsmmu.qemu.values import quantity, size, unsigned

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vsmmu.machine.model import Machine

__all__ = ["backend_refusals", "memory_bytes", "memory_refusal", "misread_memory"]

_CODE: Final = "qemu-memory"
_SIZES: Final = ("size", "maxmem")
_NUMBERS: Final = ("slots",)
#: What is a size but too large for 64 bits, or below 0.
_RANGED: Final = r"-?\d+(\.\d*[bkmgtpeBKMGTPE]|[bkmgtpeBKMGTPE]?)"
_HINT: Final = """
Optional suffix k, M, G, T, P or E means kilo-, mega-, giga-, tera-, peta-
and exabytes, respectively."""
#: What a VM gets without ``-m``.
_DEFAULT_RAM: Final = "128M"
_UNITLESS: Final = "expects a non-negative number below 2^64"


def memory_bytes(machine: Machine) -> int | None:
    """The size of the VM's memory, as ``-m`` says; None if it cannot be read.

    A unit is put behind a number that ends without one, also behind a hexadecimal, which is then none.
    """
    written = machine.memory.get("size", _DEFAULT_RAM)
    return size(f"{written}M" if written[-1:].isdecimal() else written)


def misread_memory(machine: Machine) -> Iterator[tuple[str, Refusal]]:
    """The first ``-m`` with a name or number that QEMU cannot read, and what it says."""
    for option in machine.memory_options:
        for name, text in option.settings.items():
            if said := _said_of(name, text):
                yield option.origin.option, _refused(said)
                return


def _said_of(name: str, text: str) -> str:
    if name == "id" or isinstance(text, Unread):
        return ""
    if name in _SIZES:
        if size(text) is not None:
            return ""
        if re.fullmatch(_RANGED, text):
            return f"Value '{text}' is out of range for parameter '{name}'"
        return f"Parameter '{name}' {_UNITLESS}{_HINT}"
    if name in _NUMBERS:
        if unsigned(text) is not None:
            return ""
        if re.fullmatch(r"-?\d+", text):
            return f"Value '{text}' is too large for parameter '{name}'"
        return f"Parameter '{name}' expects a number"
    return f"Invalid parameter '{name}'"


def memory_refusal(machine: Machine) -> Refusal | None:
    """What QEMU says of the size, the room for more and the slots together; None if nothing."""
    memory = machine.memory
    if any(isinstance(value, Unread) for value in memory.values()):
        return None
    ram = memory_bytes(machine)
    if ram is None:
        return _refused("Parameter 'memory.size' expects size")
    if "size" not in memory and "memory-backend" in machine.machine_options:
        return None  # the object says how much
    slots = unsigned(memory["slots"]) if "slots" in memory else None
    if "maxmem" not in memory:
        return None if slots is None else _refused("slots specified but no max-size")
    most = size(memory["maxmem"])
    if most is None:
        return None
    if most < ram:
        return _refused(
            f"invalid value of maxmem: maximum memory size ({most:#x}) must be at least the initial memory "
            f"size ({ram:#x})"
        )
    if slots and most == ram:
        return _refused(
            f"invalid value of maxmem: memory slots were specified but maximum memory size ({most:#x}) is "
            f"equal to the initial memory size ({ram:#x})"
        )
    return None


def backend_refusals(machine: Machine) -> Iterator[Refusal]:
    """What QEMU says of ``-machine memory-backend=``: it is there, and of the size that ``-m`` says."""
    name = machine.machine_options.get("memory-backend", "")
    found = next((entry for entry in machine.objects if entry.id == name), None)
    if found is None or not found.qom_type.startswith("memory-backend-"):
        yield _refused(f"Memory backend '{name}' not found")
        return
    ram, own = memory_bytes(machine), quantity(found.properties.get("size"))
    if "size" in machine.memory and None not in (ram, own) and ram != own:
        yield _refused("Machine memory size does not match the size of the memory backend")


def _refused(text: str) -> Refusal:
    return Refusal(_CODE, {"text": text})
