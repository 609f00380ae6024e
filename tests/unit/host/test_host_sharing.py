# SPDX-License-Identifier: Apache-2.0
"""Facts that are shown to others, or built in, say nothing of whose host it is."""

from __future__ import annotations

import msgspec
import pytest

from vsmmu.errors import Negative
from vsmmu.host.builtin import builtin_host
from vsmmu.host.evidence import Evidence
from vsmmu.host.facts import Host, Kernel, RegisterFact
from vsmmu.host.files import decode_host, encode_host
from vsmmu.host.sharing import to_contribute, without_names
from vsmmu.smmuv3.fields import REGISTERS

WORDS = [
    "0x0d44101a",
    "0x02730010",
    "0x00000000",
    "0x00001404",
    "0x00000000",
    "0x00000074",
    "0x00000000",
    "0x00000001",
]


def measured(**more: object) -> Host:
    """A host as a probe leaves it."""
    base = builtin_host("gb200")
    registers = {name: RegisterFact(word, "asked") for name, word in zip(REGISTERS, WORDS, strict=True)}
    smmu = msgspec.structs.replace(base.smmus[0], registers=registers, fields={})
    return msgspec.structs.replace(
        base,
        name="node7.example",
        title="",
        product="NVIDIA GB200 NVL",
        synthetic=(),
        taken_at="2026-11-25T19:00:00Z",
        kernel=Kernel("7.3.4", "0a1b2c3d-0000-0000-0000-000000000000", "iommu.passthrough=0"),
        smmus=(smmu,),
        functions=tuple(
            msgspec.structs.replace(entry, label="alice")
            for entry in base.functions
            if entry.smmu == smmu.name
        ),
        evidence={
            **base.evidence,
            "asked": Evidence(
                "measured", "IOMMU_GET_HW_INFO on node7.example", "see /srv/alice/x and /sys/class"
            ),
        },
        **more,
    )


def test_names_are_taken_out_and_the_rest_stays() -> None:
    before, after = measured(), without_names(measured())
    text = encode_host(after).decode()
    for name in ("node7", "alice", "0a1b2c3d", "19:00:00"):
        assert name not in text
    assert "/sys/class" in text
    assert after.smmus[0].registers == before.smmus[0].registers
    assert [entry.address for entry in after.functions] == [entry.address for entry in before.functions]


def test_a_measured_host_is_fit_to_be_built_in() -> None:
    made = to_contribute(measured())
    assert (made.name, made.title, made.taken_at) == ("nvidia-gb200-nvl", "NVIDIA GB200 NVL", "2026-11-25")
    assert decode_host(encode_host(made), "x") == made


@pytest.mark.parametrize("made", [builtin_host("gb200"), msgspec.structs.replace(measured(), product="")])
def test_what_was_not_measured_is_none(made: Host) -> None:
    with pytest.raises(Negative, match="nothing-to-contribute"):
        to_contribute(made)
