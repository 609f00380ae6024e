# SPDX-License-Identifier: Apache-2.0
"""NVIDIA's forks of QEMU: what their ``arm-smmuv3`` calls the five properties, and what else only they have.

Sources: NVIDIA/QEMU. 10.1.0+nvidia carries the RFC of the accelerated SMMUv3 (hw/arm/smmuv3-accel.c at
de349ca90f; the properties as in the sixth version of the series); 11.0.0+nvidia4 carries the two series of
11.1 that resolve ``auto`` and bring CMDQV (debian/changelog at 961dd35894, include/hw/arm/smmuv3.h at
8b7aa48639); both have EGM (include/hw/acpi/acpi_egm_memory.h at d3d4d6f98f). No binary of either was asked.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from vsmmu.named_tuple import NamedTuple
from vsmmu.smmuv3.properties import PROPERTIES, Property, Value

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vsmmu.versions import Version

__all__ = ["FORKS", "Fork"]

_BOOL: Final[Mapping[str, Value]] = MappingProxyType({"on": 1, "off": 0})
#: ``pasid=on`` is SSIDSIZE 16, and there is nothing between that and none.
_PASID: Final[Mapping[str, Value]] = MappingProxyType({"on": 16, "off": 0})


class Fork(NamedTuple):
    """One release of a fork.

    :param properties: the five by vsmmu's names, as this release has them.
    :param doubtful: names that ``arm-smmuv3`` has in some builds, which nobody looked at.
    :param objects: types of objects that only the fork has -> members: name, type, whether it must be there.
    :param source: what its rows were read from.
    """

    vendor: str
    version: Version
    properties: Mapping[str, Property]
    doubtful: frozenset[str]
    objects: Mapping[str, tuple[tuple[str, str, bool], ...]]
    source: str


_EGM: Final = MappingProxyType({"acpi-egm-memory": (("node", "uint16", True), ("pci-dev", "str", True))})
_TABLE: Final = (
    Fork(
        "nvidia",
        (10, 1),
        MappingProxyType(
            {
                **PROPERTIES,
                "ats": PROPERTIES["ats"]._replace(kind="bool", spellings=_BOOL),
                "ril": PROPERTIES["ril"]._replace(kind="bool", spellings=_BOOL),
                "ssidsize": PROPERTIES["ssidsize"]._replace(
                    kind="bool",
                    spellings=_PASID,
                    pinnable=(0, 16),
                    fork_option="pasid",
                    accel_message="qemu-pasid-accel",
                ),
                "oas": PROPERTIES["oas"]._replace(
                    kind="uint8",
                    spellings=MappingProxyType({str(bits): bits for bits in PROPERTIES["oas"].pinnable}),
                ),
                "cmdqv": PROPERTIES["cmdqv"]._replace(kind="bool", spellings=_BOOL),
            }
        ),
        frozenset({"cmdqv", "tegra241-cmdqv"}),
        _EGM,
        "NVIDIA/QEMU at de349ca90f and the RFC of the accelerated SMMUv3, version 6",
    ),
    Fork(
        "nvidia",
        (11, 0),
        PROPERTIES,
        frozenset(),
        _EGM,
        "NVIDIA/QEMU at 8b7aa48639 and 961dd35894 (11.0.0+nvidia4)",
    ),
)
#: Every release of a fork by name, as ``--qemu`` takes it.
FORKS: Final[Mapping[str, Fork]] = MappingProxyType(
    {f"{row.vendor}-{row.version[0]}.{row.version[1]}": row for row in _TABLE}
)
