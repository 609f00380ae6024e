# SPDX-License-Identifier: Apache-2.0
"""Generated hosts: every field that QEMU looks at, at and around its limits, noise everywhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vsmmu.host.evidence import Evidence, Fact
from vsmmu.host.facts import SCHEMA, Host, HostFunction, HostSmmu, RegisterFact
from vsmmu.smmuv3.registers import IdRegisters

if TYPE_CHECKING:
    from random import Random

__all__ = ["make_host"]

_MADE: Final = "made"
_EVIDENCE: Final = {_MADE: Evidence("measured", "generated", "a host that does not exist")}

#: Field -> (values that QEMU takes, values that it refuses). OAS, SSIDSIZE, RIL and ATS bound properties.
_CHECKED: Final = {
    "IDR0.ST_LEVEL": ((1,), (0, 2, 3)),
    "IDR0.TTENDIAN": ((0, 1, 2), (3,)),
    "IDR0.TTF": ((2, 3), (0, 1)),
    "IDR1.SIDSIZE": ((16, 17, 32), (0, 15)),
    "IDR5.GRAN4K": ((1,), (0,)),
    "IDR5.GRAN16K": ((1,), (0,)),
    "IDR5.GRAN64K": ((1,), (0,)),
}
_SSIDSIZES: Final = (0, 1, 5, 8, 16, 19, 20, 21, 31)
_MOSTLY: Final = 0.6


def make_host(random: Random, name: str, smmus: int, functions: int = 2) -> Host:
    """A host with so many SMMUs and so many functions behind each."""
    entries = [_smmu(random, index) for index in range(smmus)]
    return Host(
        schema=SCHEMA,
        name=name,
        synthetic=("everything",),
        smmus=tuple(entries),
        functions=tuple(
            _function(random, entry, index, number)
            for index, entry in enumerate(entries)
            for number in range(functions)
        ),
        evidence=_EVIDENCE,
    )


def _fact(value: int) -> Fact:
    return Fact(value, _MADE)


def _registers(random: Random) -> IdRegisters:
    words = IdRegisters(*(random.getrandbits(32) for _ in range(8)))
    refused = [key for key in _CHECKED if random.random() < 0.5 / len(_CHECKED)]
    if random.random() < _MOSTLY:
        refused = []
    for key, (good, bad) in _CHECKED.items():
        words = words.replace(key, random.choice(bad if key in refused else good))
    words = words.replace("IDR1.SSIDSIZE", random.choice(_SSIDSIZES))
    # Mostly what explicit values can express.
    words = words.replace("IDR5.OAS", random.choice((4, 5) if random.random() < _MOSTLY else range(8)))
    stages = 1 if random.random() < 0.95 else 0
    return words.replace("IDR0.COHACC", 1).replace("IDR0.S1P", 1).replace("IDR0.S2P", stages)


def _smmu(random: Random, index: int) -> HostSmmu:
    words = _registers(random)
    nests = words.get("IDR0.S2P") == 1 and random.random() >= 0.05
    return HostSmmu(
        name=f"smmu3.0x{0x5000000 + index * 0x100000:016x}",
        device=f"arm-smmu-v3.{index}.auto",
        registers={name: RegisterFact(word, _MADE) for name, word in words.as_dict().items()},
        hw_info_type=_fact(random.choice((0, 1, 4)) if random.random() < 0.04 else 2),
        cmdqv=_fact(0),
        coherent=_fact(1),
        nesting=_fact(int(nests)),
    )


def _function(random: Random, smmu: HostSmmu, index: int, number: int) -> HostFunction:
    pasid = random.choice((0, 0, 4, 16, 20))
    return HostFunction(
        address=f"{1 + index // 200:04x}:{index % 200 + 1:02x}:{number:02x}.0",
        smmu=smmu.name,
        driver="vfio-pci",
        iommu_group=100 + index * 8 + number,
        ats_capability=_fact(random.randrange(2)),
        ats_not_supported=_fact(random.randrange(2)),
        pasid_capability=_fact(int(pasid > 0)),
        pasid_width=_fact(pasid),
        max_pasid_log2=_fact(pasid),
        dirty_tracking=_fact(random.randrange(2)),
    )
