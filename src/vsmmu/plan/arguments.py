# SPDX-License-Identifier: Apache-2.0
"""A plan as QEMU arguments, in the order that QEMU needs: expander, vSMMU, ports, endpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from vsmmu.diagnostic import Written, spelled
from vsmmu.machine.command_line.keyval import escape

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vsmmu.plan.model import PlannedPort, PlannedVsmmu

__all__ = ["arguments", "devices_of"]

#: QEMU's ``host=`` has room for a domain of four digits; longer ones (Intel VMD) go by ``sysfsdev=``.
_SHORT_ADDRESS: Final = len("dddd:bb:dd.f")

Settings = dict[str, Written]


def arguments(
    vsmmus: tuple[PlannedVsmmu, ...], iommufd: str, *, iommufd_present: bool, json: bool
) -> tuple[str, ...]:
    """The words that make these vSMMUs and what is behind them; the values are not among them yet.

    :param json: write devices as JSON: QEMU makes those after all others.
    """
    words: list[str] = []
    if not iommufd_present:
        words += ["-object", f"iommufd,id={escape(iommufd)}"]
    for vsmmu in vsmmus:
        for driver, settings in (*devices_of(vsmmu), *_endpoints(vsmmu, iommufd)):
            words += ["-device", _json(driver, settings) if json else _keyval(driver, settings)]
    return tuple(words)


def devices_of(vsmmu: PlannedVsmmu) -> Iterator[tuple[str, Settings]]:
    """Type and settings of a vSMMU's expander, of itself and of its ports, in the order that QEMU needs."""
    # Without bus=pcie.0 an expander goes to the bus of the newest other one, which refuses it.
    expander: Settings = {"id": vsmmu.expander, "bus_nr": vsmmu.first_bus, "bus": "pcie.0"}
    if vsmmu.numa_node is not None:
        expander["numa_node"] = vsmmu.numa_node
    yield "pxb-pcie", expander
    yield "arm-smmuv3", {"primary-bus": vsmmu.expander, "id": vsmmu.id, "accel": True}
    for port in vsmmu.ports:
        yield "pcie-root-port", _port(port, vsmmu)


def _endpoints(vsmmu: PlannedVsmmu, iommufd: str) -> Iterator[tuple[str, Settings]]:
    for port in vsmmu.endpoints:
        short = len(port.function) <= _SHORT_ADDRESS
        place = {"host": port.function} if short else {"sysfsdev": f"/sys/bus/pci/devices/{port.function}"}
        yield "vfio-pci", {**place, "id": port.device, "bus": port.id, "iommufd": iommufd}


def _port(port: PlannedPort, vsmmu: PlannedVsmmu) -> Settings:
    settings: Settings = {"id": port.id, "bus": vsmmu.expander, "chassis": port.chassis}
    if port.address:
        settings["addr"] = port.address
        if port.address.endswith(".0"):
            settings["multifunction"] = True
    return settings


def _keyval(driver: str, settings: Settings) -> str:
    return ",".join([driver, *(f"{key}={escape(spelled(value))}" for key, value in settings.items())])


def _json(driver: str, settings: Settings) -> str:
    return msgspec.json.encode({"driver": driver, **settings}).decode()
