# SPDX-License-Identifier: Apache-2.0
"""QEMU versions and machine types: one table of their features and defaults.

Sources: 10.2 and 11.0 from the commits before the ``auto`` series (7e88c1a9d0, d21a442a5a), 11.1 from
86ec6639b1, e61f8d1138 and fced8da695, all in qemu/qemu; 11.1.3 also measured.
"""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from vsmmu.errors import UsageError
from vsmmu.named_tuple import NamedTuple
from vsmmu.smmuv3.properties import (
    ACCEL_SINCE,
    AUTO,
    AUTO_SINCE,
    PROPERTIES,
    REGISTER_PROPERTIES,
    Property,
    Value,
)
from vsmmu.versions import LATEST_QEMU, Version, spell_version

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = [
    "LATEST",
    "RELEASES",
    "MachineType",
    "Qemu",
    "is_vendor_machine",
    "machine_type",
    "newer_than_known",
    "parse_version",
]

#: Defaults before the ``auto`` series, kept for old machine types by compat properties afterwards.
_FIXED: Final[Mapping[str, Value]] = MappingProxyType(
    {entry.name: entry.software for entry in REGISTER_PROPERTIES}
)
_AUTO: Final[Mapping[str, Value]] = MappingProxyType(dict.fromkeys(_FIXED, AUTO))

#: A release removes the machine types of the release six major versions back (include/hw/boards.h).
_MAJORS_KEPT: Final = 6

_DIGITS: Final = r"(\d{1,3})\.(\d{1,3})(?:\.(\d{1,3}))?"
#: What distributions put behind ``virt-``: words and numbers with single marks between them.
_VENDOR: Final = r"[A-Za-z0-9]+([.+_-][A-Za-z0-9]+)*"


class Qemu(NamedTuple):
    """One QEMU release as far as it bears on ``arm-smmuv3``.

    :param version: major and minor, such as ``(11, 1)``.
    :param has_accel: whether ``accel``, ``ats``, ``ril``, ``ssidsize`` and ``oas`` exist.
    :param has_auto: whether ``auto`` is accepted and resolved (before, realize refuses it).
    :param has_cmdqv: whether ``cmdqv`` exists.
    :param has_vfio_ats: whether vfio-pci has ``ats`` and masks the capability where the kernel says so.
    :param checks_ats: whether IDR0.ATS of the host is compared with the vSMMU's; None where that is not
        certain: 11.0's own sources could not be had, and trees near to it differ.
    :param modelled: false for a version that is newer than any that was looked at.
    :param lines_known: whether it is 11.1.3, of whose assertions alone the line numbers are known.
    :param has_kvm: whether the binary has KVM, as one for this machine's own architecture has; None where no
        binary was asked.
    :param accel_built: false for a binary that has ``accel`` and nothing behind it, as one without iommufd
        (``ARM_SMMUV3_ACCEL`` depends on ``IOMMUFD`` in hw/arm/Kconfig); None where that does not show.
    :param own_table: gives the table of devices of the binary that was asked, as JSON; None where only a
        version is known. It is called when a VM has a name that is not among the ordinary ones.
    """

    version: Version
    has_accel: bool
    has_auto: bool
    has_cmdqv: bool
    has_vfio_ats: bool
    checks_ats: bool | None
    modelled: bool = True
    lines_known: bool = False
    has_kvm: bool | None = None
    accel_built: bool | None = None
    own_table: Callable[[], bytes] | None = None

    def __str__(self) -> str:
        return spell_version(self.version)

    def defaults(self, machine: Version) -> Mapping[str, Value]:
        """The value of each property of the device when nothing is written, on ``virt-MACHINE``."""
        if not self.has_accel:
            return MappingProxyType({})
        registers = _AUTO if self.has_auto and machine >= AUTO_SINCE else _FIXED
        return MappingProxyType({**registers, "cmdqv": AUTO}) if self.has_cmdqv else registers

    def has(self, entry: Property) -> bool:
        """Whether the device has this property."""
        return self.has_accel if entry.source else self.has_cmdqv

    def accepts_auto(self, name: str) -> bool:
        """Whether a device with ``NAME=auto`` gets past realize."""
        return self.has_auto and self.has(PROPERTIES[name])


