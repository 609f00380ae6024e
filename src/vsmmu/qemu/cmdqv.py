# SPDX-License-Identifier: Apache-2.0
"""CMDQV's probe: whether QEMU takes the host's Tegra241 command queues, by the kernel's answer about them.

Source: tegra241_cmdqv_probe() and tegra241_cmdqv_alloc_viommu() in hw/arm/tegra241-cmdqv.c (fced8da695); the
texts were measured with 11.1.3. A failed probe is fatal with ``cmdqv=on`` alone; after a good one every
failure is, also with ``auto``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vsmmu.named_tuple import NamedTuple
from vsmmu.qemu.findings import Refusal

if TYPE_CHECKING:
    from vsmmu.host.facts import Host, HostSmmu

__all__ = ["Probe", "probe_cmdqv"]

#: IOMMU_HW_INFO_TYPE_TEGRA241_CMDQV.
_TYPE: Final = 3
_VERSION: Final = 1
#: A pair of queues and sixteen StreamIDs.
_LOG2_VCMDQS, _LOG2_VSIDS = 1, 4


class Probe(NamedTuple):
    """What comes of it.

    :param able: whether QEMU would use the queues; None if the facts do not say.
    :param refusal: what QEMU says if not, with ``cmdqv=on``.
    """

    able: bool | None
    refusal: Refusal


def probe_cmdqv(host: Host, smmu: HostSmmu | None) -> Probe:
    """The probe of one host SMMU.

    Of queues whose numbers the facts do not have, it is taken that they suit QEMU, as those of the only
    hardware do.
    """
    told = host.read(smmu.cmdqv, "cmdqv").exact if smmu is not None else None
    none = Refusal("qemu-cmdqv", {})
    if smmu is None or told != 1:
        return Probe(None if told is None else False, none)
    words = {
        name.removeprefix("cmdqv."): int(fact.value, 16)
        for name, fact in smmu.hw_info_data.items()
        if name.startswith("cmdqv.")
    }
    refusal = _judge(words)
    return Probe(refusal is None, none if refusal is None else refusal)


def _judge(words: dict[str, int]) -> Refusal | None:
    kind, version = words.get("type", _TYPE), words.get("version", _VERSION)
    queues, ids = words.get("log2vcmdqs", _LOG2_VCMDQS), words.get("log2vsids", _LOG2_VSIDS)
    if kind != _TYPE:
        return Refusal("qemu-cmdqv-type", {"host": kind, "guest": _TYPE})
    if version != _VERSION:
        return Refusal("qemu-cmdqv-version", {"host": version, "guest": _VERSION})
    if queues < _LOG2_VCMDQS:
        return Refusal("qemu-cmdqv-queues", {"host": queues, "guest": _LOG2_VCMDQS})
    if ids < _LOG2_VSIDS:
        return Refusal("qemu-cmdqv-sids", {"host": ids, "guest": _LOG2_VSIDS})
    return None
