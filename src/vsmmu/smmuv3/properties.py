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
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from vsmmu.smmuv3.fields import OAS_BITS, Field, field, oas_code

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["AUTO", "PROPERTIES", "REGISTER_PROPERTIES", "Auto", "Property", "Value"]

Auto = Literal["auto"]
AUTO: Final[Auto] = "auto"
#: What a property can be set to: a number in the property's own unit, or ``auto``.
Value = int | Auto

_SWITCH: Final[Mapping[str, Value]] = MappingProxyType({"on": 1, "off": 0, "auto": AUTO})


class Property(NamedTuple):
    """One property.

    :param name: QEMU's name, which is libvirt's attribute too.
    :param source: the field of the host SMMU that bounds it; empty for ``cmdqv``, which has no ID bit.
    :param spellings: what QEMU's parser takes, exactly (QAPI enums match the case), and what each means.
    :param pinnable: the numbers that may stand in a configuration *and* get past realize, ascending.
    :param safe: the number that every host can satisfy, for ``--assume-safe``.
    :param software: what QEMU's SMMU offers without acceleration, which was the default before ``auto``.
    :param old_spellings: attribute names of libvirt drafts that were never merged; 12.8 drops them silently.
    :param title: what it switches or sizes, in a few words.
    """

    name: str
    source: str
    spellings: Mapping[str, Value]
    pinnable: tuple[int, ...]
    safe: int
    software: int
    old_spellings: tuple[str, ...]
    title: str

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
        """Write a value as QEMU and libvirt do: ``on``, ``off``, ``auto`` or a decimal number."""
        if value == AUTO:
            return AUTO
        if self.is_switch:
            return "on" if value else "off"
        return str(value)

    def spell_code(self, code: int) -> str:
        """Write the content of its register field as QEMU does."""
        return self.spell(self.from_code(code))

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


_ATS = Property("ats", "IDR0.ATS", _SWITCH, (0, 1), 0, 0, (), "Address Translation Services")
_RIL = Property("ril", "IDR3.RIL", _SWITCH, (0, 1), 0, 1, (), "range invalidation")
_SSIDSIZE = Property(
    "ssidsize",
    "IDR1.SSIDSIZE",
    MappingProxyType({AUTO: AUTO, **{str(bits): bits for bits in range(21)}}),
    tuple(range(21)),
    0,
    0,
    ("ssidSize", "ssid_size"),
    "SubstreamID (PASID) bits",
)
# The enum knows more sizes than realize implements.
_OAS = Property(
    "oas",
    "IDR5.OAS",
    MappingProxyType({AUTO: AUTO, **{str(bits): bits for bits in OAS_BITS.values()}}),
    (44, 48),
    44,
    44,
    (),
    "output address bits",
)
_CMDQV = Property("cmdqv", "", _SWITCH, (0, 1), 0, 0, (), "NVIDIA Tegra241 command queue virtualization")

#: All five, in the order in which vsmmu appends them to a device.
PROPERTIES: Final[Mapping[str, Property]] = MappingProxyType(
    {entry.name: entry for entry in (_ATS, _RIL, _SSIDSIZE, _OAS, _CMDQV)}
)
#: The four that QEMU resolves from an ID register, and whose ``auto`` needs a cold-plugged device.
REGISTER_PROPERTIES: Final[tuple[Property, ...]] = (_ATS, _RIL, _SSIDSIZE, _OAS)
