# SPDX-License-Identifier: Apache-2.0
"""Mends of whole VMs as operators write them: done once, and no fault that was mended is there afterwards."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from conformance.fixed_host import fixed_host
from conformance.here import NOBODY
from conformance.mended import read_run
from conformance.written import WrittenVms
from vsmmu.errors import InputRefused
from vsmmu.mend.mending import mend
from vsmmu.qemu.versions import LATEST

VMS = 150


@pytest.mark.parametrize(("lab", "seed"), [(False, 11), (True, 12)])
def test_a_mend_of_a_written_vm_is_done_once_and_holds(lab: bool, seed: int) -> None:
    host = fixed_host() if lab else NOBODY
    source = WrittenVms(random.Random(seed), host, "mend", lab=lab)
    mended: Counter[str] = Counter()
    for _ in range(VMS):
        run = source.run()
        try:
            once = mend(read_run(run), host, LATEST)
        except InputRefused:  # no machine of it can be judged, such as with two devices of one id
            mended["no machine"] += 1
            continue
        twice = mend(once.vm, host, LATEST)
        assert twice.applied == (), run.name
        assert twice.vm.render() == once.vm.render(), run.name
        gone = {(step.found.code, step.found.where) for step in once.applied}
        assert [found for found in once.left if (found.code, found.where) in gone] == [], run.name
        mended.update(step.found.code for step in once.applied)
    assert mended.pop("no machine", 0) < VMS / 8
    assert len(mended) > 10, mended
    assert mended.total() > VMS / 6, mended
