# SPDX-License-Identifier: Apache-2.0
"""A domain with every attribute that holds a number, and the forms in which people write numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Final

#: What libvirt 12.8 took, by attribute and form; test_libvirt_numbers.py writes it.
RECORDED: Final = Path(__file__).with_name("golden") / "domain" / "numbers.json"
FORMS: Final = (
    "2", "0x2", "0X2", "02", "010", "08", "+2", " 2", "2 ", "\t2", "-1", "-2", "", "2a", "0b10", "0x", "1e1",
    "\u0662", "0 2", "+0x2", "-0x1", "--1", "4294967298", "99999999999999999999", "0x00000000000002",
)  # fmt: skip
#: Place in the domain -> attribute, and what stands there otherwise.
PLACES: Final = {
    "port-index": ("index", "3"),
    "usb-index": ("index", "1"),
    "serial-index": ("index", "0"),
    "busNr": ("busNr", "200"),
    "node": ("node", "1"),
    "chassis": ("chassis", "9"),
    "port": ("port", "8"),
    "chassisNr": ("chassisNr", "8"),
    "domain": ("domain", "0x0000"),
    "bus": ("bus", "0x01"),
    "slot": ("slot", "0x04"),
    "function": ("function", "0x0"),
    "source-domain": ("domain", "0x0000"),
    "source-bus": ("bus", "0x01"),
    "source-slot": ("slot", "0x00"),
    "source-function": ("function", "0x0"),
    "startport": ("startport", "0"),
    "pciBus": ("pciBus", "1"),
    "ssidsize": ("ssidsize", "20"),
    "oas": ("oas", "48"),
    "drive-controller": ("controller", "0"),
    "serial-controller": ("controller", "0"),
}
_CELLS = "".join(f"<cell id='{node}' memory='1' unit='GiB'/>" for node in (1, 2))


def number_domain(place: str = "", form: str = "") -> bytes:
    """The domain, with one number in another form."""
    at = {name: usual for name, (_, usual) in PLACES.items()}
    if place:
        at[place] = form.replace("\t", "&#9;")
    pci = "type='pci' domain='{domain}' bus='{bus}' slot='{slot}' function='{function}'".format(**at)
    source = "".join(f"{name}='{at[f'source-{name}']}' " for name in ("domain", "bus", "slot", "function"))
    return f"""<domain type='qemu'>
  <name>t</name>
  <memory unit='GiB'>3</memory>
  <vcpu>2</vcpu>
  <os firmware='efi'><type arch='aarch64' machine='virt-11.1'>hvm</type></os>
  <features><acpi/><gic version='3'/></features>
  <cpu mode='maximum'><numa><cell id='0' cpus='0-1' memory='1' unit='GiB'/>{_CELLS}</numa></cpu>
  <devices>
    <emulator>/usr/bin/qemu-system-aarch64</emulator>
    <controller type='pci' index='0' model='pcie-root'/>
    <controller type='pci' index='1' model='pcie-expander-bus'>
      <target busNr='{at["busNr"]}'><node>{at["node"]}</node></target>
      <address type='pci' domain='0x0000' bus='0x00' slot='0x01' function='0x0'/>
    </controller>
    <controller type='pci' index='{at["port-index"]}' model='pcie-root-port'>
      <target chassis='{at["chassis"]}' port='{at["port"]}'/>
      <address {pci}/>
    </controller>
    <controller type='pci' index='11' model='pcie-to-pci-bridge'/>
    <controller type='pci' index='12' model='pci-bridge'><target chassisNr='{at["chassisNr"]}'/></controller>
    <controller type='usb' index='0' model='ich9-ehci1'/>
    <controller type='usb' index='0' model='ich9-uhci1'><master startport='{at["startport"]}'/></controller>
    <controller type='usb' index='{at["usb-index"]}' model='qemu-xhci'/>
    <controller type='virtio-serial' index='{at["serial-index"]}'/>
    <hostdev mode='subsystem' type='pci' managed='yes'><source><address {source}/></source></hostdev>
    <iommu model='smmuv3'>
      <driver pciBus='{at["pciBus"]}' accel='on' ssidsize='{at["ssidsize"]}' oas='{at["oas"]}'/>
    </iommu>
    <disk type='file' device='disk'>
      <source file='/x'/>
      <target dev='sda' bus='scsi'/>
      <address type='drive' controller='{at["drive-controller"]}' bus='0' target='0' unit='0'/>
    </disk>
    <channel type='unix'>
      <target type='virtio' name='a'/>
      <address type='virtio-serial' controller='{at["serial-controller"]}' bus='0' port='1'/>
    </channel>
    <memballoon model='none'/>
  </devices>
</domain>
""".encode()
