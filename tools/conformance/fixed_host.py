# SPDX-License-Identifier: Apache-2.0
"""The host of the cases that are not left to chance: one SMMU for each thing that can be wrong with one."""

from __future__ import annotations

from typing import Final

from vsmmu.host.evidence import Evidence, Fact
from vsmmu.host.facts import SCHEMA, Host, HostFunction, HostSmmu, HwInfoFact, RegisterFact
from vsmmu.smmuv3.registers import IdRegisters

__all__ = ["NAMES", "address", "fixed_host"]

_MADE: Final = "made"
#: A host to which QEMU has no objection, whatever the properties.
_GENEROUS: Final = IdRegisters(idr0=0x0D44141B, idr1=0x02730510, idr3=0x00001414, idr5=0x00000075, aidr=1)
#: Name -> changes of that host's fields.
_SMMUS: Final[dict[str, dict[str, int]]] = {
    "generous": {},
    "generous2": {},
    "gb200": {"IDR3.RIL": 0},
    "least": {"IDR0.ATS": 0, "IDR3.RIL": 0, "IDR1.SSIDSIZE": 0, "IDR5.OAS": 4},
    "oas40": {"IDR5.OAS": 2},
    "oas32": {"IDR5.OAS": 0},
    "oas52": {"IDR5.OAS": 6},
    "oas56": {"IDR5.OAS": 7},
    "ssid31": {"IDR1.SSIDSIZE": 31},
    "linear": {"IDR0.ST_LEVEL": 0},
    "big-endian": {"IDR0.TTENDIAN": 3},
    "mixed-endian": {"IDR0.TTENDIAN": 0},
    "aarch32": {"IDR0.TTF": 1},
    "both-formats": {"IDR0.TTF": 3},
    "few-streams": {"IDR1.SIDSIZE": 15},
    "many-streams": {"IDR1.SIDSIZE": 32},
    "no-4k": {"IDR5.GRAN4K": 0},
    "no-16k": {"IDR5.GRAN16K": 0},
    "no-64k": {"IDR5.GRAN64K": 0},
    "type0": {}, "type1": {}, "type4": {},
    "no-nesting": {}, "one-stage": {"IDR0.S2P": 0},
    "cmdqv": {}, "cmdqv2": {},
    "incoherent": {},
}  # fmt: skip
NAMES: Final = tuple(_SMMUS)


def address(smmu: str, number: int = 0) -> str:
    """The function ``number`` behind one of the SMMUs."""
    return f"0009:{NAMES.index(smmu) + 1:02x}:{number:02x}.0"


def fixed_host() -> Host:
    """One SMMU for each case that matters; four functions each, with all combinations of ATS facts."""
    smmus = tuple(_smmu(index, name) for index, name in enumerate(NAMES))
    functions = tuple(
        HostFunction(
            address=address(name, number),
            smmu=smmus[index].name,
            driver="vfio-pci",
            iommu_group=10 + index * 4 + number,
            ats_capability=Fact(number & 1, _MADE),
            ats_not_supported=Fact(number >> 1, _MADE),
            max_pasid_log2=Fact(16 if number & 1 else 0, _MADE),
        )
        for index, name in enumerate(NAMES)
        for number in range(4)
    )
    made = Evidence("measured", "written by hand", "a host that does not exist")
    return Host(schema=SCHEMA, name="fixed", smmus=smmus, functions=functions, evidence={_MADE: made})


def _smmu(index: int, name: str) -> HostSmmu:
    words = _GENEROUS
    for key, value in _SMMUS[name].items():
        words = words.replace(key, value)
    cmdqv = name.startswith("cmdqv")
    numbers = {"cmdqv.version": 1, "cmdqv.log2vcmdqs": 1, "cmdqv.log2vsids": 4} if cmdqv else {}
    return HostSmmu(
        name=f"smmu3.0x{0x5000000 + index * 0x100000:016x}",
        device=f"arm-smmu-v3.{index}.auto",
        registers={register: RegisterFact(word, _MADE) for register, word in words.as_dict().items()},
        hw_info_type=Fact(int(name[4:]) if name.startswith("type") else 2, _MADE),
        hw_info_data={member: HwInfoFact(hex(value), _MADE) for member, value in numbers.items()},
        cmdqv=Fact(int(cmdqv), _MADE),
        nesting=Fact(int(name not in ("no-nesting", "one-stage")), _MADE),
        coherent=Fact(int(name != "incoherent"), _MADE),
    )
