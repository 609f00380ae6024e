# SPDX-License-Identifier: Apache-2.0
"""The answers about fleets as documents; plain structs, so that naming them loads nothing else."""

from __future__ import annotations

from typing import Literal

import msgspec

__all__ = [
    "Answer",
    "Answers",
    "BaselineDocument",
    "Change",
    "ClassPlacement",
    "ComparisonDocument",
    "DriftStep",
    "FieldComparison",
    "LeftOut",
    "PlacementDocument",
    "PoolBaseline",
    "Relation",
    "ReportClass",
    "ReportDocument",
    "ReportHost",
    "ReportMove",
    "SmmuComparison",
    "Unproven",
]


#: Whether an accelerated vSMMU (with ``compare --for``: the VM) starts on a host. *absent*: the host has no
#: function of those that were asked about, which is no fault of it.
Answer = Literal["starts", "unknown", "refused", "absent"]


class Answers(msgspec.Struct, frozen=True):
    """How many hosts have which :data:`Answer`; together all hosts."""

    starts: int = 0
    unknown: int = 0
    refused: int = 0
    absent: int = 0

    @property
    def asked(self) -> int:
        """The hosts that have what was asked about."""
        return self.starts + self.unknown + self.refused

    def spell(self) -> str:
        """The headline: what is proven, what is not, and what is certain to fail."""
        text = f"{self.starts:,} proven, {self.unknown:,} not proven, {self.refused:,} refused"
        return f"{text} ({self.absent:,} without such a function)" if self.absent else text


class DriftStep(msgspec.Struct, frozen=True):
    """Without these hosts a property could have this larger value.

    ``unknown`` of the ``hosts`` are only in the way because the fact is not known; ``names`` are the first.
    """

    property: str
    value: str
    hosts: int
    unknown: int
    classes: tuple[str, ...]
    names: tuple[str, ...]


class LeftOut(msgspec.Struct, frozen=True):
    """Hosts on which no written values make an accelerated vSMMU start, or not as far as is known."""

    kind: str
    hosts: int
    names: tuple[str, ...]
    code: str
    reason: str
    answer: Answer = "refused"


class Unproven(msgspec.Struct, frozen=True):
    """Hosts to probe: nothing speaks against a start; ``needs`` are the facts that would prove it.

    ``names`` are the first of the ``hosts``.
    """

    kind: str
    hosts: int
    needs: tuple[str, ...]
    names: tuple[str, ...] = ()


class PoolBaseline(msgspec.Struct, frozen=True):
    """The baseline of one pool; ``pool`` is empty where hosts were not grouped.

    ``values`` are in QEMU's spelling, empty if no host is left; ``holds`` says that nothing speaks against
    them on any host that has what was asked about, and ``answers`` on how many that is proven. ``device`` and
    ``libvirt`` are the same to paste. ``cmdqv`` is among the values, and not to be pasted, because QEMU's own
    auto falls back on every host.
    """

    pool: str
    hosts: int
    classes: tuple[str, ...]
    holds: bool
    values: dict[str, str]
    device: str
    libvirt: str
    steps: tuple[DriftStep, ...]
    left_out: tuple[LeftOut, ...]
    unproven: tuple[Unproven, ...]
    answers: Answers = Answers()


class BaselineDocument(msgspec.Struct, frozen=True):
    """``vsmmu.baseline/1``: the answer of ``baseline``, which ``resolve --baseline`` takes."""

    schema: Literal["vsmmu.baseline/1"]
    qemu: str
    selection: str
    hosts: int
    refused: int
    refusals: tuple[str, ...]
    pools: tuple[PoolBaseline, ...]


#: libvirt's vocabulary of ``hypervisor-cpu-compare``, and *unknown* where facts are missing.
Relation = Literal["identical", "superset", "incompatible", "unknown"]


class FieldComparison(msgspec.Struct, frozen=True):
    """One property or fact of two SMMUs; ``LOW..HIGH`` where only bounds are known, else ``?``."""

    field: str
    a: str
    b: str
    verdict: Relation


class SmmuComparison(msgspec.Struct, frozen=True):
    """One kind of SMMU of A and the SMMU of B that comes closest; ``b`` is empty if B has none."""

    a: str
    a_smmus: tuple[str, ...]
    b: str
    b_smmus: tuple[str, ...]
    verdict: Relation
    fields: tuple[FieldComparison, ...]


class Change(msgspec.Struct, frozen=True):
    """What differs between two states of one host; empty where something was not there."""

    where: str
    what: str
    before: str
    after: str


class ComparisonDocument(msgspec.Struct, frozen=True):
    """``vsmmu.comparison/1``: the answer of ``compare A B``.

    ``verdict`` says what B is to A: *identical* and *superset* mean that what runs on A runs on B.
    ``changes`` are told where both are the same host.
    """

    schema: Literal["vsmmu.comparison/1"]
    a: str
    b: str
    qemu: str
    verdict: Relation
    smmus: tuple[SmmuComparison, ...]
    changes: tuple[Change, ...]


class ClassPlacement(msgspec.Struct, frozen=True):
    """Would the VM start on hosts of this class?"""

    kind: str
    pool: str
    hosts: int
    names: tuple[str, ...]
    answer: Answer
    code: str
    reason: str


class PlacementDocument(msgspec.Struct, frozen=True):
    """``vsmmu.placement/1``: the answer of ``compare --for VM``; ``fitting`` of the ``hosts`` can run it.

    ``refused`` counts records that could not be used, ``answers`` the hosts.
    """

    schema: Literal["vsmmu.placement/1"]
    vm: str
    qemu: str
    hosts: int
    fitting: int
    answers: Answers
    refused: int
    refusals: tuple[str, ...]
    classes: tuple[ClassPlacement, ...]


class ReportClass(msgspec.Struct, frozen=True):
    """One class of hosts in a report.

    ``name`` is one that people can say, and no two classes of a report have the same. ``values`` are what is
    known of each property in QEMU's spelling, ``answer`` whether an accelerated vSMMU with the least values
    starts there, ``holds_back`` the properties of which other hosts could have more. ``fields`` has one
    mapping for each kind of SMMU, from key to value.
    """

    kind: str
    name: str
    title: str
    hosts: int
    pools: tuple[str, ...]
    values: dict[str, str]
    answer: Answer
    reason: str
    holds_back: tuple[str, ...]
    smmus: tuple[str, ...]
    fields: tuple[dict[str, str], ...]


class ReportHost(msgspec.Struct, frozen=True):
    """One of the hosts that a report names; ``topology`` is the number of its picture, -1 without one."""

    name: str
    pool: str
    kind: str
    answer: Answer
    topology: int


class ReportMove(msgspec.Struct, frozen=True):
    """Hosts that changed class since the earlier facts, and the fields that differ."""

    before: str
    after: str
    hosts: int
    names: tuple[str, ...]
    fields: tuple[FieldComparison, ...]


class ReportDocument(msgspec.Struct, frozen=True):
    """``vsmmu.report/1``: the answer of ``report``.

    ``answers`` is the headline, and ``probe`` the hosts that a probe would settle. ``named`` are at most a
    few hundred hosts of each class; ``hosts`` counts all. ``refused`` counts records that could not be used.
    """

    schema: Literal["vsmmu.report/1"]
    title: str
    made_at: str
    qemu: str
    selection: str
    hosts: int
    refused: int
    refusals: tuple[str, ...]
    compared: bool
    answers: Answers
    probe: tuple[Unproven, ...]
    pools: tuple[PoolBaseline, ...]
    classes: tuple[ReportClass, ...]
    moves: tuple[ReportMove, ...]
    named: tuple[ReportHost, ...]
