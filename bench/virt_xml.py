# SPDX-License-Identifier: Apache-2.0
"""virt-xml of Debian, the tool nearest in kind: it edits a VM's configuration and prints the difference."""

from __future__ import annotations

import shutil

__all__ = ["COMMAND", "DOMAIN", "is_there"]

# test:///default is libvirt's driver without a hypervisor, within the process.
COMMAND = ["virt-xml", "--connect", "test:///default", "--edit", "--memory", "2048", "--print-diff"]
DOMAIN = b"""<domain type='test'>
  <name>vm</name>
  <memory unit='MiB'>4096</memory>
  <vcpu>1</vcpu>
  <os><type arch='aarch64' machine='virt'>hvm</type></os>
  <devices>
    <controller type='pci' index='0' model='pcie-root'/>
    <controller type='pci' index='1' model='pcie-expander-bus'><target busNr='8'/></controller>
    <controller type='pci' index='2' model='pcie-root-port'/>
  </devices>
</domain>
"""


def is_there() -> bool:
    """Whether virt-xml is installed."""
    return shutil.which("virt-xml") is not None
