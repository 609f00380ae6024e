# SPDX-License-Identifier: Apache-2.0
"""The five host-dependent properties of ``arm-smmuv3,accel=on``, as one table for all readers and printers.

Inside vsmmu a value is an ``int`` with a natural order, so that "no more than any host offers" is ``min``:
``ats``, ``ril`` and ``cmdqv`` are 0 or 1, ``ssidsize`` and ``oas`` count bits. ``AUTO`` stands for a value
that QEMU is to find out by itself. How a value is spelt is a matter of this table alone.

Sources: QEMU ``hw/arm/smmuv3.c`` and ``qapi/misc-arm.json`` (commit fced8da695, version 11.1); libvirt 12.8
``domaincommon.rng``; the registers are those of :mod:`vsmmu.smmuv3.fields`.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal

from vsmmu.named_tuple import NamedTuple
from vsmmu.smmuv3.fields import OAS_BITS, Field, field, oas_code

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vsmmu.versions import Version

__all__ = [
    "ACCEL_SINCE",
    "AUTO",
    "AUTO_SINCE",
    "LIBVIRT_ORDER",
    "LIBVIRT_SINCE",
    "PROPERTIES",
    "REALIZE_ORDER",
    "REGISTER_PROPERTIES",
    "Auto",
    "Property",
    "Value",
]

Auto = Literal["auto"]
AUTO: Final[Auto] = "auto"
#: What a property can be set to: a number in the property's own unit, or ``auto``.
Value = int | Auto

#: The QEMU that brought ``accel``, and the one whose ``auto`` works and is the default of its machine type.
ACCEL_SINCE: Final[Version] = (11, 0)
AUTO_SINCE: Final[Version] = (11, 1)
#: The libvirt that brought ``accel`` and all five as attributes of ``<driver>``.
LIBVIRT_SINCE: Final[Version] = (12, 7)

_SWITCH: Final[Mapping[str, Value]] = MappingProxyType({"on": 1, "off": 0, "auto": AUTO})


class Property(NamedTuple):
    """One property.

    :param name: QEMU's name, which is libvirt's attribute too.
    :param source: the field of the host SMMU that bounds it; empty for ``cmdqv``, which has no ID bit.
    :param spellings: what QEMU's parser takes, exactly (QAPI enums match the case), and what each means.
    :param pinnable: the numbers that may stand in a configuration *and* get past realize, ascending.
    :param safe: the number that every host can satisfy, for ``--assume-safe``.
    :param software: what QEMU's SMMU offers without acceleration, which was the default before ``auto``;
        every other number needs ``accel=on``.
    :param since: the QEMU that brought it.
    :param title: what it switches or sizes, in a few words.
    :param accel_message: the row of :mod:`vsmmu.qemu.texts` for a number that needs ``accel=on``, without it.
    :param host_message: the row for a number that is more than the host SMMU offers.
    :param unimplemented_message: the row for a number that the parser takes and realize does not; empty if
        there is none.
    :param libvirt_unset: the number that libvirt takes for *not written*; None if it has none.
    :param old_spellings: attribute names of libvirt drafts that were never merged; 12.8 drops them silently.
    :param kind: the type that QEMU's property has: ``bool`` and ``uint8`` in forks alone.
    :param fork_option: what a fork of QEMU calls it; empty where it has the same name.
    """

    name: str
    source: str
    spellings: Mapping[str, Value]
    pinnable: tuple[int, ...]
    safe: int
    software: int
    since: Version
    title: str
    accel_message: str
    host_message: str
    unimplemented_message: str = ""
    libvirt_unset: int | None = None
    old_spellings: tuple[str, ...] = ()
    kind: str = "OnOffAuto"
    fork_option: str = ""

    @property
    def option(self) -> str:
        """What this QEMU calls it, which is what stands on its command line."""
        return self.fork_option or self.name

    @property
    def takes_auto(self) -> bool:
        """Whether QEMU's parser takes ``auto``; realize may refuse it all the same."""
        return AUTO in self.spellings

    @property
    def is_switch(self) -> bool:
        """Whether the values are on and off."""
        return "on" in self.spellings

    @property
    def source_field(self) -> Field:
        """The register field behind the property.

        :raise KeyError: for ``cmdqv``.
        """
        return field(self.source)

    def parse(self, text: str) -> Value:
        """Read QEMU's spelling.

        :raise ValueError: if QEMU's parser would not take ``text``.
        """
        try:
            return self.spellings[text]
        except KeyError:
            raise ValueError(f"{self.name} does not take {text!r}") from None

    def spell(self, value: Value) -> str:
        """Write a value as QEMU and libvirt do: ``on``, ``off``, ``auto`` or a decimal number.

        A number that cannot be written, as the 20 bits of a host for a switch of 16, stays a number.
        """
        return next((text for text, held in self.spellings.items() if held == value), str(value))

    def spell_code(self, code: int) -> str:
        """Write the content of its register field as QEMU does."""
        return self.spell(self.from_code(code))

    def needs_accel(self, value: Value | None) -> bool:
        """Whether QEMU takes this value only with ``accel=on``."""
        return isinstance(value, int) and value in self.pinnable and value != self.software

    def from_code(self, code: int) -> int:
        """The property's number for the content of its register field (IDR5.OAS holds a code)."""
        return OAS_BITS[code] if self.name == "oas" else code

    def to_code(self, value: int) -> int:
        """The content of the register field for a number of the property.

        :raise ValueError: if there is no code for it.
        """
        return oas_code(value) if self.name == "oas" else value

    def best_pin(self, limit: int) -> int | None:
        """The largest number that can be pinned on a host that offers ``limit``; None if there is none.

        QEMU's own ``auto`` copies the raw field, so it can reach values that cannot be written down:
        an OAS below 44 bits, or more than 20 SSID bits.
        """
        return max((value for value in self.pinnable if value <= limit), default=None)


