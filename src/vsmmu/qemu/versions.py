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

    from vsmmu.qemu.forks import Fork

__all__ = [
    "FORK_RELEASES",
    "LATEST",
    "RELEASES",
    "VERSIONED",
    "MachineType",
    "Qemu",
    "is_vendor_machine",
    "is_version",
    "machine_type",
    "newer_than_known",
    "packaged_fork",
    "parse_version",
]

#: Defaults before the ``auto`` series, kept for old machine types by compat properties afterwards.
_FIXED: Final[Mapping[str, Value]] = MappingProxyType(
    {entry.name: entry.software for entry in REGISTER_PROPERTIES}
)
_AUTO: Final[Mapping[str, Value]] = MappingProxyType(dict.fromkeys(_FIXED, AUTO))

#: How alike a misspelt name has to be, for difflib.
_LIKENESS: Final = 0.8

#: A release removes the machine types of the release six major versions back (include/hw/boards.h).
_MAJORS_KEPT: Final = 6

#: How a fork is called: ``nvidia-10.1``, and ``10.1.0+nvidia2`` as its packages are.
_FORK: Final = r"(?!qemu|v\d)([a-z]+)[-_ ]?(\d{1,3})\.(\d{1,3})(?:\.\d{1,3})?|nvidia"
_PACKAGE: Final = r"(\d{1,3})\.(\d{1,3})(?:\.\d{1,3})?\+([a-z]+)"
#: What begins the names of Arm's virt machines but ``virt`` itself; Proxmox writes ``virt+pve0``.
VERSIONED: Final = ("virt-", "virt+")
_DIGITS: Final = r"(\d{1,3})\.(\d{1,3})(?:\.(\d{1,3}))?"
#: What distributions put behind ``virt-``: words and numbers with single marks between them, a word at least.
_VENDOR: Final = r"(?=.*[A-Za-z]{2}|.*\+)[A-Za-z0-9]+([.+_-][A-Za-z0-9]+)*"


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
    :param vendor: whose fork it is; empty for a release of QEMU's own.
    :param checks_ril: whether the host may have more range invalidation than the vSMMU; None where a build
        may ask for the same.
    :param defaults_known: whether it is known what an ``arm-smmuv3`` has where nothing is written.
    :param features_of: the release whose features it has, where that is another than its version.
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
    vendor: str = ""
    checks_ril: bool | None = True
    defaults_known: bool = True
    features_of: Version | None = None
    own_table: Callable[[], bytes] | None = None

    def __str__(self) -> str:
        version = spell_version(self.version)
        return f"{self.vendor}-{version}" if self.vendor else version

    @property
    def virt(self) -> str:
        """Its newest machine type, which ``virt`` stands for."""
        return f"virt-{spell_version(self.version)}"

    @property
    def fork(self) -> Fork | None:
        """The row of the fork that it is; None for a release of QEMU's own."""
        if not self.vendor:
            return None
        from vsmmu.qemu.forks import FORKS  # the start of a VM on a release needs none of them

        return FORKS[str(self)]

    @property
    def properties(self) -> Mapping[str, Property]:
        """The five properties by vsmmu's names, with the names and values that this QEMU has for them."""
        return self.fork.properties if self.fork is not None else PROPERTIES

    def property_of(self, option: str) -> Property | None:
        """The property that this QEMU calls ``option``; None if it is none of the five."""
        return next((entry for entry in self.properties.values() if entry.option == option), None)

    def defaults(self, machine: Version) -> Mapping[str, Value]:
        """The value of each property of the device when nothing is written, on ``virt-MACHINE``."""
        if not self.has_accel:
            return MappingProxyType({})
        # Where it is not known, auto stands for it: that alone leaves every value open.
        kept = machine >= AUTO_SINCE or not self.defaults_known
        registers = _AUTO if self.has_auto and kept else _FIXED
        cmdqv = AUTO if self.has_auto else PROPERTIES["cmdqv"].software
        return MappingProxyType({**registers, "cmdqv": cmdqv}) if self.has_cmdqv else registers

    @property
    def features(self) -> Version:
        """The release of QEMU's own that knows the same names."""
        return self.features_of or self.version

    def has(self, entry: Property) -> bool:
        """Whether the device has this property."""
        return self.has_accel if entry.source else self.has_cmdqv

    def accepts_auto(self, name: str) -> bool:
        """Whether a device with ``NAME=auto`` gets past realize."""
        return self.has_auto and self.has(self.properties[name])


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
#: NVIDIA's forks, see :mod:`vsmmu.qemu.forks`. 10.1 came before QEMU's own ``accel``; 11.0 has what 11.1 has
#: of the vSMMU, but machine types of 11.0, of whose defaults nobody knows whether they are ``auto``.
FORK_RELEASES: Final = (
    _release((10, 1), has_vfio_ats=False, checks_ats=None)._replace(
        vendor="nvidia", has_accel=True, checks_ril=None, features_of=ACCEL_SINCE
    ),
    _release((11, 0), has_vfio_ats=False, checks_ats=True)._replace(
        vendor="nvidia",
        has_auto=True,
        has_cmdqv=True,
        defaults_known=False,
        features_of=AUTO_SINCE,
    ),
)
_MODELLED: Final = ", ".join(str(release) for release in (*RELEASES, *FORK_RELEASES))


