# SPDX-License-Identifier: Apache-2.0
"""Give host devices of a domain accelerated SMMUs: expanders, root ports and ``<iommu>`` elements, as text.

New elements go in front of the first host device; the devices' own addresses change. Nothing else does.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from vsmmu.errors import Negative
from vsmmu.machine.domain.controllers import EXPANDER, ROOT_PORT
from vsmmu.machine.domain.document import DomainXml
from vsmmu.machine.domain.spans import Change, Splice, apply, change_tag

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vsmmu.machine.domain.reader import HostDevice

__all__ = ["MAX_PORTS", "with_vsmmus"]

#: Devices on the bus of one expander.
MAX_PORTS: Final = 32
_BUSES: Final = 256
_ADDRESS_ORDER: Final = ("type", "domain", "bus", "slot", "function")
_DRIVER_ORDER: Final = ("name", "model", "iommufd")
_BLANKS: Final = re.compile(rb"\n[ \t]*$")
_SOURCE_END: Final = re.compile(rb"</source\s*>")


def with_vsmmus(domain: DomainXml, groups: Sequence[Sequence[HostDevice]]) -> DomainXml:
    """The domain with an accelerated SMMUv3 for each group, and the group's devices behind it.

    :param groups: host devices that share a host SMMU, each group not empty.
    :raise Negative: ``topology-full``: more devices than bus numbers or slots.
    """
    devices = [device for group in groups for device in group]
    if not devices:
        return domain
    controllers = domain.reading.controllers
    index = max(controllers, default=0) + 1
    taken = [entry.properties["bus_nr"] for entry in controllers.values() if entry.model == EXPANDER]
    lowest = min((number for number in taken if isinstance(number, int)), default=_BUSES)
    elements: list[str] = []
    splices: list[Splice] = []
    for group in groups:
        lowest -= 1 + len(group)
        if lowest <= 0 or len(group) > MAX_PORTS:
            raise Negative(
                "topology-full",
                f"there is no room for {len(devices)} devices behind SMMUs",
                next="remove devices or controllers, or give the domain lower bus numbers (busNr)",
            )
        expander = index
        target = f"<target busNr='{lowest}'/>"
        elements.append(_controller(expander, EXPANDER, target))
        for slot, device in enumerate(group):
            index += 1
            place = f"type='pci' domain='0x0000' bus='{expander:#04x}' slot='{slot:#04x}' function='0x0'"
            elements.append(_controller(index, ROOT_PORT, f"<address {place}/>"))
            splices += _placed(domain.data, device, index)
        elements.append(f"<iommu model='smmuv3'><driver pciBus='{expander}' accel='on'/></iommu>")
        index += 1
    first = min(device.element.start for device in devices)
    blanks = _BLANKS.search(domain.data, 0, first)
    lead = blanks.group().decode() if blanks is not None else ""
    text = "".join(element + lead for element in elements)
    grown = DomainXml(apply(domain.data, [Splice(first, first, text.encode()), *splices]), domain.where)
    _verify(domain, grown, len(devices))
    return grown


def _controller(index: int, model: str, content: str) -> str:
    return f"<controller type='pci' index='{index}' model='{model}'>{content}</controller>"


def _placed(data: bytes, device: HostDevice, bus: int) -> Iterator[Splice]:
    """Put a host device on the bus of a root port, and let it use iommufd."""
    values = {"type": "pci", "domain": "0x0000", "bus": f"{bus:#04x}", "slot": "0x00", "function": "0x0"}
    driver, address = device.element.find("driver"), device.element.find("address")
    # libvirt's schema wants the address behind the source, which every host device has.
    behind = _SOURCE_END.search(data, device.element.start)
    assert behind is not None  # noqa: S101 - see above
    missing = ""
    if driver is not None:
        yield from change_tag(data, driver.start, Change({"iommufd": "yes"}), _DRIVER_ORDER)
    else:
        missing += "<driver iommufd='yes'/>"
    if address is not None:
        yield from change_tag(data, address.start, Change(values), _ADDRESS_ORDER)
    else:
        missing += f"<address {' '.join([f'{name}={value!r}' for name, value in values.items()])}/>"
    yield Splice(behind.end(), behind.end(), missing.encode())


def _verify(before: DomainXml, after: DomainXml, moved: int) -> None:
    """Hold the result against what was meant: as many host devices, those on ports of their own."""
    old, new = before.reading.hostdevs, after.reading.hostdevs
    buses = {entry.address.bus for entry in new if entry.address is not None}
    if [entry.source for entry in old] != [entry.source for entry in new] or len(buses) < moved:
        raise RuntimeError("host devices were moved in another way than meant")
