# SPDX-License-Identifier: Apache-2.0
"""A domain's MMIO window and generic initiators as libvirt 12.8 hands them to QEMU.

``<pcihole64>`` of ``pcie-root`` becomes ``highmem-mmio-size``; each node of ``<acpi nodeset=''/>`` in a
``<hostdev>`` an ``acpi-generic-initiator``, ``gi0`` and up [measured: domxml-to-native].
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vsmmu.machine.domain.elements import QEMU_NAMESPACE
from vsmmu.machine.model import INITIATOR, MachineObject, Origin

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from vsmmu.diagnostic import Diagnostic
    from vsmmu.machine.domain.elements import Element
    from vsmmu.machine.domain.qemu_namespace import Overrides

__all__ = ["beside_schema", "hole_of", "initiators", "nodes_of"]

_KIB: Final = {"": "K", "KiB": "K", "MiB": "M", "GiB": "G", "TiB": "T", "bytes": "", "b": ""}
#: VIR_DOMAIN_CPUMASK_LEN of libvirt: virBitmapParse() refuses a number that is not below it.
_MOST_NUMBERS: Final = 16384
#: Of both ends of a range; int() takes long over more digits, and then refuses them.
_MOST_DIGITS: Final = 40


def beside_schema(root: Element) -> tuple[Overrides, tuple[Diagnostic, ...]]:
    """What stands in libvirt's namespace for QEMU: properties of devices, and what was not looked at."""
    if not any(child.name.startswith(QEMU_NAMESPACE) for child in root.children):
        return {}, ()
    from vsmmu.machine.domain.qemu_namespace import namespace_doubts, overrides_of  # few domains have it

    return overrides_of(root), tuple(namespace_doubts(root))


def hole_of(root: Element) -> str:
    """The MMIO window as QEMU gets it, such as ``1073741824K``; empty if the domain does not say."""
    for controller in root.all("devices/controller"):
        hole = controller.find("pcihole64")
        if hole is not None and controller.get("model") == "pcie-root":
            unit = _KIB.get(hole.get("unit"))
            text = hole.text.strip()
            return f"{text}{unit}" if unit is not None and text.isascii() and text.isdecimal() else ""
    return ""


def initiators(given: Iterable[tuple[str, Element]]) -> Iterator[MachineObject]:
    """The objects that libvirt makes of ``<acpi nodeset=''/>``.

    :param given: the host devices that the guest gets, each with its id.
    """
    number = 0
    for name, element in given:
        acpi = element.find("acpi")
        for node in nodes_of(acpi.get("nodeset")) if acpi is not None else ():
            origin = Origin("", f"line {element.line}")
            yield MachineObject(INITIATOR, f"gi{number}", {"pci-dev": name, "node": node}, origin)
            number += 1


def nodes_of(nodeset: str) -> list[int]:
    """The nodes or CPUs of ``1-8,^3,10``, in order; none if libvirt cannot read it."""
    found: set[int] = set()
    for part in nodeset.split(","):
        first, _, last = part.strip().removeprefix("^").partition("-")
        numbers = f"{first}{last}"
        if not first or not (numbers.isascii() and numbers.isdecimal()) or len(numbers) > _MOST_DIGITS:
            return []
        if int(last or first) >= _MOST_NUMBERS:
            return []
        nodes = set(range(int(first), int(last or first) + 1))
        found = found - nodes if part.strip().startswith("^") else found | nodes
    return sorted(found)
