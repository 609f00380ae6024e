# SPDX-License-Identifier: Apache-2.0
"""Register fields and command queues inferred from the arm-smmu-v3 driver's lines in the kernel log.

``arm_smmu_device_hw_probe()`` prints the driver's view: features after errata and firmware overrides, so
only bits that the driver copies from an ID register are read back here. A clear bit means *no* only if that
kernel knew the bit. Source: Linux 7.3 drivers/iommu/arm/arm-smmu-v3: arm-smmu-v3.c, arm-smmu-v3.h, and
tegra241-cmdqv.c for the extension that the driver calls CMDQV.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from vsmmu.host.driver_line import DRIVERS, kernel_version, parse_line
from vsmmu.smmuv3.fields import oas_code

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vsmmu.host.driver_line import ProbeLine
    from vsmmu.host.evidence import Bound

__all__ = [
    "Inference",
    "by_device",
    "infer",
    "infer_cmdqv",
    "infer_queue",
    "is_coherent",
    "is_driver_line",
    "is_understood",
]

_NAMES: Final = "|".join(DRIVERS)
_QUEUE: Final = re.compile(
    rf"(?:{_NAMES}) (?P<device>[^\s:]+): "
    r"allocated (?P<entries>\d{1,10}) entries for (?P<queue>cmdq|evtq|priq)\b"
)
_QUEUE_FIELDS: Final = {"cmdq": "IDR1.CMDQS", "evtq": "IDR1.EVENTQS", "priq": "IDR1.PRIQS"}
_DEVICE: Final = re.compile(rf"(?:{_NAMES}) (?P<device>[^\s:]{{1,255}}): ")
_COMPANION: Final = re.compile(r"found companion CMDQV device: (?P<companion>\S{1,64})")
_OPTIONS: Final = re.compile(r"option mask (?P<mask>0x[0-9a-f]{1,8})$")
_OPTION_CMDQV: Final = 1 << 4
_VCMDQ: Final = re.compile(r"allocated \d{1,10} entries for vcmdq\d")
#: Said of the companion, by its own name: no driver is bound to it.
_FALLBACK: Final = re.compile(
    r"[\w-]{1,40} (?P<companion>\S{1,64}): (?:tegra241_cmdqv: )?Falling back to standard SMMU CMDQ$"
)
#: Linux that gives command queues to a VM (IOMMU_HW_QUEUE_ALLOC).
_SINCE_QUEUES: Final = (6, 17)
_COHERENCY: Final = 1 << 8
#: The driver says a dozen lines of one SMMU at start; more are faults and repetitions.
_LINES_KEPT: Final = 32


class Inference(NamedTuple):
    """A register field as far as a log line settles it."""

    key: str
    value: int
    bound: Bound
    detail: str


class _Feature(NamedTuple):
    """A driver feature bit that mirrors an ID register field.

    ``set`` and ``clear`` are the field's values in either case; None where the case proves nothing. A clear
    bit is only believed from kernel ``since`` on.
    """

    bit: int
    name: str
    key: str
    set: int
    clear: int | None
    since: tuple[int, int] = (0, 0)


# Left out because errata or firmware change them: SEV, COHERENCY, BTM, HA, HD, HAFT, and NESTING, of which
# vsmmu.host.judgements makes use.
_FEATURES: Final = (
    _Feature(0, "2_LVL_STRTAB", "IDR0.ST_LEVEL", 1, 0),
    _Feature(1, "2_LVL_CDTAB", "IDR0.CD2L", 1, 0),
    _Feature(4, "PRI", "IDR0.PRI", 1, None),
    _Feature(5, "ATS", "IDR0.ATS", 1, 0),
    _Feature(9, "TRANS_S1", "IDR0.S1P", 1, 0),
    _Feature(10, "TRANS_S2", "IDR0.S2P", 1, 0),
    _Feature(12, "HYP", "IDR0.HYP", 1, 0),
    _Feature(15, "RANGE_INV", "IDR3.RIL", 1, 0, (5, 7)),
    _Feature(23, "S2FWB", "IDR3.FWB", 1, 0, (6, 13)),
)
_TT_LE, _TT_BE = 1 << 2, 1 << 3


def infer(line: ProbeLine, release: str) -> list[Inference]:
    """The register fields that follow from a probe line of kernel ``release`` (empty if not known).

    Every running driver has found AArch64 tables, so IDR0.TTF is at least 2 whatever the bits say.
    """
    found = [Inference("IDR0.TTF", 2, "at-least", "the driver runs, so AArch64 tables are supported")]
    found += _infer_endianness(line.features)
    version = kernel_version(release)
    for feature in _FEATURES:
        if line.features >> feature.bit & 1:
            found.append(Inference(feature.key, feature.set, "exact", f"features has {feature.name}"))
        elif feature.clear is not None and (not feature.since[0] or (version and version >= feature.since)):
            found.append(Inference(feature.key, feature.clear, "exact", f"features lacks {feature.name}"))
    # The driver takes every size that it does not know for 48 bits.
    bound: Bound = "at-least" if line.oas == 48 else "exact"
    found.append(Inference("IDR5.OAS", oas_code(line.oas), bound, f"the driver uses {line.oas} bits"))
    return sorted(found)


def infer_queue(line: str) -> Inference | None:
    """What ``allocated N entries for cmdq`` says: the driver takes no more than the register allows.

    It takes less where memory is short, so N is a lower bound. None if the line is another one.
    """
    match = _QUEUE.search(line)
    if match is None or not int(match["entries"]):
        return None
    entries, field = int(match["entries"]), _QUEUE_FIELDS[match["queue"]]
    if entries.bit_length() > 20:  # the fields go up to 2^19 entries
        return None
    return Inference(field, entries.bit_length() - 1, "at-least", f"the driver allocated {entries} entries")


def infer_cmdqv(lines: Iterable[str], release: str) -> tuple[int, str] | None:
    """Whether the host can give Tegra241 command queues to a VM, as 1 or 0, and the reason; None if open.

    The driver names the companion, makes the queues of the host, or falls back, in this order. Its option
    mask has a bit for it; ACPI machines log the mask, and no kernel without the bit has the extension.

    :param lines: those of one SMMU, in order.
    """
    found: tuple[int, str] | None = None
    version = kernel_version(release)
    for line in lines:
        options = _OPTIONS.search(line)
        if _COMPANION.search(line):
            found = None
        elif options and not int(options["mask"], 16) & _OPTION_CMDQV:
            found = 0, f"option mask {options['mask']} has no CMDQV"
        elif _VCMDQ.search(line) and version is not None and version >= _SINCE_QUEUES:
            found = 1, "the driver made virtual command queues"
        elif "Falling back to standard SMMU CMDQ" in line:
            found = 0, "the driver fell back to the standard command queue"
    return found


def is_driver_line(text: str) -> bool:
    """Whether a kernel message is the SMMU driver's: of an SMMU, or of its CMDQV companion."""
    return bool(_DEVICE.match(text) or _FALLBACK.match(text))


