# SPDX-License-Identifier: Apache-2.0
"""The capability of one host SMMU: a canonical value of its relevant fields, with a fingerprint.

A :class:`Capability` holds, for each of :data:`KEYS`, the interval in which the truth lies. These are the
fields that QEMU's accelerated vSMMU compares or copies, and the facts on which the kernel's nesting depends;
names, addresses, kernels, dates and sources of evidence are left out, so that equal machines are equal.

The fingerprint is the first 12 hex digits of the SHA-256 of the canonical text (UTF-8, no final newline)::

    smmu/1 IDR0.S2P=1 IDR0.S1P=1 ... IDR5.OAS=5 ... IIDR.ProductID=? cmdqv=? nesting=1 ...

with the keys in the order of :data:`KEYS`, each value as a decimal number, ``LOW..HIGH`` where only bounds
are known, ``?`` where nothing is. Order and spelling never change; another set of keys would be ``smmu/2``.
"""

from __future__ import annotations

import hashlib
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from vsmmu.host.evidence import UNKNOWN, Evidence, Fact
from vsmmu.host.facts import SCHEMA, Host, HostFunction, HostSmmu
from vsmmu.host.judgements import MMUS_WITH_ERRATA, command_queues, nesting
from vsmmu.smmuv3.fields import FIELDS
from vsmmu.smmuv3.interval import Interval, hull

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from vsmmu.smmuv3.properties import Property

__all__ = ["FACT_LIMITS", "KEYS", "Capability", "capability_of", "fingerprint", "host_with"]

_FIELD_KEYS: Final = (
    "IDR0.S2P", "IDR0.S1P", "IDR0.TTF", "IDR0.ATS", "IDR0.TTENDIAN", "IDR0.ST_LEVEL",
    "IDR1.SIDSIZE", "IDR1.SSIDSIZE", "IDR3.FWB", "IDR3.RIL",
    "IDR5.OAS", "IDR5.GRAN4K", "IDR5.GRAN16K", "IDR5.GRAN64K", "IIDR.ProductID",
)  # fmt: skip
#: Facts that are no register field -> the largest value they can have.
FACT_LIMITS: Final[Mapping[str, int]] = MappingProxyType(
    {"cmdqv": 1, "nesting": 1, "coherent": 1, "hw_info_type": 0xFFFFFFFF, "canwbs": 1}
)
#: Everything that a capability holds, in the order of the canonical text.
KEYS: Final = (*_FIELD_KEYS, *FACT_LIMITS)
_LIMITS: Final = tuple([FIELDS[key].limit for key in _FIELD_KEYS] + list(FACT_LIMITS.values()))
_PLACES: Final = {key: place for place, key in enumerate(KEYS)}
_DIGITS: Final = 12
#: Fields that are no key; those of SMMUs with errata count as far as they decide on nesting.
_REVISION: Final = ("IIDR.Implementer", "IIDR.Variant", "IIDR.Revision")
_ANYWHERE: Final = "0000:00:00.0"


class Capability(NamedTuple):
    """The intervals of one SMMU in the order of :data:`KEYS`; hashable, and equal for equal SMMUs."""

    intervals: tuple[Interval, ...]

    def get(self, key: str) -> Interval:
        """The interval of one key, as register code or fact.

        :raise KeyError: if a capability has no such key.
        """
        return self.intervals[_PLACES[key]]

    def offer(self, entry: Property) -> Interval:
        """What the SMMU offers for a property, in the property's unit."""
        return self.get(entry.source or entry.name).convert(entry.from_code)

    @property
    def canonical(self) -> str:
        """The text of which the fingerprint is a hash."""
        words = (
            f"{key}={_spell(interval, limit)}"
            for key, interval, limit in zip(KEYS, self.intervals, _LIMITS, strict=True)
        )
        return f"smmu/1 {' '.join(words)}"

    @property
    def fingerprint(self) -> str:
        """Twelve hex digits that stand for this capability in every version of vsmmu."""
        return fingerprint(self.canonical)


def fingerprint(text: str) -> str:
    """The first 12 hex digits of the SHA-256 of ``text``."""
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]


def capability_of(host: Host, smmu: HostSmmu, behind: Iterable[HostFunction]) -> Capability:
    """What ``smmu`` can do, as far as the facts say.

    :param behind: the functions whose root complexes count (CANWBS).
    """
    intervals = [host.read_field(smmu, key).interval for key in _FIELD_KEYS]
    intervals.append(command_queues(host, smmu).interval)
    for key in ("nesting", "coherent", "hw_info_type"):
        intervals += [host.read(getattr(smmu, key), key, FACT_LIMITS[key]).interval]
    snoops = [host.read(function.canwbs, "canwbs").interval for function in behind]
    intervals.append(hull(snoops) if snoops else Interval(0, 1))
    return _with_revision(Capability(tuple(intervals)), host, smmu)


def _with_revision(capability: Capability, host: Host, smmu: HostSmmu) -> Capability:
    """Add the judgement on nesting where the revision, which is no key, bears on it."""
    errata = capability.get("IIDR.ProductID").exact in MMUS_WITH_ERRATA
    if capability.get("nesting").exact is not None or not errata:
        return capability
    made = host_with(capability, [_ANYWHERE])
    revision = {key: _fact(host.read_field(smmu, key).interval, FIELDS[key].limit) for key in _REVISION}
    one = msgspec.structs.replace(made.smmus[0], fields=made.smmus[0].fields | revision)
    place = _PLACES["nesting"]
    judged = nesting(made, one, made.functions[0]).interval
    return Capability((*capability.intervals[:place], judged, *capability.intervals[place + 1 :]))


def host_with(capability: Capability, addresses: Iterable[str], name: str = "") -> Host:
    """A host with one SMMU of this capability and these functions behind it, to ask the model about."""
    facts = {key: _fact(capability.get(key), limit) for key, limit in zip(KEYS, _LIMITS, strict=True)}
    smmu = HostSmmu(
        name="smmu",
        fields={key: facts[key] for key in _FIELD_KEYS if facts[key] is not UNKNOWN},
        cmdqv=facts["cmdqv"],
        nesting=facts["nesting"],
        coherent=facts["coherent"],
        hw_info_type=facts["hw_info_type"],
    )
    functions = tuple(HostFunction(entry, smmu="smmu", canwbs=facts["canwbs"]) for entry in addresses)
    return Host(
        schema=SCHEMA,
        name=name or capability.fingerprint,
        smmus=(smmu,),
        functions=functions,
        evidence={"class": Evidence("inferred", "the class of the host's SMMU")},
    )


def _fact(interval: Interval, limit: int) -> Fact:
    if interval.low == interval.high:
        return Fact(interval.low, "class")
    if interval.low > 0:
        return Fact(interval.low, "class", "at-least")
    return Fact(interval.high, "class", "at-most") if interval.high < limit else UNKNOWN


def _spell(interval: Interval, limit: int) -> str:
    return "?" if interval == (0, limit) else interval.spell()
