# SPDX-License-Identifier: Apache-2.0
"""Every field of the SMMUv3 identification registers, as one table.

Sources: Arm IHI 0070 (SMMUv3 architecture) section 6.3, in the spelling of QEMU's
``hw/arm/smmuv3-internal.h`` and Linux' ``drivers/iommu/arm/arm-smmu-v3/arm-smmu-v3.h``. Fields of IDR3 that
only SMMUv3.4 knows and that the sources number differently are left out on purpose: a bit without a name is
shown as reserved, a wrong name would be believed.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from vsmmu.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["FIELDS", "OAS_BITS", "REGISTERS", "Field", "field", "fields_of", "oas_code"]

#: The words that IOMMU_GET_HW_INFO returns for an SMMUv3, in the order of ``iommu_hw_info_arm_smmuv3``,
#: each with its offset in the SMMU's register page 0.
REGISTERS: Final[Mapping[str, int]] = MappingProxyType(
    {
        "IDR0": 0x00,
        "IDR1": 0x04,
        "IDR2": 0x08,
        "IDR3": 0x0C,
        "IDR4": 0x10,
        "IDR5": 0x14,
        "IIDR": 0x18,
        "AIDR": 0x1C,
    }
)


class Field(NamedTuple):
    """One bit field: bits ``msb:lsb`` of ``register``.

    ``meanings`` names the defined values; a value that it lacks is reserved. An empty mapping means that
    the field is a number.
    """

    register: str
    name: str
    msb: int
    lsb: int
    title: str
    meanings: Mapping[int, str] = MappingProxyType({})

    @property
    def key(self) -> str:
        """The field's name in facts and messages, such as ``IDR0.ATS``."""
        return f"{self.register}.{self.name}"

    @property
    def bits(self) -> str:
        """The position as the architecture writes it: ``[10]`` or ``[10:6]``."""
        return f"[{self.msb}]" if self.msb == self.lsb else f"[{self.msb}:{self.lsb}]"

    @property
    def limit(self) -> int:
        """The largest value that fits."""
        return (1 << (self.msb - self.lsb + 1)) - 1

    @property
    def mask(self) -> int:
        """The field's bits within its 32-bit register."""
        return self.limit << self.lsb

    def decode(self, word: int) -> int:
        """Take the field out of a register word."""
        return (word >> self.lsb) & self.limit

    def encode(self, word: int, value: int) -> int:
        """Put ``value`` into a register word.

        :raise ValueError: if ``value`` does not fit into the field.
        """
        if not 0 <= value <= self.limit:
            raise ValueError(f"{self.key}{self.bits} cannot hold {value}")
        return (word & ~self.mask) | (value << self.lsb)

    def meaning(self, value: int) -> str:
        """A word for ``value``; empty if the field is a plain number."""
        return self.meanings.get(value, "reserved") if self.meanings else ""

    def spell(self, value: int) -> str:
        """What ``value`` means: ``48-bit``, ``yes``, or the number itself where it is one."""
        return self.meanings.get(value, f"{value} (reserved)") if self.meanings else str(value)


_YES_NO: Final[Mapping[int, str]] = MappingProxyType({0: "no", 1: "yes"})

#: IDR5.OAS code -> bits of output address (IHI 0070, SMMU_IDR5.OAS).
OAS_BITS: Final[Mapping[int, int]] = MappingProxyType(
    {0: 32, 1: 36, 2: 40, 3: 42, 4: 44, 5: 48, 6: 52, 7: 56}
)
_OAS_CODES: Final[Mapping[int, int]] = MappingProxyType({bits: code for code, bits in OAS_BITS.items()})


def oas_code(bits: int) -> int:
    """The IDR5.OAS code for a size in bits.

    :raise ValueError: if the architecture has no code for this size.
    """
    try:
        return _OAS_CODES[bits]
    except KeyError:
        raise ValueError(f"no output address size of {bits} bits; there are {sorted(_OAS_CODES)}") from None


def _flag(register: str, bit: int, name: str, title: str) -> Field:
    return Field(register, name, bit, bit, title, _YES_NO)


def _named(register: str, msb: int, lsb: int, name: str, title: str, **meanings: str) -> Field:
    numbered = MappingProxyType({int(key[1:]): text for key, text in meanings.items()})
    return Field(register, name, msb, lsb, title, numbered)


def _number(register: str, msb: int, lsb: int, name: str, title: str) -> Field:
    return Field(register, name, msb, lsb, title)


