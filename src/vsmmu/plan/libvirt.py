# SPDX-License-Identifier: Apache-2.0
"""Write planned vSMMUs as libvirt elements: expanders, root ports, ``<iommu>`` and ``<hostdev>``.

Elements and attributes are those of libvirt 12.8 (domaincommon.rng); ``pciBus`` is the *index* of the
expander's controller, not its bus number. libvirt has no ``auto``: what is left to QEMU is left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from vsmmu.errors import Negative
from vsmmu.machine.domain.controllers import EXPANDER, ROOT_PORT
from vsmmu.machine.domain.insertion import NewElement, address, controller
from vsmmu.machine.domain.iommu import SMMUV3
from vsmmu.machine.domain.surrounding_edits import root_controller
from vsmmu.plan.libvirt_surroundings import acpi_elements, cpu_elements
from vsmmu.qemu.doubts import fork_domain
from vsmmu.qemu.versions import machine_type, parse_version
from vsmmu.smmuv3.properties import AUTO, AUTO_SINCE, LIBVIRT_ORDER
from vsmmu.versions import spell_version

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from vsmmu.plan.model import Plan, PlannedPort, PlannedVsmmu

__all__ = [
    "IndexedVsmmu",
    "check_expressible",
    "devices_xml",
    "hostdev_elements",
    "indexed",
    "topology_elements",
]

_FUNCTIONS: Final = 8


class IndexedVsmmu(NamedTuple):
    """A planned vSMMU with the indexes of its PCI controllers.

    :param pci_bus: index of its expander, which is the ``pciBus`` of its ``<iommu>``.
    :param ports: its ports, each with its index, which is the ``bus`` of the address of what it holds.
    """

    vsmmu: PlannedVsmmu
    pci_bus: int
    ports: tuple[tuple[PlannedPort, int], ...]


def indexed(vsmmus: Sequence[PlannedVsmmu], first_index: int) -> tuple[IndexedVsmmu, ...]:
    """Number the controllers of planned vSMMUs: each expander, then its ports.

    :param first_index: index for the first new PCI controller; those of the domain come before it, because
        libvirt fills gaps in the numbering with root ports of its own.
    """
    found = []
    index = first_index
    for vsmmu in vsmmus:
        ports = tuple((port, index + 1 + number) for number, port in enumerate(vsmmu.ports))
        found.append(IndexedVsmmu(vsmmu, index, ports))
        index += 1 + len(ports)
    return tuple(found)


def topology_elements(vsmmus: Sequence[IndexedVsmmu]) -> list[NewElement]:
    """All controllers and ``<iommu>`` elements, without the host devices."""
    controllers = [element for entry in vsmmus for element in _controllers(entry)]
    return controllers + [_iommu(entry) for entry in vsmmus]


def hostdev_elements(vsmmus: Sequence[IndexedVsmmu]) -> list[NewElement]:
    """A ``<hostdev>`` for each function."""
    return [_hostdev(port, bus) for entry in vsmmus for port, bus in entry.ports if port.function]


def devices_xml(plan: Plan, first_index: int = 1) -> str:
    """The elements, in ``<devices>`` (in ``<domain>``, if there are others) so that they are one document.

    :param first_index: as for :func:`indexed`.
    :raise Negative: ``xml-inexpressible``, if a value is left to QEMU's ``auto`` and the machine type's
        default is another.
    """
    check_expressible(plan)
    vsmmus = indexed(plan.vsmmus, first_index)
    window = (root_controller(plan.mmio_window),) if plan.mmio_window else ()
    children = (*window, *topology_elements(vsmmus), *hostdev_elements(vsmmus))
    devices = NewElement("devices", {}, children)
    whole = (
        NewElement("domain", {}, (*cpu_elements(plan.nodes, plan.distances), devices))
        if plan.nodes
        else devices
    )
    return "".join(f"{line}\n" for line in whole.lines())


def check_expressible(plan: Plan) -> None:
    """Refuse a plan that XML cannot express.

    :raise Negative: as :func:`devices_xml`.
    """
    for vsmmu in plan.vsmmus:
        _check_defaults(vsmmu, plan)


def _controllers(entry: IndexedVsmmu) -> Iterator[NewElement]:
    vsmmu = entry.vsmmu
    node = () if vsmmu.numa_node is None else (NewElement("node", {}, text=str(vsmmu.numa_node)),)
    target = NewElement("target", {"busNr": str(vsmmu.first_bus)}, node)
    yield controller(entry.pci_bus, EXPANDER, "pxb-pcie", target)
    for number, (port, index) in enumerate(entry.ports):
        # No <target>: libvirt numbers chassis and port itself, and keeps them apart from the domain's others.
        slot, function = divmod(number, _FUNCTIONS) if port.address else (number, 0)
        several = {"multifunction": "on"} if port.address and function == 0 else {}
        place = NewElement("address", {**address(entry.pci_bus, slot, function), **several})
        yield controller(index, ROOT_PORT, "pcie-root-port", place)


def _iommu(entry: IndexedVsmmu) -> NewElement:
    return NewElement("iommu", {"model": SMMUV3}, (NewElement("driver", _settings(entry)),))


def _settings(entry: IndexedVsmmu) -> Mapping[str, str]:
    values = {prop.name: entry.vsmmu.value(prop.name) for prop in LIBVIRT_ORDER}
    written = {name: value for name, value in values.items() if value not in ("", AUTO)}
    return {"pciBus": str(entry.pci_bus), "accel": "on", **written}


def _check_defaults(vsmmu: PlannedVsmmu, plan: Plan) -> None:
    """Refuse a value that is left to QEMU's ``auto`` where leaving it out means another."""
    qemu = parse_version(plan.qemu)
    for foreign in fork_domain(qemu, "error"):
        raise Negative(foreign.code, foreign.what, why=foreign.why, next=foreign.next)
    kind = machine_type(plan.machine_type, qemu)
    for entry in LIBVIRT_ORDER:
        if vsmmu.value(entry.name) != AUTO:
            continue
        if not qemu.defaults_known:
            raise Negative(
                "xml-inexpressible",
                f"{entry.name} of {vsmmu.id} is left to QEMU's auto, which libvirt XML cannot say",
                why=f"what QEMU {qemu} takes where nothing is written is not known",
                next="write it: --pin-cmdqv, with --assume-safe where the host was not asked"
                if entry.name == "cmdqv"
                else "let it be pinned",
            )
        if kind is None or qemu.defaults(kind.version).get(entry.name) != AUTO:
            raise Negative(
                "xml-inexpressible",
                f"{entry.name} of {vsmmu.id} is left to QEMU's auto, which libvirt XML cannot say",
                why=f"{plan.machine_type} takes {entry.spell(entry.software)} where nothing is written",
                next=f"use a machine type from virt-{spell_version(AUTO_SINCE)} on, whose default is auto",
            )


def _hostdev(port: PlannedPort, bus: int) -> NewElement:
    domain, bus_number, rest = port.function.split(":")
    slot, function = rest.split(".")
    parts = {"domain": domain, "bus": bus_number, "slot": slot, "function": function}
    source = NewElement("address", {name: f"0x{value}" for name, value in parts.items()})
    return NewElement(
        "hostdev",
        {"mode": "subsystem", "type": "pci", "managed": "yes"},
        (
            NewElement("driver", {"name": "vfio", "iommufd": "yes"}),
            NewElement("source", {}, (source,)),
            *acpi_elements(port),
            NewElement("address", address(bus)),
        ),
    )
