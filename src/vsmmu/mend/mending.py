# SPDX-License-Identifier: Apache-2.0
"""Mend a VM: apply certain fixes one after the other, and have the model judge it after each.

A change stays only if the model finds less to say of its kind afterwards; so a second run changes nothing.
Fixes of one kind that are not in each other's way are judged together: so a VM with many vSMMUs and the same
fault in each is judged a few times, not once for each.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple

from vsmmu.diagnostic import FAULTS, Edit, Insertion, Reordering
from vsmmu.errors import VsmmuError
from vsmmu.mend.table import MENDS, mender
from vsmmu.policy.checking import check
from vsmmu.policy.options import Options

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from vsmmu.diagnostic import Change, Diagnostic, Written
    from vsmmu.host.facts import Host
    from vsmmu.machine.vm import Vm
    from vsmmu.qemu.outcome import Verdict
    from vsmmu.qemu.versions import Qemu

    _Place = tuple[int | str, Written | None]

__all__ = ["Mended", "Mending", "Wishes", "mend"]

_DEFAULT: Final = Options()
_RANK: Final = {code: rank for rank, code in enumerate(MENDS)}
#: More faults than a VM has devices that vsmmu reads; each takes one step.
_MOST_STEPS: Final = 2000


class Wishes(NamedTuple):
    """What the user wants of a mend.

    :param only: codes of the faults to be mended; empty for all.
    :param unpin: properties of a vSMMU whose written values may be changed, where the host lacks them.
    :param firmware: a UEFI firmware that is there, for a command line without one; empty if none is known.
    :param accelerate: give every function of the host a vSMMU of its own host SMMU, with its values pinned.
    """

    only: frozenset[str] = frozenset()
    unpin: frozenset[str] = frozenset()
    accelerate: bool = False
    firmware: str = ""


class Mended(NamedTuple):
    """One fault that is gone.

    :param found: its diagnosis. The devices in its fix have the numbers that they have in ``base``.
    :param base: the VM that was judged.
    :param earlier: fixes of the same kind that were applied with it, and come first.
    :param made: the VM after a change that is no fix of the diagnosis.
    """

    found: Diagnostic
    base: Vm
    earlier: Sequence[Diagnostic] = ()
    made: Vm | None = None

    @property
    def before(self) -> Vm:
        """The VM before its fix."""
        return self.base.edit(_changes(self.earlier)) if self.earlier else self.base

    @property
    def after(self) -> Vm:
        """The VM after its fix."""
        return self.made or self.base.edit(_changes((*self.earlier, self.found)))


class Mending(NamedTuple):
    """A VM after all that is certain was done.

    :param vm: as it is to be written; the very same if nothing was done.
    :param verdict: on it.
    :param applied: what was mended, in order.
    :param notes: sentences for people.
    """

    vm: Vm
    verdict: Verdict
    applied: tuple[Mended, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def left(self) -> tuple[Diagnostic, ...]:
        """The faults and doubts that are still there."""
        return self.verdict.of(*FAULTS)


class _Judge(NamedTuple):
    """The model, asked about one VM after the other."""

    host: Host
    qemu: Qemu
    options: Options
    wishes: Wishes

    def __call__(self, vm: Vm) -> Verdict:
        mends = mender(unpin=self.wishes.unpin, firmware=self.wishes.firmware)
        return check(vm, self.host, self.qemu, self.options, mends)


_ALL: Final = Wishes()


def mend(vm: Vm, host: Host, qemu: Qemu, options: Options = _DEFAULT, wishes: Wishes = _ALL) -> Mending:
    """Apply every certain fix, until the model knows none any more.

    :return: the VM in the form in which it came, everything else byte for byte as it was.
    :raise InputRefused: for text that describes no VM.
    :raise Negative: with ``accelerate``: what keeps functions of the host from getting vSMMUs.
    """
    judge = _Judge(host, qemu, options, wishes)
    mending = _certain(Mending(vm, judge(vm)), judge, wishes.only)
    if not wishes.accelerate or mending.verdict.answer == "not-judged":
        return mending
    from vsmmu.mend.accelerate import accelerate, pinned

    moved = accelerate(mending.vm, host, qemu, options)
    if moved is not None:
        step = Mended(moved.found, mending.vm, made=moved.vm)
        mending = Mending(moved.vm, judge(moved.vm), (*mending.applied, step), moved.notes)
        mending = _certain(mending, judge, wishes.only)
    values = pinned(mending.vm, host, qemu, options)
    if values is not None:
        step = Mended(values.found, mending.vm, made=values.vm)
        verdict = judge(values.vm)
        mending = mending._replace(vm=values.vm, verdict=verdict, applied=(*mending.applied, step))
    return mending


def _certain(mending: Mending, judge: _Judge, only: Collection[str]) -> Mending:
    seen = {mending.vm.render()}
    most: dict[str, int] = {}
    for _ in range(_MOST_STEPS):
        step = _step(mending, judge, only, seen, most)
        if step is None:
            break
        mending = step
        seen.add(step.vm.render())
    return mending


def _step(
    mending: Mending, judge: _Judge, only: Collection[str], seen: set[bytes], most: dict[str, int]
) -> Mending | None:
    """The VM with the first faults of a kind mended whose fixes do what they say; None if there are none.

    :param most: how many faults of a code are mended together, where not all of them can; changed.
    """
    ranked = sorted(mending.verdict.diagnostics, key=lambda entry: _RANK.get(entry.code, len(_RANK)))
    wanted = [entry for entry in ranked if entry.fix and not (only and entry.code not in only)]
    while wanted:
        code = wanted[0].code
        faults = list(islice(_together(wanted), most.get(code)))
        step = _applied(mending, faults, judge, seen)
        if step is not None:
            return step
        if len(faults) > 1:
            most[code] = len(faults) // 2
        else:
            most.pop(code, None)  # it was this one
            wanted = [entry for entry in wanted if entry.fix != faults[0].fix]
    return None


def _together(wanted: Sequence[Diagnostic]) -> Iterator[Diagnostic]:
    """The first fault, and those of its kind whose fixes are not in the way of it and each other."""
    taken: set[_Place] = set()
    named: set[_Place] = set()
    for entry in wanted:
        own, others = _places(entry.fix)
        if entry.code == wanted[0].code and taken.isdisjoint(own | others) and named.isdisjoint(own):
            yield entry
            taken |= own
            named |= others


def _places(fix: Iterable[Change]) -> tuple[set[_Place], set[_Place]]:
    """What a fix takes for itself in a VM, and what has to stay where it is for it."""
    own: set[_Place] = set()
    others: set[_Place] = set()
    for change in fix:
        match change:
            case Edit(device, name):
                own.add((device, name))
            case Insertion(option, settings):
                own.add((option, settings.get("id")))
            case Reordering(device, behind):
                own.add((device, None))
                others.add((behind, None))
    return own, others


def _applied(
    mending: Mending, faults: Sequence[Diagnostic], judge: _Judge, seen: Collection[bytes]
) -> Mending | None:
    """The VM with these faults of one kind mended; None if the fixes do not do what they say."""
    try:
        after = mending.vm.edit(_changes(faults))
        if after.render() in seen:
            return None
        verdict = judge(after)
    except VsmmuError:  # this form of a VM cannot say it
        return None
    code = faults[0].code
    if _count(verdict, code) >= _count(mending.verdict, code):
        return None
    left = {(found.code, found.where) for found in verdict.diagnostics}
    if len(faults) > 1 and any((found.code, found.where) in left for found in faults):
        return None
    steps = (Mended(found, mending.vm, faults[:place]) for place, found in enumerate(faults))
    return mending._replace(vm=after, verdict=verdict, applied=(*mending.applied, *steps))


def _changes(faults: Iterable[Diagnostic]) -> tuple[Change, ...]:
    return tuple(change for found in faults for change in found.fix)


def _count(verdict: Verdict, code: str) -> int:
    return sum(found.code == code for found in verdict.diagnostics)
