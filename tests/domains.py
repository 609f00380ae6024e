# SPDX-License-Identifier: Apache-2.0
"""Domains for tests: a small one that is right, and what it takes to make it wrong in one place."""

from __future__ import annotations

from pathlib import Path

GOLDEN = Path(__file__).with_name("golden") / "domain"

#: The parts of a right domain, each of which a test can replace.
PARTS = {
    "type": "kvm",
    "uuid": "",
    "iommufd": "",
    "os": "<os firmware='efi'><type arch='aarch64' machine='virt-11.1'>hvm</type></os>",
    "features": "<features><acpi/><gic version='3'/></features>",
    "cpu": "<cpu mode='host-passthrough'/>",
    "expander": "<controller type='pci' index='1' model='pcie-expander-bus'><target busNr='252'/>"
    "<address type='pci' domain='0x0000' bus='0x00' slot='0x01' function='0x0'/></controller>",
    "port": "<controller type='pci' index='2' model='pcie-root-port'>"
    "<address type='pci' domain='0x0000' bus='0x01' slot='0x00' function='0x0'/></controller>",
    "hostdev": "<hostdev mode='subsystem' type='pci' managed='yes'><driver iommufd='yes'/>"
    "<source><address domain='0x0009' bus='0x01' slot='0x00' function='0x0'/></source>"
    "<address type='pci' domain='0x0000' bus='0x02' slot='0x00' function='0x0'/></hostdev>",
    "iommu": "<iommu model='smmuv3'><driver pciBus='1' accel='on'/></iommu>",
    "more": "<memballoon model='none'/>",
    "end": "",
}


def domain(**parts: str) -> bytes:
    """A domain, one part a line; by default right, with an accelerated SMMU and nothing written."""
    part = {**PARTS, **parts}
    return f"""<domain type='{part["type"]}' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>t</name>
  <memory unit='GiB'>2</memory>
  <vcpu>2</vcpu>
  {part["uuid"]}{part["iommufd"]}
  {part["os"]}
  {part["features"]}
  {part["cpu"]}
  <devices>
    <emulator>/usr/bin/qemu-system-aarch64</emulator>
    <controller type='pci' index='0' model='pcie-root'/>
    {part["expander"]}
    {part["port"]}
    {part["hostdev"]}
    {part["iommu"]}
    {part["more"]}
  </devices>
  {part["end"]}
</domain>
""".encode()


def driver(attributes: str) -> bytes:
    """The right domain with these attributes on the ``<driver>`` of its SMMU."""
    return domain(iommu=f"<iommu model='smmuv3'><driver {attributes}/></iommu>")


def golden(name: str) -> bytes:
    """A domain from ``tests/golden/domain``."""
    return (GOLDEN / f"{name}.in.xml").read_bytes()
