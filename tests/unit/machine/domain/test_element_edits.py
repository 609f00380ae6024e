# SPDX-License-Identifier: Apache-2.0
"""Edits of a domain's elements besides ``<iommu>``."""

from __future__ import annotations

import pytest

import domains
from vsmmu.diagnostic import MACHINE, Edit, Insertion
from vsmmu.errors import Negative
from vsmmu.machine.domain.document import read_domain_xml

NET = "<interface type='user'><model type='virtio'/>{}</interface><memballoon model='none'/>"
ON_PORT = "<address type='pci' domain='0x0000' bus='0x02' slot='0x00' function='0x0'/>"


def edited(data: bytes, device: str, *edits: tuple[str, object]) -> str:
    domain = read_domain_xml(data, "vm.xml")
    found = domain.machine().device(device)
    number = MACHINE if found is None else found.number
    return domain.edit([Edit(number, name, value) for name, value in edits]).text()  # type: ignore[arg-type]


def test_a_function_uses_iommufd() -> None:
    hostdev = domains.PARTS["hostdev"].replace("<driver iommufd='yes'/>", "<driver name='vfio'/>")
    after = edited(domains.domain(hostdev=hostdev), "hostdev0", ("iommufd", "iommufd0"))
    assert "<driver name='vfio' iommufd='yes'/>" in after
    after = edited(domains.domain(hostdev=hostdev), "hostdev0", ("iommufd", "iommufd0"), ("bus", "pci.1"))
    assert "<driver name='vfio' iommufd='yes'/>" in after
    assert after.count("bus='0x01' slot='0x00' function='0x0'/></hostdev>") == 1


def test_the_place_of_a_device() -> None:
    data = domains.domain(more=NET.format(ON_PORT))
    assert edited(data, "net0", ("bus", "pcie.0"), ("addr", None)) == data.decode().replace(
        NET.format(ON_PORT), NET.format("")
    )
    assert "multifunction='on'" in edited(data, "net0", ("multifunction", True))
    without = domains.domain(more=NET.format(""))
    assert ON_PORT in edited(without, "net0", ("bus", "pci.2"))


def test_numbers_of_controllers() -> None:
    assert "<target busNr='99'/>" in edited(domains.domain(), "pci.1", ("bus_nr", 99))
    assert "<target chassis='7'/>" in edited(domains.domain(), "pci.2", ("chassis", 7))


def test_new_ports_take_free_slots() -> None:
    domain = read_domain_xml(domains.domain(), "vm.xml")
    ports = [
        Insertion("device", {"driver": "pcie-root-port", "id": name, "bus": "pci.1", "chassis": 9}, 2)
        for name in ("a", "b")
    ]
    hostdev = domain.machine().device("hostdev0")
    assert hostdev is not None
    after = domain.edit([*ports, Edit(hostdev.number, "bus", "b")])
    ports_after = {index: entry.address for index, entry in after.reading.controllers.items() if index > 2}
    assert [(entry.bus, entry.slot) for entry in ports_after.values() if entry] == [(1, 1), (1, 2)]
    address = after.reading.hostdevs[0].address
    assert address is not None
    assert address.bus == max(ports_after)


def test_the_machine() -> None:
    bare = domains.domain(features="", os="<os><type arch='aarch64' machine='virt'>hvm</type></os>")
    after = edited(bare, "", ("acpi", "on"), ("firmware", "efi"))
    assert "<os firmware='efi'>" in after
    assert "</os><features>" in after.replace("\n", "").replace("  ", "")
    board = "<iommu model='smmuv3'/>"
    assert board not in edited(domains.domain(iommu=board), "", ("iommu", None))


@pytest.mark.parametrize(
    ("device", "name"), [("", "gic-version"), ("hostdev0", "x-no-mmap"), ("pci.1", "id")]
)
def test_what_libvirt_has_no_attribute_for_is_refused(device: str, name: str) -> None:
    with pytest.raises(Negative) as raised:
        edited(domains.domain(), device, (name, "on"))
    assert raised.value.code == "not-editable"
