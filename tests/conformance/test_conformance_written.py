# SPDX-License-Identifier: Apache-2.0
"""Whole VMs as operators write them: made again from a seed, in all forms, and readable."""

from __future__ import annotations

import json
import random
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from conformance.faults import FAULTS, spoil
from conformance.fixed_host import fixed_host
from conformance.here import NOBODY, fast_runs
from conformance.parts import Part, Size, config_text, words_of
from conformance.predict import predict
from conformance.written import WrittenVms

if TYPE_CHECKING:
    from conformance.cases import Run

SEED = 7


def made(count: int, *, lab: bool = False, seed: int = SEED) -> list[Run]:
    vms = WrittenVms(random.Random(seed), fixed_host() if lab else NOBODY, "t", lab=lab)
    return [vms.run() for _ in range(count)]


@pytest.mark.parametrize("lab", [False, True])
def test_the_same_seed_gives_the_same_vms(lab: bool) -> None:
    assert made(20, lab=lab) == made(20, lab=lab)
    assert made(20, lab=lab) != made(20, lab=lab, seed=SEED + 1)


def test_everything_that_operators_write_comes_up() -> None:
    text = "\n".join(" ".join((*run.argv, *run.files.values())) for run in made(300))
    for needle in (
        "pxb-pcie", "x3130-upstream", "xio3130-downstream", "multifunction=on", "-numa node", "pc-dimm",
        "-bios", "if=pflash", "pflash0=", "-kernel", "-readconfig", "-global", '{"driver"', "-nodefaults",
        "acpi-generic-initiator", "arm-smmuv3", "accel=on", "bypass_iommu=on", "iommufd", "virt-9.2",
    ):  # fmt: skip
        assert needle in text, needle


def test_half_of_them_have_no_fault_and_expanders_are_of_every_number() -> None:
    runs = made(300)
    whole = [run for run in runs if run.kind == "written: whole"]
    assert 0.4 < len(whole) / len(runs) < 0.7
    expanders = Counter(
        sum("pxb-pcie" in text and "-global" not in text for text in (*run.argv, *run.files.values()))
        for run in whole
        if not run.files
    )
    assert set(expanders) >= {0, 1, 2, 3, 4, 5}


def test_the_model_has_an_answer_for_each() -> None:
    answers = Counter(predict(run, NOBODY).answer for run in made(60))
    assert answers["starts"] > 5
    assert answers["refused"] > 5


def test_each_fault_changes_a_whole_vm() -> None:
    parts = [
        Part("-M", "virt", {"acpi": "on"}),
        Part("-object", "iommufd", {"id": "i"}),
        Part("-device", "pxb-pcie", {"id": "p", "bus": "pcie.0", "bus_nr": 8, "addr": "3"}),
        Part("-device", "pcie-root-port", {"id": "r", "bus": "p", "chassis": 1}),
    ]
    for fault in FAULTS:
        changed = []
        for seed in range(20):
            spoilt = list(parts)
            fault(random.Random(seed), spoilt)
            changed.append(spoilt != parts)
        assert any(changed), fault.__name__
    assert spoil(random.Random(1), parts) is not parts


def test_the_three_forms_of_a_part() -> None:
    part = Part("-object", "memory-backend-ram", {"id": "m", "size": Size(2 << 20), "share": True})
    assert words_of([part]) == ["-object", "memory-backend-ram,id=m,size=2M,share=on"]
    written = json.loads(part._replace(form="json").argument())
    assert written == {"qom-type": "memory-backend-ram", "id": "m", "size": 2 << 20, "share": True}
    wanted = '[object "m"]\n  qom-type = "memory-backend-ram"\n  size = "2M"\n  share = "on"\n'
    assert config_text([part]) == wanted
    assert words_of([Part("-S", form="bare")]) == ["-S"]


def test_the_fast_mode_asks_for_no_kvm() -> None:
    runs = list(fast_runs(1, 20))
    assert {run.kind.partition(":")[0] for run in runs} == {"fixed", "places", "written"}
    assert not any("kvm" in run.argv for run in runs)