def _release(version: Version, *, has_vfio_ats: bool, checks_ats: bool | None) -> Qemu:
    return Qemu(
        version,
        has_accel=version >= ACCEL_SINCE,
        has_auto=version >= AUTO_SINCE,
        has_cmdqv=version >= PROPERTIES["cmdqv"].since,
        has_vfio_ats=has_vfio_ats,
        checks_ats=checks_ats,
    )


RELEASES: Final = (
    _release((10, 2), has_vfio_ats=False, checks_ats=False),
    _release((11, 0), has_vfio_ats=False, checks_ats=None),
    _release(LATEST_QEMU, has_vfio_ats=True, checks_ats=True)._replace(lines_known=True),
)
#: The newest release that the model was held against: 11.1.3.
LATEST: Final = RELEASES[-1]
_LATEST_PATCH: Final = 3
_MODELLED: Final = ", ".join(str(release) for release in RELEASES)


def newer_than_known(qemu: Qemu) -> str:
    """The sentence on a version that is newer than any that was looked at."""
    return f"QEMU {qemu} is newer than what was looked at: the rules of the newest known are used"


class MachineType(NamedTuple):
    """A ``virt`` machine type: the version whose defaults it keeps, and its full name."""

    version: Version
    name: str


def parse_version(text: str) -> Qemu:
    """The release for ``11.1``, ``11.1.3`` or a line with a version in it (``qemu --version``).

    A version newer than the newest modelled one behaves as that, with ``modelled`` false.

    :raise UsageError: ``qemu-version``: no version in ``text``, or one before 10.2, which has no
        user-creatable ``arm-smmuv3``.
    """
    match = re.search(_DIGITS, text)
    if match is None:
        raise UsageError(
            "qemu-version", f"{text!r:.80} is no QEMU version", next=f"give one of {_MODELLED}, or a binary"
        )
    version = (int(match[1]), int(match[2]))
    if version > LATEST.version:
        return LATEST._replace(version=version, modelled=False, lines_known=False)
    for release in RELEASES:
        if release.version == version:
            measured = match[3] is not None and int(match[3]) == _LATEST_PATCH
            return release._replace(lines_known=release.lines_known and measured)
    name = spell_version(version)
    raise UsageError(
        "qemu-version",
        f"QEMU {name} is not modelled",
        why="before 10.2 there is no arm-smmuv3 device, and 11.0 is the first with accel=on",
        next=f"give one of {_MODELLED}",
    )


def machine_type(name: str, qemu: Qemu) -> MachineType | None:
    """The machine type called ``name``; ``virt`` is the newest that ``qemu`` has.

    None if it is not an Arm ``virt`` machine, or one that this QEMU does not have yet, or any more.
    """
    if name == "virt":
        return MachineType(qemu.version, f"virt-{qemu}")
    match = re.fullmatch(_DIGITS, name.removeprefix("virt-")) if name.startswith("virt-") else None
    if match is None or name.count(".") != 1:
        return None
    version = (int(match[1]), int(match[2]))
    oldest = (qemu.version[0] - _MAJORS_KEPT, qemu.version[1])
    return MachineType(version, name) if oldest < version <= qemu.version else None


def is_vendor_machine(name: str) -> bool:
    """Whether a machine type is a distribution's own ``virt`` (``virt-rhel9.8.0``, ``virt-11.0+pve0``)."""
    rest = name.removeprefix("virt-")
    if rest == name or not re.fullmatch(_VENDOR, rest):
        return False
    return name.count(".") != 1 or not re.fullmatch(_DIGITS, rest)