def newer_than_known(qemu: Qemu) -> str:
    """The sentence on a version that is newer than any that was looked at."""
    return f"QEMU {qemu} is newer than what was looked at: the rules of the newest known are used"


class MachineType(NamedTuple):
    """A ``virt`` machine type: the version whose defaults it keeps, and its full name."""

    version: Version
    name: str


def parse_version(text: str) -> Qemu:
    """The release for ``11.1``, ``11.1.3``, ``nvidia-10.1`` or a line with a version (``qemu --version``).

    A version newer than the newest modelled one behaves as that, with ``modelled`` false.

    :raise UsageError: ``qemu-version``: no version in ``text``, or one before 10.2, which has no
        user-creatable ``arm-smmuv3``.
    """
    fork = _fork(text)
    if fork is not None:
        return fork
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


def is_version(text: str) -> bool:
    """Whether ``text`` is written as a version or the name of a fork's is, and not as a binary's."""
    return "/" not in text and (text[:1].isdigit() or re.fullmatch(_FORK, text.lower()) is not None)


def _fork(text: str) -> Qemu | None:
    """The release of a fork that a text names; None if it names none.

    :raise UsageError: ``qemu-version``: a fork, or a release of one, that is not known.
    """
    named = re.fullmatch(_FORK, text.strip().lower())
    if named is None:
        return packaged_fork(text)
    wanted = f"{named[1]}-{int(named[2])}.{int(named[3])}" if named[1] else ""
    for release in FORK_RELEASES:
        if str(release) == wanted:
            return release
    from difflib import get_close_matches

    likely = next(iter(get_close_matches(text.lower(), map(str, FORK_RELEASES), n=1, cutoff=_LIKENESS)), "")
    raise UsageError(
        "qemu-version",
        f"{text!r:.80} is no QEMU version",
        why=f"forks that are known: {', '.join(map(str, FORK_RELEASES))}",
        next=f"did you mean {likely}?" if likely else f"give one of {_MODELLED}, or a binary",
    )


def packaged_fork(text: str) -> Qemu | None:
    """The release of a fork whose package a text names, as ``qemu --version`` does; None for any other."""
    match = re.search(_PACKAGE, text)
    wanted = f"{match[3]}-{int(match[1])}.{int(match[2])}" if match is not None else ""
    return next((release for release in FORK_RELEASES if str(release) == wanted), None)


def machine_type(name: str, qemu: Qemu) -> MachineType | None:
    """The machine type called ``name``; ``virt`` is the newest that ``qemu`` has.

    None if it is not an Arm ``virt`` machine, or one that this QEMU does not have yet, or any more.
    """
    if name == "virt":
        return MachineType(qemu.version, qemu.virt)
    match = re.fullmatch(_DIGITS, name.removeprefix("virt-")) if name.startswith("virt-") else None
    version = (int(match[1]), int(match[2])) if match is not None else (0, 0)
    oldest = (qemu.version[0] - _MAJORS_KEPT, qemu.version[1])
    is_one = name == f"virt-{spell_version(version)}" and oldest < version <= qemu.version
    return MachineType(version, name) if is_one else None


def is_vendor_machine(name: str) -> bool:
    """Whether a machine type is a distribution's own ``virt``: ``virt-rhel9.8.0``, ``virt+pve0``."""
    return name.startswith(VERSIONED) and bool(re.fullmatch(_VENDOR, name.removeprefix("virt-")))
