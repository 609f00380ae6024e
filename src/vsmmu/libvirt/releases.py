# SPDX-License-Identifier: Apache-2.0
"""Which versions of libvirt and QEMU know what a domain uses, and what they take for what it leaves out."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from vsmmu.errors import UsageError
from vsmmu.machine.features import FEATURES
from vsmmu.named_tuple import NamedTuple
from vsmmu.smmuv3.properties import (
    ACCEL_SINCE,
    AUTO,
    AUTO_SINCE,
    LIBVIRT_SINCE,
    PROPERTIES,
    REGISTER_PROPERTIES,
)
from vsmmu.versions import LATEST_LIBVIRT, Version, spell_version

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from vsmmu.machine.domain.elements import Element
    from vsmmu.machine.domain.iommu import Iommu
    from vsmmu.machine.domain.reader import DomainReading

__all__ = ["missing_features", "parse_libvirt_version"]

_VERSION: Final = r"(\d{1,3})\.(\d{1,3})(?:\.\d{1,3})?"
_MACHINE: Final = r"virt-(\d{1,3})\.(\d{1,3})"


class _Used(NamedTuple):
    """Something a domain uses, and the first versions that have it; None where none is needed."""

    name: str
    libvirt: Version | None
    qemu: Version | None


#: Attributes that came to QEMU with ``accel``, and attributes that came later.
_EARLY: Final = [entry.name for entry in PROPERTIES.values() if entry.since == ACCEL_SINCE]
_LATER: Final = [entry.name for entry in PROPERTIES.values() if entry.since > ACCEL_SINCE]


def _used_row(name: str, feature: str) -> _Used:
    """A row of the table of features, by the name that it has in a domain."""
    row = FEATURES[feature]
    return _Used(name, row.libvirt, row.qemu)


_PLUGGABLE: Final = _used_row("<iommu> with pciBus", "vsmmu")
_ACCEL: Final = _used_row(f"accel, {', '.join(_EARLY)} and {', '.join(_LATER)}", "accel")
_HOSTDEV_IOMMUFD: Final = _used_row("<driver iommufd='yes'/>", "cdev")
_DOMAIN_IOMMUFD: Final = _used_row("<iommufd enabled='yes'/>", "domain-iommufd")


def parse_libvirt_version(text: str) -> Version:
    """``12.8`` or ``12.8.0``.

    :raise UsageError: ``libvirt-version``.
    """
    match = re.fullmatch(_VERSION, text)
    if match is None:
        raise UsageError(
            "libvirt-version",
            f"{text!r:.60} is no libvirt version",
            next=f"give one as {spell_version(LATEST_LIBVIRT)}",
        )
    return int(match[1]), int(match[2])


def missing_features(
    reading: DomainReading, smmus: Sequence[Iommu], libvirt: Version, qemu: Version
) -> Iterator[tuple[Element, str, dict[str, object]]]:
    """Element, rule and values for everything that these versions lack."""
    for element, feature in _used(reading, smmus):
        for program, needed, version in (
            ("libvirt", feature.libvirt, libvirt),
            ("qemu", feature.qemu, qemu),
        ):
            if needed is not None and version < needed:
                values: dict[str, object] = {
                    "feature": feature.name,
                    "needed": spell_version(needed),
                    "version": spell_version(version),
                }
                yield element, f"{program}-too-old", values
    yield from _fixed_defaults(reading, smmus, qemu)


def _used(reading: DomainReading, smmus: Iterable[Iommu]) -> Iterator[tuple[Element, _Used]]:
    for iommu in smmus:
        element = iommu.driver or iommu.element
        if iommu.pci_bus:
            yield element, _PLUGGABLE
        if set(iommu.passed_on) - {"pciBus", *_LATER}:
            yield element, _ACCEL
        for name in _LATER:
            if iommu.passed_on.get(name, AUTO) != AUTO:
                yield element, _Used(name, LIBVIRT_SINCE, PROPERTIES[name].since)
    for hostdev in reading.hostdevs:
        if hostdev.element.value("driver", "iommufd") == "yes":
            yield hostdev.element, _HOSTDEV_IOMMUFD
    whole = reading.root.find("iommufd")
    if whole is not None and whole.get("enabled") == "yes":
        yield whole, _DOMAIN_IOMMUFD


def _fixed_defaults(
    reading: DomainReading, smmus: Iterable[Iommu], qemu: Version
) -> Iterator[tuple[Element, str, dict[str, object]]]:
    machine = reading.machine.machine_type
    match = re.fullmatch(_MACHINE, machine)
    kept = (int(match[1]), int(match[2])) if match else qemu
    if min(qemu, kept) < AUTO_SINCE:
        version = f"QEMU {spell_version(qemu)}" if qemu < AUTO_SINCE else machine
        for iommu in smmus:
            names = [
                entry.name
                for entry in REGISTER_PROPERTIES
                if iommu.passed_on.get(entry.name, AUTO) == AUTO and iommu.accelerated and iommu.pci_bus
            ]
            if names:
                fixed: dict[str, object] = {"names": ", ".join(names), "version": version}
                yield iommu.driver or iommu.element, "defaults-fixed", fixed