_TABLE: Final[tuple[Field, ...]] = (
    _flag("IDR0", 0, "S2P", "stage 2 translation"),
    _flag("IDR0", 1, "S1P", "stage 1 translation"),
    _named("IDR0", 3, 2, "TTF", "translation table formats", _1="AArch32 LPAE", _2="AArch64", _3="both"),
    _flag("IDR0", 4, "COHACC", "coherent table walks and queue accesses"),
    _flag("IDR0", 5, "BTM", "broadcast TLB maintenance"),
    _named(
        "IDR0", 7, 6, "HTTU", "hardware update of table flags",
        _0="none", _1="access", _2="access and dirty", _3="access, dirty and table",
    ),
    _flag("IDR0", 8, "DORMHINT", "dormant hint"),
    _flag("IDR0", 9, "HYP", "hypervisor stage 1 contexts"),
    _flag("IDR0", 10, "ATS", "PCIe Address Translation Services"),
    _flag("IDR0", 11, "NS1ATS", "stage 1 ATS not supported with split-stage"),
    _flag("IDR0", 12, "ASID16", "16-bit ASID"),
    _flag("IDR0", 13, "MSI", "message signalled interrupts"),
    _flag("IDR0", 14, "SEV", "wake-up events"),
    _flag("IDR0", 15, "ATOS", "address translation operations"),
    _flag("IDR0", 16, "PRI", "PCIe Page Request Interface"),
    _flag("IDR0", 17, "VMW", "VMID wildcard matching"),
    _flag("IDR0", 18, "VMID16", "16-bit VMID"),
    _flag("IDR0", 19, "CD2L", "two-level context descriptor tables"),
    _flag("IDR0", 20, "VATOS", "virtual address translation operations"),
    _named(
        "IDR0", 22, 21, "TTENDIAN", "endianness of translation tables",
        _0="mixed", _2="little-endian", _3="big-endian",
    ),
    _flag("IDR0", 23, "ATSRECERR", "recording of ATS errors"),
    _named(
        "IDR0", 25, 24, "STALL_MODEL", "stall model",
        _0="stall and terminate", _1="terminate only", _2="stall only",
    ),
    _flag("IDR0", 26, "TERM_MODEL", "terminate model: CD.A must be 1"),
    _named("IDR0", 28, 27, "ST_LEVEL", "stream table", _0="linear", _1="two-level"),
    _flag("IDR0", 30, "RME_IMPL", "Realm Management Extension"),
    _number("IDR1", 5, 0, "SIDSIZE", "StreamID bits"),
    _number("IDR1", 10, 6, "SSIDSIZE", "SubstreamID (PASID) bits"),
    _number("IDR1", 15, 11, "PRIQS", "log2 of the PRI queue's entries"),
    _number("IDR1", 20, 16, "EVENTQS", "log2 of the event queue's entries"),
    _number("IDR1", 25, 21, "CMDQS", "log2 of the command queue's entries"),
    _flag("IDR1", 26, "ATTR_PERMS_OVR", "override of permissions"),
    _flag("IDR1", 27, "ATTR_TYPES_OVR", "override of memory types"),
    _flag("IDR1", 28, "REL", "relative base pointers"),
    _flag("IDR1", 29, "QUEUES_PRESET", "fixed queue bases"),
    _flag("IDR1", 30, "TABLES_PRESET", "fixed table bases"),
    _flag("IDR1", 31, "ECMDQ", "enhanced command queues"),
    _number("IDR2", 9, 0, "BA_VATOS", "page of the VATOS registers"),
    _flag("IDR3", 2, "HAD", "hierarchical attribute disable"),
    _flag("IDR3", 3, "PBHA", "page-based hardware attributes"),
    _flag("IDR3", 4, "XNX", "stage 2 execute-never control"),
    _flag("IDR3", 5, "PPS", "PASID in PRI responses"),
    _flag("IDR3", 7, "MPAM", "memory partitioning and monitoring"),
    _flag("IDR3", 8, "FWB", "stage 2 forced write-back"),
    _flag("IDR3", 9, "STT", "small translation tables"),
    _flag("IDR3", 10, "RIL", "range invalidation and level hint"),
    _named("IDR3", 12, 11, "BBML", "break-before-make level", _0="0", _1="1", _2="2"),
    _flag("IDR3", 13, "E0PD", "unprivileged access prevention"),
    _flag("IDR3", 14, "PTWNNC", "table walks not to normal non-cacheable"),
    _flag("IDR3", 15, "DPT", "device permission table"),
    _number("IDR4", 31, 0, "IMPDEF", "implementation defined"),
    _named(
        "IDR5", 2, 0, "OAS", "output address size",
        **{f"_{code}": f"{bits}-bit" for code, bits in OAS_BITS.items()},
    ),
    _flag("IDR5", 4, "GRAN4K", "4 KiB granule"),
    _flag("IDR5", 5, "GRAN16K", "16 KiB granule"),
    _flag("IDR5", 6, "GRAN64K", "64 KiB granule"),
    _flag("IDR5", 7, "DS", "52-bit addresses with 4 KiB and 16 KiB granules"),
    _flag("IDR5", 8, "D128", "128-bit descriptors"),
    _named("IDR5", 11, 10, "VAX", "virtual address extension", _0="48-bit", _1="52-bit", _2="56-bit"),
    _number("IDR5", 31, 16, "STALL_MAX", "outstanding stalled transactions"),
    _named("IIDR", 11, 0, "Implementer", "JEP106 code", **{f"_{0x43B}": "Arm"}),
    _number("IIDR", 15, 12, "Revision", "minor revision"),
    _number("IIDR", 19, 16, "Variant", "major revision"),
    _named(
        "IIDR", 31, 20, "ProductID", "product",
        **{f"_{0x483}": "MMU-600", f"_{0x487}": "MMU-700", f"_{0x48A}": "MMU-L1", f"_{0x498}": "MMU-S3"},
    ),
    _number("AIDR", 3, 0, "ArchMinorRev", "minor version of the architecture"),
    _named("AIDR", 7, 4, "ArchMajorRev", "major version of the architecture", _0="SMMUv3"),
)  # fmt: skip

#: Every field by its key, in register order and then by position.
FIELDS: Final[Mapping[str, Field]] = MappingProxyType({entry.key: entry for entry in _TABLE})


def field(key: str) -> Field:
    """The field called ``key`` (``IDR0.ATS``).

    :raise KeyError: if there is none.
    """
    return FIELDS[key]


def fields_of(register: str) -> tuple[Field, ...]:
    """All named fields of ``register``, from bit 0 up."""
    return tuple(entry for entry in _TABLE if entry.register == register)
