# SPDX-License-Identifier: Apache-2.0
"""The arm-smmu-v3 driver's probe line in the kernel log, decoded; facts keep it as ``kernel_log``.

Source: Linux 7.3 drivers/iommu/arm/arm-smmu-v3/arm-smmu-v3.c, arm_smmu_device_hw_probe(). Under protected KVM
the same code speaks as ``smmuv3-nesting`` (drivers/iommu/arm/arm-smmu-v3/pkvm).
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Final

from vsmmu.named_tuple import NamedTuple
from vsmmu.smmuv3.fields import OAS_BITS

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["DRIVERS", "ProbeLine", "kernel_version", "last_probe_line", "parse_line"]


#: The names under which the driver logs.
DRIVERS: Final = ("arm-smmu-v3", "smmuv3-nesting")


class ProbeLine(NamedTuple):
    """``arm-smmu-v3 NAME: [ias N-bit, ]oas N-bit (features 0x...)``, decoded."""

    device: str
    oas: int
    features: int


@cache
def _pattern() -> re.Pattern[str]:
    """Compiled only where there is a kernel log: a start of a VM mostly has none."""
    return re.compile(
        rf"(?:{'|'.join(DRIVERS)}) (?P<device>[^\s:]+): (?:ias (?P<ias>\d{{1,2}})-bit, )?"
        r"oas (?P<oas>\d{1,2})-bit "
        r"\(features (?P<features>0x[0-9a-f]{8})\)"
    )


def parse_line(line: str) -> ProbeLine | None:
    """Decode a kernel log line; None if it is not the driver's probe line or its OAS is no real size."""
    match = _pattern().search(line)
    if match is None or int(match["oas"]) not in OAS_BITS.values():
        return None
    return ProbeLine(match["device"], int(match["oas"]), int(match["features"], 16))


def last_probe_line(lines: Iterable[str]) -> ProbeLine | None:
    """The probe line of the driver's last start; None if there is none."""
    found = [parsed for line in lines if (parsed := parse_line(line)) is not None]
    return found[-1] if found else None


def kernel_version(release: str) -> tuple[int, int] | None:
    """``6.8.0-138-generic`` as (6, 8); None if the text does not start with a version."""
    match = re.match(r"(\d{1,3})\.(\d{1,3})", release)
    return (int(match[1]), int(match[2])) if match else None
