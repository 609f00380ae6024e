# SPDX-License-Identifier: Apache-2.0
"""Fast mode: run cases with a QEMU binary on this machine, which needs neither a lab nor an Arm processor.

Without KVM for Arm a QEMU refuses ``accel=on`` before it asks a host, so what is held is everything before
that: names, values, places, boards, and the registers of vSMMUs without acceleration.
"""

from __future__ import annotations

import json
import random
import tempfile
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import msgspec

from conformance import guest
from conformance.cases import Outcome, Run, Step
from conformance.compare import Judgement, judge
from conformance.fixed import fixed_runs
from conformance.mended import mended
from conformance.predict import predict
from conformance.written import WrittenVms
from slots.lines import questions
from vsmmu.host.evidence import Evidence, Fact
from vsmmu.host.facts import SCHEMA, Host
from vsmmu.qemu.versions import LATEST, Qemu

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["NOBODY", "fast_runs", "play_here", "without_kvm"]

#: A host without functions: what ``vfio-pci,host=`` names there is certainly not there.
NOBODY = Host(
    schema=SCHEMA,
    name="nobody",
    iommufd=Fact(0, "made"),
    evidence={"made": Evidence("measured", "written by hand", "a host without /dev/iommu")},
).listing_all()
_WITHOUT_KVM = {"kvm": "tcg", "host": "max"}
#: A board whose own card wants a firmware that not every build comes with.
_NEEDS_FILES = "sbsa-ref"


def fast_runs(seed: int, written: int, *, fixed: bool = True, mend: bool = False) -> Iterator[Run]:
    """The fixed cases without KVM, the places of PCI devices, and so many whole VMs of a seed.

    :param mend: only those of the whole VMs that start after a mend.
    """
    if fixed:
        for run in fixed_runs():
            words = tuple(without_kvm(word) for word in run.argv)
            if words[words.index("-accel") + 1] == "tcg" and _NEEDS_FILES not in words:
                yield msgspec.structs.replace(run, argv=words, steps=())
        for question in questions():
            steps = tuple(Step("add", plug) for plug in question.plugs)
            yield Run(f"slots/{question.id}", "places", question.words, steps)
    source = random.Random(seed)  # noqa: S311 - reproducible on purpose
    vms = WrittenVms(source, NOBODY, f"here/{seed}", lab=False)
    yield from mended(vms, NOBODY, written) if mend else (vms.run() for _ in range(written))


def without_kvm(word: str) -> str:
    """A word of a command line for a machine without KVM and without /dev/iommu."""
    if word.startswith("iommufd,") and ",fd=" not in word:
        return f"{word},fd={guest.IOMMUFD}"
    if word.startswith("{") and '"iommufd", "id"' in word:
        return json.dumps({**json.loads(word), "fd": str(guest.IOMMUFD)})
    return _WITHOUT_KVM.get(word, word.replace("accel=kvm", "accel=tcg"))


def play_here(
    binary: str, runs: Iterable[Run], qemu: Qemu = LATEST, workers: int = 1
) -> Iterator[tuple[Judgement, Outcome]]:
    """Run each case and judge it, in order."""
    guest.spare_descriptor()
    with tempfile.NamedTemporaryFile(prefix="conformance-") as firmware, ThreadPoolExecutor(workers) as pool:
        firmware.write(bytes(guest.FIRMWARE_SIZE))
        firmware.flush()

        def ask(run: Run) -> tuple[Judgement, Outcome]:
            order: dict[str, Any] = msgspec.to_builtins(run)
            order["argv"] = [firmware.name if word == guest.FIRMWARE else word for word in order["argv"]]
            outcome = msgspec.convert(guest.run(order, binary), Outcome)
            return judge(run, predict(run, NOBODY, qemu), outcome), outcome

        yield from pool.map(ask, runs)
