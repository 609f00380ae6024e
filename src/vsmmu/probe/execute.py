# SPDX-License-Identifier: Apache-2.0
"""Probe the host: plan which functions to ask, then ask them under the lock and write the facts.

The plan is made of the objects that are applied, so ``--dry-run`` shows what would happen and nothing else.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from vsmmu.errors import HostLacks, InputRefused, Negative, PermissionRefused, VsmmuError, named_file
from vsmmu.host.files import save_host
from vsmmu.pci import normal_address
from vsmmu.probe.ask import IOMMUFD, Answer, ask
from vsmmu.probe.candidates import Candidate, candidate, choose, objection, objection_to_bind
from vsmmu.probe.discover import discover
from vsmmu.probe.journal import Journal, Transaction
from vsmmu.probe.live import FACTS_FILE, saved_facts
from vsmmu.probe.lock import exclusive
from vsmmu.probe.record import carry_over, record
from vsmmu.probe.steps import (
    VFIO_PCI,
    BindDriver,
    DriverStep,
    OverrideDriver,
    SysfsWriter,
    UnbindDriver,
    bound_driver,
    current_override,
)
from vsmmu.probe.vfio_files import vfio_device
from vsmmu.shipped import PROBE_UNIT
from vsmmu.uapi.hw_info import IOMMU_HW_INFO_TYPE_NONE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vsmmu.host.facts import Host, HostFunction
    from vsmmu.probe.journal import AnyStep
    from vsmmu.probe.system_root import Tree

__all__ = ["JOURNAL_FILE", "ProbeOutcome", "ProbePlan", "Report", "Target", "make_plan", "probe"]

JOURNAL_FILE = "journal"
#: The first may be in use by a VM; more tries than this would hide that a host is full.
_TRIES = 8


class Target(NamedTuple):
    """One question: an SMMU, or a function that was named.

    :param choices: the functions that can answer it, best first; the next is tried if one is in use.
    :param steps: driver changes to make before, and to undo after.
    :param refusal: why it cannot be asked at all; there are no choices then.
    """

    name: str
    choices: tuple[str, ...] = ()
    steps: tuple[DriverStep, ...] = ()
    refusal: VsmmuError | None = None


class ProbePlan(NamedTuple):
    """What a probe will do.

    :param pending: steps of an interrupted probe that are undone first, in that order.
    """

    host: Host
    pending: tuple[AnyStep, ...]
    targets: tuple[Target, ...]
    facts_path: str

    def describe(self) -> list[str]:
        """Every action, in order, one sentence each."""
        lines = [f"{step.describe_undo()} (left by an interrupted probe)" for step in self.pending]
        for target in self.targets:
            if target.refusal is not None:
                lines.append(f"skip {target.name}: {target.refusal.what}")
                continue
            lines += [step.describe() for step in target.steps]
            lines.append(_describe_question(target))
            lines += [step.describe_undo() for step in reversed(target.steps)]
        return [*lines, f"write {self.facts_path}"]


class ProbeOutcome(NamedTuple):
    """How a target ended: with an answer, or with the reason why there is none.

    There are both where the kernel answered that it has nothing to say.
    """

    target: Target
    answer: Answer | None
    error: VsmmuError | None


class Report(NamedTuple):
    """What a probe did.

    :param host: the facts as they were written.
    :param undone: steps of an interrupted probe that were undone first.
    :param stuck: why they could not be undone, such as a VM that uses the function by now.
    """

    host: Host
    outcomes: tuple[ProbeOutcome, ...]
    undone: tuple[AnyStep, ...]
    stuck: VsmmuError | None
    facts_path: str


def make_plan(tree: Tree, devices: Sequence[str] = (), bind: Sequence[str] = ()) -> ProbePlan:
    """Decide what to ask; nothing is changed.

    :param devices: functions to ask; if neither these nor ``bind`` are given, one for each SMMU.
    :param bind: functions to take from their drivers for the moment.
    :raise HostLacks: ``no-iommufd``, ``no-smmu``.
    :raise InputRefused: ``not-an-address``, ``no-such-function``.
    :raise VsmmuError: ``journal-malformed``, ``journal-failed``.
    """
    _check_there(tree)
    pending = Journal(f"{tree.run_directory()}/{JOURNAL_FILE}").pending()
    return _plan(tree, devices, bind, tuple(reversed(pending)))


def _plan(tree: Tree, devices: Sequence[str], bind: Sequence[str], pending: tuple[AnyStep, ...]) -> ProbePlan:
    host = discover(tree)
    before = saved_facts(tree).host
    host = host if before is None else carry_over(host, before)
    if not host.smmus:
        raise HostLacks(
            "no-smmu", "this host has no IOMMU", why="/sys/class/iommu is empty", next="vsmmu doctor"
        )
    if devices or bind:
        to_bind = dict.fromkeys(_function(host, device).address for device in bind)
        named = dict.fromkeys(_function(host, device).address for device in devices)
        targets = [_named(tree, _function(host, address)) for address in named if address not in to_bind]
        targets += [_to_bind(tree.strict(), _function(host, address)) for address in to_bind]
    else:
        targets = _one_for_each_smmu(tree, host)
    return ProbePlan(host, pending, tuple(targets), f"{tree.run_directory()}/{FACTS_FILE}")


def probe(
    tree: Tree, devices: Sequence[str] = (), bind: Sequence[str] = (), writer: SysfsWriter | None = None
) -> Report:
    """Undo what an interrupted probe left, ask, and write the facts.

    That one target cannot be asked does not keep the others from being asked; see :class:`ProbeOutcome`.

    :param writer: what writes to sysfs; the real thing if None.
    :raise VsmmuError: as :func:`make_plan`; ``probe-busy``; and if the facts cannot be written.
    """
    writer = writer or SysfsWriter(tree)
    _check_there(tree)
    _check_permitted(tree)
    run = tree.run_directory()
    with exclusive(run):
        journal = Journal(f"{run}/{JOURNAL_FILE}")
        undone, stuck = _undo_interrupted(journal, writer)
        if stuck is not None and bind:
            raise stuck  # one journal, one change at a time
        plan = _plan(tree, devices, bind, ())
        host = plan.host
        outcomes = []
        for target in plan.targets:
            outcome = _run(tree, host, target, journal, writer)
            if outcome.answer is not None:
                host = record(host, outcome.answer, datetime.now(UTC).isoformat(timespec="seconds"))
            outcomes.append(outcome)
        save_host(host, Path(plan.facts_path))
    return Report(host, tuple(outcomes), tuple(undone), stuck, plan.facts_path)


def _run(tree: Tree, host: Host, target: Target, journal: Journal, writer: SysfsWriter) -> ProbeOutcome:
    if target.refusal is not None:
        return ProbeOutcome(target, None, target.refusal)
    try:
        if not target.steps:
            return _outcome(target, _ask_first(tree, host, target.choices))
        with Transaction(journal, writer) as transaction:
            transaction.do(target.steps)
            return _outcome(target, _ask_first(tree, host, target.choices))
    except VsmmuError as error:
        return ProbeOutcome(target, None, error)


def _outcome(target: Target, answer: Answer) -> ProbeOutcome:
    if answer.info.type != IOMMU_HW_INFO_TYPE_NONE:
        return ProbeOutcome(target, answer, None)
    lacks = HostLacks(
        "no-hw-info",
        "the kernel tells nothing about this IOMMU",
        where=target.name,
        why="it answers type 0",
        next="for an SMMUv3, use a kernel with CONFIG_ARM_SMMU_V3_IOMMUFD (Linux 6.13 or later)",
    )
    return ProbeOutcome(target, answer, lacks)


def _ask_first(tree: Tree, host: Host, choices: tuple[str, ...]) -> Answer:
    """Ask the first that is not in use.

    :raise VsmmuError: what the first said, if none can be asked.
    """
    first: VsmmuError | None = None
    for address in choices[:_TRIES]:
        function = host.function(address)
        device = vfio_device(tree, address)
        try:
            if device is None or function is None:
                raise Negative(
                    "device-gone",
                    "the function has left its vfio driver",
                    where=address,
                    next="try again; if it stays away, vsmmu show tells its driver",
                )
            return ask(tree, address, device.node, function.iommu_group)
        except (Negative, PermissionRefused) as error:
            first = first or error
    raise first or Negative(
        "no-idle-function",
        "there is nothing to ask",
        next="bind a function to vfio-pci, or name one to take for a moment: --bind ADDRESS",
    )


def _undo_interrupted(journal: Journal, writer: SysfsWriter) -> tuple[list[AnyStep], VsmmuError | None]:
    try:
        return journal.undo(writer), None
    except VsmmuError as error:
        return [], error


def _check_there(tree: Tree) -> None:
    if not tree.exists(IOMMUFD):
        raise HostLacks(
            "no-iommufd",
            "this host has no iommufd",
            why=f"there is no {tree.path(IOMMUFD)}",
            next="use a kernel with CONFIG_IOMMUFD (modprobe iommufd); see also: vsmmu doctor",
        )


def _check_permitted(tree: Tree) -> None:
    path = tree.path(IOMMUFD)
    if not os.access(path, os.R_OK | os.W_OK):
        raise PermissionRefused(
            "no-permission",
            "may not open the file",
            where=path,
            next=f"run as root, as {PROBE_UNIT} does at boot (systemctl enable --now vsmmu-probe); without, "
            "show and resolve use what root has probed",
        )


def _function(host: Host, device: str) -> HostFunction:
    address = normal_address(device)
    if address is None:
        raise InputRefused(
            "not-an-address",
            f"{device!r:.60} is no PCI address",
            next="write domain:bus:device.function, such as 0000:01:00.0",
        )
    function = host.function(address)
    if function is None:
        raise InputRefused(
            "no-such-function", "there is no such PCI function", where=address, next="see: vsmmu show"
        )
    return function


def _one_for_each_smmu(tree: Tree, host: Host) -> list[Target]:
    """The SMMUs that have functions; others serve devices that no VM can have."""
    targets = []
    for smmu in host.smmus:
        functions = host.behind(smmu)
        if not functions:
            continue
        chosen = choose(tree, smmu, functions)
        if isinstance(chosen, VsmmuError):
            targets.append(Target(smmu.name, refusal=chosen))
        else:
            targets.append(Target(smmu.name, tuple(entry.function.address for entry in chosen)))
    return targets


def _named(tree: Tree, function: HostFunction) -> Target:
    refusal = objection(candidate(tree, function))
    choices = () if refusal else (function.address,)
    return Target(function.address, choices, refusal=refusal)


def _to_bind(tree: Tree, function: HostFunction) -> Target:
    """A function that is taken from its driver; one that is on vfio already is only asked.

    :param tree: a strict one: what cannot be told is no reason to take a function from somebody.
    """
    try:
        found = candidate(tree, function)
        if found.device is not None:
            return _named(tree, function)
        refusal = objection_to_bind(tree, found)
        if refusal is None:
            return Target(function.address, (function.address,), _steps(tree, found))
    except OSError as error:
        refusal = HostLacks(
            "cannot-tell",
            "cannot tell whether the function is in use",
            where=named_file(error) or function.address,
            why=os.strerror(error.errno or 0),
            next="when that is mended, run: vsmmu probe",
        )
    return Target(function.address, refusal=refusal)


def _steps(tree: Tree, found: Candidate) -> tuple[DriverStep, ...]:
    """Each undo makes the next one possible: a driver takes no function with the override of another.

    An override that was set after its driver had come (``driverctl``) would keep that driver out later.
    """
    function = found.function
    steps: list[DriverStep] = []
    driver = bound_driver(tree, function.address)
    override = current_override(tree, function.address)
    if driver is not None:
        if override not in (b"", os.fsencode(driver)):
            steps.append(OverrideDriver(function.address, driver, override))
            override = os.fsencode(driver)
        steps.append(UnbindDriver(function.address, driver))
    if override != VFIO_PCI.encode():
        steps.append(OverrideDriver(function.address, VFIO_PCI, override))
    steps.append(BindDriver(function.address, VFIO_PCI, function.iommu_group))
    return tuple(steps)


def _describe_question(target: Target) -> str:
    first, *others = target.choices
    rest = f"; if it is in use, {' or '.join(others[: _TRIES - 1])}" if others else ""
    return (
        f"ask the kernel about the IOMMU before {first}: bind it to an iommufd for some milliseconds, "
        f"which resets the function before and after{rest}"
    )
