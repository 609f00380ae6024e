# SPDX-License-Identifier: Apache-2.0
"""What a domain describes: the machine that libvirt would start, device by device."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from domains import domain, driver, golden
from implicit_domains import UNNUMBERED, unrooted
from vsmmu.errors import InputRefused
from vsmmu.machine.domain.document import read_domain_xml
from vsmmu.machine.topology import Topology

if TYPE_CHECKING:
    from vsmmu.machine.model import Device, Machine

IOMMU = "<iommu model='smmuv3'>{}</iommu>"


def machine(data: bytes) -> Machine:
    return read_domain_xml(data, "vm.xml").machine()


def find(data: bytes, driver_name: str) -> Device:
    return next(device for device in machine(data).devices if device.driver == driver_name)


def test_smmu_is_what_libvirt_writes() -> None:
    smmu = find(
        driver("pciBus='1' accel='on' ats='on' ril='off' ssidsize='020' oas=' 48' cmdqv='off'"), "arm-smmuv3"
    )
    assert smmu.origin.option == (
        '-device {"driver":"arm-smmuv3","id":"iommu0","primary-bus":"pci.1","accel":true,"ats":"on",'
        '"ril":"off","ssidsize":"20","oas":"48","cmdqv":"off"}'
    )
    assert smmu.origin.place == "line 15"
    assert smmu.form == "json"


def test_order_is_libvirts() -> None:
    drivers = [device.driver for device in machine(golden("everything")).devices]
    at = {
        name: drivers.index(name)
        for name in ("qemu-xhci", "arm-smmuv3", "virtio-blk-pci", "vfio-pci", "virtio-rng-pci")
    }
    assert list(at.values()) == sorted(at.values())
    assert max(index for index, name in enumerate(drivers) if "port" in name) < at["qemu-xhci"]


def test_aliases_of_the_user_are_ids() -> None:
    data = domain(iommu=IOMMU.format("<driver pciBus='1' accel='on'/><alias name='ua-smmu'/>"))
    assert find(data, "arm-smmuv3").id == "ua-smmu"
    assert find(data.replace(b"ua-smmu", b"mine"), "arm-smmuv3").id == "iommu0"


def test_iommufd_for_the_whole_domain() -> None:
    plain = domain().replace(b"<driver iommufd='yes'/>", b"")
    assert find(plain, "vfio-pci").text("iommufd") == ""
    whole = plain.replace(b"<devices>", b"<iommufd enabled='yes'/><devices>")
    assert find(whole, "vfio-pci").text("iommufd") == "iommufd0"
    assert [entry.id for entry in machine(whole).objects] == ["iommufd0"]


def test_host_address_in_any_spelling() -> None:
    data = domain().replace(
        b"domain='0x0009' bus='0x01' slot='0x00' function='0x0'", b"domain='9' bus='1' slot='0'"
    )
    assert find(data, "vfio-pci").text("host") == "0009:01:00.0"


def test_mediated_device() -> None:
    source = "<source><address uuid='83b8f4f2-509f-382f-3c1e-e6bfe0fa1001'/></source>"
    data = domain(hostdev=f"<hostdev mode='subsystem' type='mdev' model='vfio-pci'>{source}</hostdev>")
    assert find(data, "vfio-pci").text("sysfsdev").endswith("e6bfe0fa1001")


def test_interface_of_the_host() -> None:
    data = domain(
        more="<interface type='hostdev'><driver name='vfio' iommufd='yes'/>"
        "<source><address type='pci' domain='0x0009' bus='0x02' slot='0x00' function='0x0'/></source>"
        "<address type='pci' bus='0x00' slot='0x05'/></interface>"
    )
    found = [device for device in machine(data).devices if device.driver == "vfio-pci"]
    assert [(device.id, device.text("host")) for device in found] == [
        ("hostdev0", "0009:02:00.0"),
        ("hostdev1", "0009:01:00.0"),
    ]


@pytest.mark.parametrize(
    ("iommus", "devices", "option"),
    [
        (["<driver pciBus='1' accel='on'/>"], 1, ""),
        (["<driver accel='on'/>"], 0, "smmuv3"),
        ([""], 0, "smmuv3"),
        (["", ""], 0, "smmuv3"),
        (["<driver pciBus='1'/>", ""], 1, ""),
        (["", "<driver pciBus='1'/>"], 1, "smmuv3"),
    ],
)
def test_what_libvirt_makes_of_several(iommus: list[str], devices: int, option: str) -> None:
    found = machine(domain(iommu="".join(IOMMU.format(text) for text in iommus)))
    assert len(found.vsmmus) == devices
    assert found.machine_options.get("iommu", "") == option


def test_smmu_without_device_is_none() -> None:
    assert machine(domain(iommu="")).vsmmus == ()


def test_places() -> None:
    found = machine(golden("gb200"))
    topology = Topology.of(found)
    assert topology.missing == []
    assert [topology.root_of(device) for device in found.devices if device.driver == "vfio-pci"] == [
        "pci.1",
        "pci.2",
    ]


def test_missing_bus_numbers_are_chosen_as_libvirt_does() -> None:
    second = "<controller type='pci' index='3' model='pcie-expander-bus'/>"
    data = domain(more=second).replace(b"<target busNr='252'/>", b"")
    numbers = [device.properties["bus_nr"] for device in machine(data).devices if device.driver == "pxb-pcie"]
    assert numbers == [254, 252]


def test_machine() -> None:
    found = machine(domain())
    assert (found.program, found.machine_type) == ("/usr/bin/qemu-system-aarch64", "virt-11.1")
    assert (found.accelerators, found.default_nic, found.firmware) == (("kvm",), False, "efi")
    assert found.machine_options == {"acpi": "on", "gic-version": "3"}
    assert machine(domain(features="")).machine_options == {"acpi": "off"}
    empty = machine(b"<domain/>")
    assert (empty.devices, empty.machine_type) == ((), "virt")


def test_the_first_controller_is_the_root() -> None:
    """libvirt 12.8: The PCI controller with index='0' must be model='pcie-root' for this machine type."""
    written = unrooted(UNNUMBERED["port"] * 2)
    with pytest.raises(InputRefused, match="index 0 is a pcie-root-port") as caught:
        read_domain_xml(written, "vm.xml").machine()
    assert caught.value.code == "domain-controller-root"


def test_an_index_is_decimal() -> None:
    """libvirt 12.8: Invalid value for attribute 'index' in element 'controller': '0x2'."""
    with pytest.raises(InputRefused, match="is no number"):
        machine(domain(port="<controller type='pci' index='0x2' model='pcie-root-port'/>"))
