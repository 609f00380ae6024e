# SPDX-License-Identifier: Apache-2.0
"""Features that a VM may use, with the least Linux, configuration, QEMU and libvirt of each: one table.

Sources: Linux by the releases that brought the interfaces (include/uapi/linux/iommufd.h, vfio.h) and by the
Kconfig symbols of 7.3; QEMU by "Since" in qapi/qom.json of 10.2.2 and the QMP reference of 11.1.3 (9.0:
IOMMUFDProperties, AcpiGenericInitiatorProperties), its change logs of 10.0, 10.2 and 11.0, and the commits of
the ``auto`` series (11.1); libvirt by the news and the documentation ("Since") of 12.8. An empty place needs
nothing.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from vsmmu.named_tuple import NamedTuple
from vsmmu.smmuv3.properties import ACCEL_SINCE, AUTO_SINCE, LIBVIRT_SINCE, PROPERTIES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vsmmu.versions import Version

__all__ = ["FEATURES", "Feature"]


class Feature(NamedTuple):
    """Something that a VM may use, and the first releases that have it.

    :param id: stable name, for documents.
    :param title: the same as people write it in a VM.
    :param kernel: the host's Linux; None where any will do.
    :param config: option of the kernel's configuration; empty where none is needed.
    :param decisive: whether a kernel that has this option has the feature, whatever its release (distributors
        bring features to older releases, and their options with them).
    :param libvirt: the libvirt that writes it; None where it has nothing to do with it.
    :param libvirt_seen: a libvirt that writes it, where the first one is not known.
    """

    id: str
    title: str
    kernel: Version | None = None
    config: str = ""
    decisive: bool = True
    qemu: Version | None = None
    libvirt: Version | None = None
    libvirt_seen: Version | None = None


_ROWS: Final = (
    # QEMU's vfio-pci has taken it since there is the object (5ee3dc7af785).
    Feature("iommufd", "iommufd", (6, 2), "CONFIG_IOMMUFD", qemu=(9, 0), libvirt=(12, 1)),
    # The object for the whole domain, with descriptors that a manager passes in.
    Feature("domain-iommufd", "<iommufd enabled='yes'/>", libvirt=(12, 2)),
    # iommufd reaches a function by its own device file alone.
    Feature("cdev", "vfio-pci,iommufd=", (6, 6), "CONFIG_VFIO_DEVICE_CDEV", qemu=(9, 0), libvirt=(12, 1)),
    # Since then with primary-bus; the type itself is older, and not for users.
    Feature("vsmmu", "arm-smmuv3", qemu=(10, 2), libvirt=(11, 10)),
    Feature(
        "accel", "accel=on", (6, 13), "CONFIG_ARM_SMMU_V3_IOMMUFD",
        qemu=ACCEL_SINCE, libvirt=LIBVIRT_SINCE,
    ),
    # libvirt has no word for it: what it leaves out, QEMU takes for auto.
    Feature("auto", "auto", qemu=AUTO_SINCE),
    # The option is older (6.12) than the queues' way into a VM.
    Feature(
        "cmdqv", "cmdqv=on", (6, 17), "CONFIG_TEGRA241_CMDQV", decisive=False,
        qemu=PROPERTIES["cmdqv"].since, libvirt=LIBVIRT_SINCE,
    ),
    Feature("generic-initiators", "acpi-generic-initiator", qemu=(9, 0), libvirt=(11, 8)),
    # libvirt: <pcihole64> of pcie-root; measured with 12.8.
    Feature("mmio-window", "highmem-mmio-size", qemu=(10, 0), libvirt_seen=(12, 8)),
    # No release lifts it: the kernel gives functions that must stay mapped 1:1 to no VM.
    Feature("not-direct-mapped", "functions not mapped 1:1"),
)  # fmt: skip
#: All rows by their ids, in the order in which a start meets them.
FEATURES: Final[Mapping[str, Feature]] = MappingProxyType({row.id: row for row in _ROWS})
