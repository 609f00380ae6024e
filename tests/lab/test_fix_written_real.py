# SPDX-License-Identifier: Apache-2.0
"""Whole VMs after their mend, given to this machine's QEMU: no refusal before the one for want of KVM."""

from __future__ import annotations

import random
import shlex
from collections import Counter
from typing import TYPE_CHECKING

import msgspec
import pytest

from conformance.fixed_host import fixed_host
from conformance.here import NOBODY, play_here, without_kvm
from conformance.mended import read_run
from conformance.written import WrittenVms
from quoted import quoted
from vsmmu.errors import InputRefused
from vsmmu.mend.mending import mend
from vsmmu.qemu.versions import LATEST

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conformance.cases import Run
    from vsmmu.lab.build import Artifacts

SAMPLE = 30
#: What a machine without KVM, /dev/iommu and functions for a guest refuses of a VM that is right elsewhere.
GATES = {"", "qemu-kvm", "qemu-no-iommufd-device", "qemu-no-such-function"}


def startable(lab: bool, seed: int) -> Iterator[tuple[Run, bool]]:
    """VMs that start after their mend as far as the model sees up to KVM; whether there was one to do."""
    host = fixed_host() if lab else NOBODY
    source = WrittenVms(random.Random(seed), host, "mended", lab=lab)
    while True:
        run = source.run()
        try:
            mending = mend(read_run(run), host, LATEST)
        except InputRefused:
            continue
        failed = mending.verdict.failure
        if mending.verdict.of("unknown") or (failed is not None and failed.code != "qemu-kvm"):
            continue
        line = mending.vm.command_line
        assert line is not None
        words = tuple(without_kvm(word) for word in line.words) if lab else line.words
        yield msgspec.structs.replace(run, argv=words), bool(mending.applied)


@pytest.fixture
def binary(lab_artifacts: Artifacts, tmp_path: Path) -> str:
    path = tmp_path / "qemu-system-aarch64"
    path.write_text(f'#!/bin/sh\nexec {shlex.join(lab_artifacts.tools.qemu())} "$@"\n')
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(("lab", "seed"), [(False, 5), (True, 5)])
def test_what_a_mend_calls_startable_meets_no_refusal_before_kvm(
    binary: str, lab_artifacts: Artifacts, lab: bool, seed: int
) -> None:
    runs: list[Run] = []
    for run, changed in startable(lab, seed):
        if changed or len(runs) < SAMPLE // 3:
            runs.append(run)
        if len(runs) == SAMPLE:
            break
    with quoted("qemu-system-arm", "11.1", lab_artifacts.versions()):
        seen: Counter[str] = Counter()
        for judgement, _ in play_here(binary, runs):
            assert judgement.complaints == (), judgement.run.argv
            assert judgement.row in GATES, judgement.run.argv
            seen[judgement.row] += 1
        assert seen["qemu-kvm"] >= (SAMPLE // 6 if lab else 0), seen
        assert seen[""] >= (SAMPLE // 6 if lab else SAMPLE // 2), seen