def is_understood(text: str) -> bool:
    """Whether a message is whole, and one from which something is inferred here."""
    if not is_driver_line(text):
        return False
    found = parse_line(text) or infer_queue(text) or _VCMDQ.search(text) or _COMPANION.search(text)
    return bool(found or _FALLBACK.match(text))


def is_coherent(line: ProbeLine) -> bool:
    """Whether the driver takes the SMMU for coherent: IDR0.COHACC, unless firmware says otherwise."""
    return bool(line.features & _COHERENCY)


def by_device(lines: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """The driver's lines of each SMMU's platform device and of its CMDQV companion, the first 32 of each."""
    found: dict[str, list[str]] = {}
    companions: dict[str, str] = {}
    for line in lines:
        match, fallback = _DEVICE.match(line), _FALLBACK.match(line)
        device = match["device"] if match else companions.get(fallback["companion"]) if fallback else None
        if device is None:
            continue
        companion = _COMPANION.search(line)
        if companion is not None:
            companions[companion["companion"]] = device
        kept = found.setdefault(device, [])
        if len(kept) < _LINES_KEPT:
            kept.append(line)
    return {device: tuple(kept) for device, kept in found.items()}


def _infer_endianness(features: int) -> list[Inference]:
    little, big = bool(features & _TT_LE), bool(features & _TT_BE)
    if not (little or big):
        return []
    value = 0 if little and big else 2 if little else 3
    return [Inference("IDR0.TTENDIAN", value, "exact", "features has TT_LE" * little + " TT_BE" * big)]
