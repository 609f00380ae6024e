# SPDX-License-Identifier: Apache-2.0
"""Checks of a ``vfio-pci`` before its admission to a vSMMU, in QEMU's order.

Sources: vfio_pci_realize() in hw/vfio/pci.c, vfio_device_get_name() in hw/vfio/device.c,
smmuv3_accel_find_add_as() in hw/arm/smmuv3-accel.c; the texts were measured with 11.1.3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vsmmu.named_tuple import NamedTuple
from vsmmu.qemu.findings import Refusal
from vsmmu.smmuv3.properties import PROPERTIES

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from vsmmu.machine.model import Device, Machine
    from vsmmu.qemu.state import Endpoint, Vsmmu
    from vsmmu.qemu.versions import Qemu

__all__ = ["ENDING", "VfioPlug", "property_refusals", "vfio_refusals"]

#: After these nothing more can be judged of the device, whatever would mend them.
ENDING: Final = frozenset(
    (
        "qemu-board-smmu",
        "qemu-direct-region",
        "qemu-conventional",
        "qemu-fd-without-id",
        "qemu-function-twice",
        "qemu-no-such-function",
        "qemu-no-vfio-device",
        "qemu-not-accelerated",
    )
)


class VfioPlug(NamedTuple):
    """A vfio-pci as QEMU is about to realize it.

    :param name: what QEMU calls it after ``vfio ``.
    :param address: of the host function that it names, known to the facts or not; None if it names none.
    :param vsmmu: the ``arm-smmuv3`` on its root complex.
    :param board_smmu: whether the board's own SMMU (``-M iommu=smmuv3``) translates its bus.
    :param conventional: whether its bus hangs off a PCIe-to-PCI bridge.
    :param incoherent: whether the host SMMU behind it is known not to be coherent.
    :param region: the numbers of its memory region behind an SMMU (:meth:`Placement.region`).
    :param direct: whether the host function has to stay mapped 1:1.
    :param absent: whether the host certainly has no such function.
    """

    endpoint: Endpoint
    name: str
    address: str | None
    bound: Collection[str]
    vsmmu: Vsmmu | None
    board_smmu: bool
    conventional: bool
    incoherent: bool
    direct: bool
    absent: bool
    region: Mapping[str, object]


def property_refusals(device: Device, machine: Machine, qemu: Qemu) -> Iterator[Refusal]:
    """What QEMU's setters of properties refuse, in the order in which it sets them: ``iommufd`` is the first.

    An ``iommufd`` that is another kind of thing is a fault of the name (:mod:`vsmmu.qemu.references`).
    """
    backend, fd = device.text("iommufd"), device.text("fd")
    if backend and not _is_there(backend, device.number, machine):
        yield Refusal("qemu-no-object", {"value": backend})
    if fd and not fd.isdecimal():
        text = f"Could not parse object fd {fd}:Invalid file descriptor number '{fd}'"
        yield Refusal("qemu-fd-number", {"text": text})
    accepted = PROPERTIES["ats"].spellings
    if qemu.has_vfio_ats and "ats" in device.properties and device.text("ats") not in accepted:
        values: dict[str, object] = {
            "property": "ats",
            "value": device.text("ats"),
            "accepted": ", ".join(accepted),
        }
        yield Refusal("qemu-value", values)


def _is_there(path: str, number: int, machine: Machine) -> bool:
    """Whether an object, or a device before the one with that number, has the name."""
    name = path.removeprefix("/objects/")
    if any(entry.id == name for entry in machine.objects):
        return True
    return name == path and any(entry.id == name for entry in machine.devices[:number])


def vfio_refusals(plug: VfioPlug) -> Iterator[Refusal]:
    """Every reason to refuse the realization, in QEMU's order; QEMU prints the first."""
    yield from _together(plug)
    yield from _host_device(plug)
    yield from _translation(plug)


def _together(plug: VfioPlug) -> Iterator[Refusal]:
    """Properties that do not go together."""
    device = plug.endpoint.device
    backend = device.text("iommufd")
    if device.text("fd").isdecimal() and not device.id:
        yield Refusal("qemu-fd-without-id", {})
    if plug.vsmmu is not None and plug.vsmmu.settings.accel and not backend:
        yield Refusal("qemu-no-iommufd", {})
    if not any(device.text(key) for key in ("host", "sysfsdev", "fd")):
        yield Refusal("qemu-no-host-device", {})
    if device.text("fd") and not backend:
        yield Refusal("qemu-fd-without-iommufd", {})


def _host_device(plug: VfioPlug) -> Iterator[Refusal]:
    device, function = plug.endpoint.device, plug.endpoint.function
    backend = device.text("iommufd")
    if plug.absent:
        yield Refusal("qemu-no-such-function", {"value": plug.address or device.text("host")})
    if backend and plug.incoherent:
        path = device.text("sysfsdev") or f"/sys/bus/pci/devices/{plug.name}"
        yield Refusal("qemu-no-vfio-device", {"vfio": plug.name, "value": path})
    if backend and plug.direct:
        yield Refusal("qemu-direct-region", {"vfio": plug.name})
    if backend and function is not None and function.address in plug.bound:
        yield Refusal("qemu-function-twice", {"vfio": plug.name})


def _translation(plug: VfioPlug) -> Iterator[Refusal]:
    device, function = plug.endpoint.device, plug.endpoint.function
    if plug.vsmmu is not None and not plug.vsmmu.settings.accel:
        yield Refusal("qemu-not-accelerated", {"vfio": plug.name, **plug.region})
    elif plug.vsmmu is None and plug.board_smmu:
        group = function.iommu_group if function is not None else None
        named = "N" if group is None else str(group)
        container = "" if device.text("iommufd") else f"failed to setup container for group {named}: "
        yield Refusal("qemu-board-smmu", {"vfio": plug.name, "container": container, **plug.region})
    elif plug.vsmmu is not None and plug.conventional:
        yield Refusal("qemu-conventional", {"vfio": plug.name, **plug.region})
