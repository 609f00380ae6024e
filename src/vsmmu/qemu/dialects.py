# SPDX-License-Identifier: Apache-2.0
"""Names that are written for a QEMU but that no release has: drafts and forks, each with its translation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from vsmmu.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vsmmu.qemu.versions import Qemu

__all__ = ["DIALECTS", "Dialect", "dialect"]

#: A type of device, a property of one (``TYPE.NAME``), a type of object, a machine option (``NAME=VALUE``).
Kind = Literal["device", "property", "object", "machine"]


class Dialect(NamedTuple):
    """One name.

    :param origin: who writes it.
    :param translation: what releases have in its place.
    :param becomes: the release's name, where the value stays as it is; empty where more than a name differs.
    :param fork: the release of a fork that the VM is for, which has another name; empty for QEMU's own.
    """

    kind: Kind
    name: str
    origin: str
    translation: str
    becomes: str = ""
    fork: str = ""


_RFC: Final = "the RFC series that came before QEMU 11.0"
_NVIDIA: Final = "NVIDIA's 10.1.0+nvidia"
_TABLE: Final = (
    Dialect(
        "device",
        "arm-smmuv3-accel",
        _RFC,
        "write arm-smmuv3,primary-bus=BUS,accel=on (primary-bus= for bus=)",
        "arm-smmuv3",
    ),
    Dialect(
        "device",
        "arm-smmuv3-nested",
        _RFC,
        "write arm-smmuv3,primary-bus=BUS,accel=on (primary-bus= for pci-bus=)",
        "arm-smmuv3",
    ),
    Dialect(
        "object",
        "acpi-egm-memory",
        "NVIDIA's forks",
        "no release has it: remove the object, or run the fork that it was written for",
    ),
    Dialect(
        "machine",
        "iommu=nested-smmuv3",
        _RFC,
        "remove iommu= and add -device arm-smmuv3,primary-bus=BUS,accel=on",
    ),
    Dialect(
        "property",
        "arm-smmuv3.pasid",
        f"{_NVIDIA} and Kata's examples for Grace",
        "pasid=on is ssidsize=N with the host SMMU's own N (from 11.1 on also auto), pasid=off is ssidsize=0",
    ),
    Dialect("property", "arm-smmuv3.tegra241-cmdqv", _NVIDIA, "write cmdqv= (on, off or auto)", "cmdqv"),
    Dialect("property", "arm-smmuv3.pci-bus", _RFC, "write primary-bus=", "primary-bus"),
    Dialect("property", "arm-smmuv3.ssidSize", "KubeVirt's spelling", "write ssidsize=", "ssidsize"),
    Dialect("property", "arm-smmuv3.ssid-size", _RFC, "write ssidsize=", "ssidsize"),
    Dialect("property", "arm-smmuv3.nested", _RFC, "write accel=on", "accel"),
    Dialect(
        "property",
        "arm-smmuv3.ssidsize",
        "QEMU's releases from 11.0 on",
        "write pasid=on, which is 16 bits, or pasid=off: this fork has no other sizes",
        fork="nvidia-10.1",
    ),
    *(
        Dialect(
            "property",
            f"arm-smmuv3.{name}",
            "builds of NVIDIA's 10.1.0+nvidia",
            f"some builds of this fork say {name}, some {other}, both with on or off alone",
            fork="nvidia-10.1",
        )
        for name, other in (("cmdqv", "tegra241-cmdqv"), ("tegra241-cmdqv", "cmdqv"))
    ),
    Dialect("property", "iommufd.nested", "a draft of libvirt's format", "remove it: accel=on is what nests"),
)  # fmt: skip

#: Every row by the QEMU that lacks the name (a fork's, or empty), kind and name.
DIALECTS: Final[Mapping[tuple[str, Kind, str], Dialect]] = {
    (row.fork, row.kind, row.name): row for row in _TABLE
}


def dialect(kind: Kind, name: str, qemu: Qemu | None = None) -> Dialect | None:
    """The row for a name that a QEMU does not have; None if nobody is known to write it."""
    fork = str(qemu) if qemu is not None and qemu.fork is not None else ""
    return DIALECTS.get((fork, kind, name)) or DIALECTS.get(("", kind, name))