_ATS = Property(
    "ats",
    "IDR0.ATS",
    _SWITCH,
    pinnable=(0, 1),
    safe=0,
    software=0,
    since=ACCEL_SINCE,
    title="Address Translation Services",
    accel_message="qemu-ats-accel",
    host_message="qemu-ats",
)
_RIL = Property(
    "ril",
    "IDR3.RIL",
    _SWITCH,
    pinnable=(0, 1),
    safe=0,
    software=1,
    since=ACCEL_SINCE,
    title="range invalidation",
    accel_message="qemu-ril-accel",
    host_message="qemu-ril",
)
_SSIDSIZE = Property(
    "ssidsize",
    "IDR1.SSIDSIZE",
    MappingProxyType({AUTO: AUTO, **{str(bits): bits for bits in range(21)}}),
    pinnable=tuple(range(21)),
    safe=0,
    software=0,
    since=ACCEL_SINCE,
    title="SubstreamID (PASID) bits",
    accel_message="qemu-ssidsize-accel",
    host_message="qemu-ssidsize",
    libvirt_unset=-1,
    old_spellings=("ssidSize", "ssid_size"),
    kind="SsidSizeMode",
)
_OAS = Property(
    "oas",
    "IDR5.OAS",
    MappingProxyType({AUTO: AUTO, **{str(bits): bits for bits in OAS_BITS.values()}}),
    pinnable=(44, 48),
    safe=44,
    software=44,
    since=ACCEL_SINCE,
    title="output address bits",
    accel_message="qemu-oas-accel",
    host_message="qemu-oas",
    unimplemented_message="qemu-oas-not-implemented",  # the enum knows more sizes than realize implements
    libvirt_unset=-1,
    kind="OasMode",
)
_CMDQV = Property(
    "cmdqv",
    "",
    _SWITCH,
    pinnable=(0, 1),
    safe=0,
    software=0,
    since=(11, 1),
    title="NVIDIA Tegra241 command queue virtualization",
    accel_message="qemu-cmdqv-accel",
    host_message="qemu-cmdqv",
)

#: All five, in the order in which vsmmu appends them to a device.
PROPERTIES: Final[Mapping[str, Property]] = MappingProxyType(
    {entry.name: entry for entry in (_ATS, _RIL, _SSIDSIZE, _OAS, _CMDQV)}
)
#: The four that QEMU resolves from an ID register, and whose ``auto`` needs a cold-plugged device.
REGISTER_PROPERTIES: Final = tuple(entry for entry in PROPERTIES.values() if entry.source)
#: All five, in the order in which ``smmu_validate_property()`` asks whether they need ``accel=on``.
REALIZE_ORDER: Final = (_RIL, _ATS, _OAS, _SSIDSIZE, _CMDQV)
#: All five, in the order in which libvirt writes the attributes, after ``pciBus`` and ``accel``.
LIBVIRT_ORDER: Final = (_CMDQV, _ATS, _RIL, _SSIDSIZE, _OAS)
