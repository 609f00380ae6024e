# SPDX-License-Identifier: Apache-2.0
"""The eight identification registers of one SMMU as a value: decode, change and encode fields."""

from __future__ import annotations

from vsmmu.named_tuple import NamedTuple
from vsmmu.smmuv3.fields import REGISTERS, field, fields_of

__all__ = ["DecodedField", "IdRegisters"]


class DecodedField(NamedTuple):
    """One field with its value, as :meth:`IdRegisters.decode` lists it."""

    key: str
    bits: str
    value: int
    meaning: str
    title: str


class IdRegisters(NamedTuple):
    """The words of ``struct iommu_hw_info_arm_smmuv3``; each is an unsigned 32-bit register.

    Attribute names are lower case; the registers' own names (``IDR0``) index by :meth:`word`.
    """

    idr0: int = 0
    idr1: int = 0
    idr2: int = 0
    idr3: int = 0
    idr4: int = 0
    idr5: int = 0
    iidr: int = 0
    aidr: int = 0

    def word(self, register: str) -> int:
        """The register called ``register`` (``IDR0`` .. ``IDR5``, ``IIDR``, ``AIDR``)."""
        word: int = getattr(self, register.lower())
        return word

    def get(self, key: str) -> int:
        """The field called ``key``, such as ``IDR1.SSIDSIZE``."""
        entry = field(key)
        return entry.decode(self.word(entry.register))

    def replace(self, key: str, value: int) -> IdRegisters:
        """A copy in which the field called ``key`` is ``value``.

        :raise ValueError: if ``value`` does not fit.
        """
        entry = field(key)
        return self._replace(**{entry.register.lower(): entry.encode(self.word(entry.register), value)})

    def decode(self, register: str) -> tuple[DecodedField, ...]:
        """Every named field of ``register``, from bit 0 up."""
        word = self.word(register)
        return tuple(
            DecodedField(entry.key, entry.bits, value, entry.meaning(value), entry.title)
            for entry in fields_of(register)
            for value in (entry.decode(word),)
        )

    def as_dict(self) -> dict[str, str]:
        """Register names to eight-digit hex words, as facts files and JSON answers spell them."""
        return {name: f"{self.word(name):#010x}" for name in REGISTERS}
