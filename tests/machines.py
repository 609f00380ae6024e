# SPDX-License-Identifier: Apache-2.0
"""The parts of a machine in which libvirt's reading of a domain and ours must agree."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vsmmu.machine.drivers import is_bridge, is_pci
from vsmmu.machine.model import VSMMU_DRIVER

if TYPE_CHECKING:
    from vsmmu.machine.model import Machine


def shape(machine: Machine) -> list[tuple[object, ...]]:
    """What must agree: every PCI device and SMMU with its place, and all properties of bridges and SMMUs."""
    return [
        (
            device.driver,
            # For domxml-to-native, libvirt makes a new interface of each, without its alias.
            "" if device.driver.startswith("virtio-net") else device.id,
            device.text("bus"),
            device.text("addr"),
            device.text("multifunction"),
            device.text("iommufd"),
            dict(device.properties) if is_bridge(device.driver) or device.driver == VSMMU_DRIVER else None,
        )
        for device in machine.devices
        if is_pci(device.driver) or device.driver == VSMMU_DRIVER
    ]
