# SPDX-License-Identifier: Apache-2.0
"""A plan as libvirt XML: the elements to be added to the ``<devices>`` of a domain.

Elements and attributes are those of libvirt 12.8 (domaincommon.rng); ``pciBus`` is the *index* of the
expander's controller, not its bus number. libvirt has no ``auto``: what is left to QEMU is left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vsmmu.errors import Negative
from vsmmu.qemu.versions import machine_type, parse_version
from vsmmu.smmuv3.properties import AUTO, AUTO_SINCE, LIBVIRT_ORDER
from vsmmu.versions import spell_version

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vsmmu.plan.model import Plan, PlannedPort, PlannedVsmmu
    from vsmmu.smmuv3.properties import Property

__all__ = ["devices_xml"]

_FUNCTIONS: Final = 8


def devices_xml(plan: Plan, first_index: int = 1) -> str:
    """The elements, in ``<devices>`` so that they are one document.

    :param first_index: index for the first new PCI controller; those of the domain come before it, because
        libvirt fills gaps in the numbering with root ports of its own.
    :raise Negative: ``xml-inexpressible``, if a value is left to QEMU's ``auto`` and the machine type's
        default is another.
    """
    lines = ["<devices>"]
    index = first_index
    expanders: list[tuple[PlannedVsmmu, int]] = []
    ports: list[tuple[PlannedPort, int]] = []
    for vsmmu in plan.vsmmus:
        expanders.append((vsmmu, index))
        lines += _expander(vsmmu, index)
        bus, index = index, index + 1
        for number, port in enumerate(vsmmu.ports):
            lines += _port(port, number, index, bus)
            ports.append((port, index))
            index += 1
    for vsmmu, bus in expanders:
        lines += _iommu(vsmmu, bus, plan)
    for port, bus in ports:
        if port.function:
            lines += _hostdev(port, bus)
    return "\n".join([*lines, "</devices>", ""])


def _expander(vsmmu: PlannedVsmmu, index: int) -> Iterator[str]:
    yield f"  <controller type='pci' index='{index}' model='pcie-expander-bus'>"
    yield "    <model name='pxb-pcie'/>"
    if vsmmu.numa_node is None:
        yield f"    <target busNr='{vsmmu.first_bus}'/>"
    else:
        yield f"    <target busNr='{vsmmu.first_bus}'>"
        yield f"      <node>{vsmmu.numa_node}</node>"
        yield "    </target>"
    yield "  </controller>"


def _port(port: PlannedPort, number: int, index: int, bus: int) -> Iterator[str]:
    # No <target>: libvirt numbers chassis and port itself, and keeps them apart from the domain's others.
    slot, function = divmod(number, _FUNCTIONS) if port.address else (number, 0)
    several = " multifunction='on'" if port.address and function == 0 else ""
    yield f"  <controller type='pci' index='{index}' model='pcie-root-port'>"
    yield "    <model name='pcie-root-port'/>"
    place = f"domain='0x0000' bus='0x{bus:02x}' slot='0x{slot:02x}' function='0x{function}'"
    yield f"    <address type='pci' {place}{several}/>"
    yield "  </controller>"


def _iommu(vsmmu: PlannedVsmmu, bus: int, plan: Plan) -> Iterator[str]:
    written = {"pciBus": str(bus), "accel": "on"}
    for entry in LIBVIRT_ORDER:
        value = vsmmu.value(entry.name)
        if value == AUTO:
            _check_default(entry, vsmmu, plan)
        elif value:
            written[entry.name] = value
    attributes = " ".join(f"{name}='{value}'" for name, value in written.items())
    yield "  <iommu model='smmuv3'>"
    yield f"    <driver {attributes}/>"
    yield "  </iommu>"


def _check_default(entry: Property, vsmmu: PlannedVsmmu, plan: Plan) -> None:
    qemu = parse_version(plan.qemu)
    kind = machine_type(plan.machine_type, qemu)
    if kind is None or qemu.defaults(kind.version).get(entry.name) != AUTO:
        raise Negative(
            "xml-inexpressible",
            f"{entry.name} of {vsmmu.id} is left to QEMU's auto, which libvirt XML cannot say",
            why=f"{plan.machine_type} takes {entry.spell(entry.software)} where nothing is written",
            next=f"use a machine type from virt-{spell_version(AUTO_SINCE)} on, whose default is auto",
        )


def _hostdev(port: PlannedPort, bus: int) -> Iterator[str]:
    domain, bus_number, rest = port.function.split(":")
    slot, function = rest.split(".")
    source = f"domain='0x{domain}' bus='0x{bus_number}' slot='0x{slot}' function='0x{function}'"
    yield "  <hostdev mode='subsystem' type='pci' managed='yes'>"
    yield "    <driver name='vfio' iommufd='yes'/>"
    yield "    <source>"
    yield f"      <address {source}/>"
    yield "    </source>"
    yield f"    <address type='pci' domain='0x0000' bus='0x{bus:02x}' slot='0x00' function='0x0'/>"
    yield "  </hostdev>"
