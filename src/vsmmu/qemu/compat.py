# SPDX-License-Identifier: Apache-2.0
"""The compatibility check of a host SMMU against a vSMMU's registers.

QEMU compares field by field in a fixed order and stops at the first that does not fit; we do the same with
intervals, because a host may be known only in part. Source: ``smmuv3_accel_check_hw_compatible()`` in
hw/arm/smmuv3-accel.c (86ec6639b1); every row measured with 11.1.3.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal

from vsmmu.named_tuple import NamedTuple
from vsmmu.smmuv3.interval import Interval, exactly
from vsmmu.smmuv3.properties import PROPERTIES, REGISTER_PROPERTIES, Property
from vsmmu.smmuv3.registers import IdRegisters

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from vsmmu.host.evidence import Reading
    from vsmmu.qemu.versions import Qemu

__all__ = ["BASE", "CHECKS", "Comparison", "Mismatch", "compare", "guest_registers"]

#: What an accelerated vSMMU shows with ats=off, ril=on, ssidsize=0, oas=44 (measured).
BASE: Final = IdRegisters(idr0=0x0D44101A, idr1=0x02730010, idr3=0x00001404, idr5=0x00000074, aidr=1)


class Comparison(NamedTuple):
    """One comparison: host ``key`` ``relation`` vSMMU, or QEMU prints ``message``."""

    key: str
    relation: Literal["equal", "at-least", "at-most"]
    message: str

    def outcome(self, host: Interval, guest: Interval) -> bool | None:
        """True if it certainly passes, False if it certainly fails, None if the facts leave it open."""
        if self.relation == "at-least":
            return host.at_least(guest)
        return host.at_most(guest) if self.relation == "at-most" else host.equals(guest)


class Mismatch(NamedTuple):
    """A check that fails (``certain``) or may fail; values in the unit that QEMU prints."""

    check: Comparison
    certain: bool
    host: str
    guest: str


def _at_least(name: str) -> Comparison:
    entry = PROPERTIES[name]
    return Comparison(entry.source, "at-least", entry.host_message)


#: In QEMU's order; the first that does not fit is the one that QEMU prints.
CHECKS: Final = (
    Comparison("IDR0.ST_LEVEL", "equal", "qemu-stlevel"),
    Comparison("IDR0.TTENDIAN", "at-most", "qemu-ttendian"),
    Comparison("IDR0.TTF", "at-least", "qemu-ttf"),
    Comparison("IDR1.SIDSIZE", "at-least", "qemu-sidsize"),
    _at_least("ssidsize"),
    _at_least("ril"),
    _at_least("oas"),
    _at_least("ats"),
    Comparison("IDR5.GRAN4K", "equal", "qemu-gran4k"),
    Comparison("IDR5.GRAN16K", "equal", "qemu-gran16k"),
    Comparison("IDR5.GRAN64K", "equal", "qemu-gran64k"),
)
_ATS: Final = PROPERTIES["ats"].source
_RIL: Final = PROPERTIES["ril"].source
_BY_SOURCE: Final[Mapping[str, Property]] = MappingProxyType(
    {entry.source: entry for entry in REGISTER_PROPERTIES}
)


def compare(
    read: Callable[[str], Reading],
    frozen: Mapping[str, Interval],
    qemu: Qemu,
    copied: Collection[str] = (),
) -> list[Mismatch]:
    """Compare a host SMMU with a vSMMU.

    :param read: looks a field of the host SMMU up.
    :param frozen: the codes of the vSMMU's fields (not in the property's unit) by property name: intervals,
        since ``auto`` copies a host field that may not be known.
    :param copied: fields (``IDR0.ATS``) copied from this same host SMMU, which fit it whatever they are.
    :return: the checks that may fail, in QEMU's order; QEMU prints the first that certainly does.
    """
    found: list[Mismatch] = []
    for check in CHECKS:
        if check.key in copied or (check.key == _ATS and qemu.checks_ats is False):
            continue
        host, guest = read(check.key).interval, _guest_field(check.key, frozen)
        outcome = check.outcome(host, guest)
        if check.key == _RIL and qemu.checks_ril is None and outcome is True:
            outcome = True if host.equals(guest) else None
        if outcome is not True:
            unit = _unit(check.key)
            certain = outcome is False and not (check.key == _ATS and qemu.checks_ats is None)
            found.append(Mismatch(check, certain, host.convert(unit).spell(), guest.convert(unit).spell()))
    return found


def guest_registers(frozen: Mapping[str, Interval]) -> IdRegisters | None:
    """The guest-visible words; None as long as some field is not certain."""
    registers = BASE
    for name, value in frozen.items():
        if value.exact is None:
            return None
        registers = registers.replace(PROPERTIES[name].source, value.exact)
    return registers


def _guest_field(key: str, frozen: Mapping[str, Interval]) -> Interval:
    entry = _BY_SOURCE.get(key)
    return exactly(BASE.get(key)) if entry is None else frozen[entry.name]


def _unit(key: str) -> Callable[[int], int]:
    """From a code to the number that QEMU prints."""
    entry = _BY_SOURCE.get(key)
    return int if entry is None else entry.from_code
