# SPDX-License-Identifier: Apache-2.0
"""Facts of an SMMU from its driver's lines in the kernel log, with their evidence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from vsmmu.host.driver_line import parse_line
from vsmmu.host.evidence import Evidence, Fact
from vsmmu.host.judgements import nesting
from vsmmu.probe.kernel_log import infer, infer_cmdqv, infer_queue, is_coherent
from vsmmu.probe.notices import NOT_PROBED
from vsmmu.smmuv3.properties import REGISTER_PROPERTIES

if TYPE_CHECKING:
    from vsmmu.host.facts import Host, HostSmmu

__all__ = ["settle_nesting", "with_log"]

#: What a resolution asks for; a fact that nothing settles says at least how to get it.
_ASKED_FOR: Final = sorted(entry.source for entry in REGISTER_PROPERTIES)
_KEY: Final = "kernel-log"


def with_log(smmu: HostSmmu, lines: tuple[str, ...], release: str, evidence: dict[str, Evidence]) -> HostSmmu:
    """Add what the lines say; the evidence goes into ``evidence``.

    :param lines: the driver's, of this SMMU, in order.
    :param release: the kernel that wrote them; empty if not known, so that clear feature bits prove little.
    """
    fields: dict[str, Fact] = {}
    coherent, cmdqv = smmu.coherent, smmu.cmdqv
    for line in lines:
        parsed = parse_line(line)
        found = infer(parsed, release) if parsed else [queue] if (queue := infer_queue(line)) else []
        fields.update({entry.key: Fact(entry.value, _KEY, entry.bound) for entry in found})
        if parsed:
            coherent = Fact(int(is_coherent(parsed)), _KEY)
    queues = infer_cmdqv(lines, release)
    if queues is not None:
        key = f"{_KEY} cmdqv {smmu.name}"
        evidence[key] = Evidence("inferred", "the kernel log", queues[1])
        cmdqv = Fact(queues[0], key)
    if fields:
        system = f"Linux {release}" if release else "which Linux wrote them is not known"
        evidence[_KEY] = Evidence(
            "inferred", "the kernel log", f"read back from the SMMU driver's lines ({system})"
        )
    unsettled = {key: Fact(None, NOT_PROBED) for key in _ASKED_FOR if key not in fields}
    return msgspec.structs.replace(
        smmu, fields=fields | unsettled, coherent=coherent, cmdqv=cmdqv, kernel_log=lines
    )


def settle_nesting(host: Host) -> Host:
    """Write down whether SMMUs nest, where the log settles it for every function behind them."""
    evidence = dict(host.evidence)
    smmus = []
    for smmu in host.smmus:
        judged = nesting(host, smmu, None)
        if smmu.kernel_log and smmu.nesting.value is None and judged.answer is not None:
            key = f"{_KEY} nesting {smmu.name}"
            evidence[key] = Evidence("inferred", "the kernel log", judged.why)
            smmu = msgspec.structs.replace(smmu, nesting=Fact(int(judged.answer), key))
        smmus.append(smmu)
    return msgspec.structs.replace(host, smmus=tuple(smmus), evidence=evidence)
