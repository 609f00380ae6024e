# SPDX-License-Identifier: Apache-2.0
"""Write QEMU command lines for the cases."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from conformance.guest import FIRMWARE

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Line", "device"]

#: Room for the buses behind one pxb-pcie.
_BUSES: Final = 14


def device(driver: str, properties: Mapping[str, Any], *, as_json: bool = False) -> str:
    """The argument of ``-device``; values that are None are left out."""
    given = {name: value for name, value in properties.items() if value is not None}
    if as_json:
        return json.dumps({"driver": driver, **given})
    return ",".join((driver, *(f"{name}={value}" for name, value in given.items())))


class Line:
    """A command line in the making.

    :param machine: what follows ``-M``; empty: no ``-M`` at all.
    """

    def __init__(self, machine: str = "virt,gic-version=3", *, acpi: bool = True, accel: str = "kvm") -> None:
        cpu = "host" if accel.startswith("kvm") else "max"
        self._words = ["qemu-system-aarch64", *(["-M", machine] if machine else [])]
        self._words += ["-accel", accel, "-cpu", cpu, "-m", "128"]
        self._words += ["-display", "none", "-nodefaults", "-S"]
        if acpi:
            self._words += ["-bios", FIRMWARE]
        self._words += ["-object", "iommufd,id=i0"]
        self._roots = 0
        self._ports = 0

    def words(self) -> tuple[str, ...]:
        """All of it."""
        return tuple(self._words)

    def option(self, *words: str) -> None:
        """Any option."""
        self._words += words

    def device(self, driver: str, *, as_json: bool = False, **properties: Any) -> None:
        """Any device; a trailing underscore in a name is dropped, other underscores become dashes."""
        given = {name.rstrip("_").replace("primary_bus", "primary-bus"): v for name, v in properties.items()}
        self._words += ["-device", device(driver, given, as_json=as_json)]

    def root(self, **properties: Any) -> str:
        """A pxb-pcie; its id."""
        name = f"p{self._roots}"
        self.device("pxb-pcie", id=name, bus_nr=8 + self._roots * _BUSES, bus="pcie.0", **properties)
        self._roots += 1
        return name

    def vsmmu(self, bus: str, **properties: Any) -> str:
        """An arm-smmuv3 on a bus; its id."""
        name = f"s-{bus}"
        self.device("arm-smmuv3", primary_bus=bus, id=name, **properties)
        return name

    def port(self, bus: str) -> str:
        """A root port on a bus; its id."""
        name = f"r{self._ports}"
        self._ports += 1
        self.device("pcie-root-port", id=name, bus=bus, chassis=self._ports)
        return name

    def vfio(self, bus: str, address: str, **properties: Any) -> str:
        """A function behind a root port; its id."""
        name = f"v-{bus}"
        # host= as the first property is what QEMU repeats in its messages.
        self.device("vfio-pci", host=address, bus=bus, id=name, **{"iommufd": "i0", **properties})
        return name
