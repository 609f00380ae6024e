# SPDX-License-Identifier: Apache-2.0
"""ACPI's generic initiators and ports, and EGM: whether the device and the node that each names are there.

QEMU looks when it writes the SRAT, after all is made: build_all_acpi_generic_initiators() and
build_all_acpi_generic_ports() in hw/acpi/pci.c; texts measured with 11.1.3, which puts no name of its own in
front. NVIDIA's forks write the DSDT with EGM before: build_all_acpi_egm_memory_dsdt() in
hw/acpi/acpi_egm_memory.c of NVIDIA/QEMU, of which no binary was asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vsmmu.machine.drivers import is_pci
from vsmmu.machine.model import EGM, INITIATOR
from vsmmu.qemu.doubts import board_doubt
from vsmmu.qemu.egm import has_egm
from vsmmu.qemu.findings import Refusal
from vsmmu.qemu.numa_options import MOST_NODES
from vsmmu.qemu.values import unsigned

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vsmmu.diagnostic import Diagnostic
    from vsmmu.machine.model import JsonValue, Machine, MachineObject
    from vsmmu.qemu.versions import Qemu

__all__ = ["initiator_refusals"]

_PORT: Final = "acpi-generic-port"
#: Type -> (property with a device's id, what QEMU says of another device, of another node).
_KINDS: Final = {
    EGM: (
        "pci-dev",
        "Specified device must be a PCI device.",
        "Specified node {} is invalid.",
    ),
    INITIATOR: (
        "pci-dev",
        "Specified device must be a PCI device.",
        "Specified node {} is invalid.",
    ),
    _PORT: ("pci-bus", "device must be a CXL host bridge.", "node {} is invalid."),
}


def initiator_refusals(machine: Machine, qemu: Qemu) -> Iterator[Refusal | Diagnostic]:
    """Why QEMU ends, in its order; nothing where ACPI is off, or where nodes are not known."""
    if machine.machine_options.get("acpi") == "off" or machine.numa_nodes is None:
        return
    for entry in sorted(machine.objects, key=lambda entry: entry.qom_type != EGM):
        if entry.qom_type == EGM and has_egm(qemu):
            refusal = _fault(machine, entry, machine.numa_nodes)
            yield from () if refusal is None else (board_doubt(refusal, "what this build looks at"),)
        elif entry.qom_type in _KINDS and entry.qom_type != EGM and machine.numa_nodes:
            refusal = _fault(machine, entry, machine.numa_nodes)
            yield from () if refusal is None else (refusal,)


def _fault(machine: Machine, entry: MachineObject, nodes: int) -> Refusal | None:
    name, device, node = _KINDS[entry.qom_type]
    number = _number(entry.properties.get("node"))
    if number is not None and nodes <= number < MOST_NODES:  # a higher one is refused before
        return _refusal(entry.qom_type, node.format(number))
    if not _is_there(machine, entry.qom_type, entry.properties.get(name)):
        return _refusal(entry.qom_type, device)
    return None


def _is_there(machine: Machine, kind: str, name: JsonValue) -> bool:
    if type(name) is not str:
        return True  # a matter of another check, or not known
    found = machine.device(name)
    if found is None:
        return False
    return found.driver == "pxb-cxl" if kind == _PORT else is_pci(found.driver)


def _number(value: JsonValue) -> int | None:
    if type(value) is int:
        return value
    return unsigned(value) if type(value) is str else None


def _refusal(kind: str, text: str) -> Refusal:
    return Refusal("qemu-initiator", {"text": f"{kind}: {text}"})
