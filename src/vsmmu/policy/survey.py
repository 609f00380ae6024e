# SPDX-License-Identifier: Apache-2.0
"""A survey of many VMs of one host: the verdict on each with the QEMU to come, beside that with its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from vsmmu.diagnostic import Diagnostic
from vsmmu.policy.checking import check
from vsmmu.qemu.outcome import Answer, Verdict

if TYPE_CHECKING:
    from vsmmu.errors import VsmmuError
    from vsmmu.host.facts import Host
    from vsmmu.machine.vm import Vm
    from vsmmu.policy.options import Options
    from vsmmu.qemu.versions import Qemu

__all__ = ["Survey", "SurveyedVm", "survey_vm", "unread_vm"]


class SurveyedVm(msgspec.Struct, frozen=True):
    """One VM.

    :param name: libvirt's, or the path of its file.
    :param qemu_now: the version of its own emulator; empty if that cannot be asked here.
    :param now: the answer with that one; null likewise.
    :param answer: the answer with the QEMU and libvirt that were named; null if the VM cannot be read.
    :param breaks: whether it starts now, and is not known to start then.
    :param problem: why it cannot be read; null if it can.
    """

    name: str
    qemu_now: str
    now: Answer | None
    answer: Answer | None
    startable: bool
    breaks: bool
    verdict: Verdict | None
    problem: Diagnostic | None = None


class Survey(msgspec.Struct, frozen=True, tag_field="schema", tag="vsmmu.survey/1"):
    """``vsmmu.survey/1``: the answer of ``check --all``; ``unseen`` is what could not be looked at."""

    host: str
    qemu: str
    libvirt: str
    vms: tuple[SurveyedVm, ...]
    unseen: tuple[Diagnostic, ...]


def survey_vm(
    name: str,
    vm: Vm,
    host: Host,
    qemu: Qemu,
    options: Options,
    *,
    own: Qemu | None,
    assume_safe: bool = False,
) -> SurveyedVm:
    """Judge a VM with the QEMU to come, and with its own if that is known.

    :param own: the QEMU that the VM itself names, as its binary says what it is.
    :raise InputRefused: buses that contradict each other.
    :raise UsageError: options that contradict the VM.
    """
    verdict = check(vm, host, qemu, options)
    startable = verdict.would_start(assume_safe=assume_safe)
    now = None if own is None else check(vm, host, own, options._replace(libvirt=None))
    return SurveyedVm(
        name,
        "" if own is None else str(own),
        None if now is None else now.answer,
        verdict.answer,
        startable,
        breaks=now is not None and now.would_start(assume_safe=assume_safe) and not startable,
        verdict=verdict,
    )


def unread_vm(name: str, problem: VsmmuError) -> SurveyedVm:
    """A VM that cannot be read, which is no VM that starts."""
    return SurveyedVm(
        name, "", None, None, startable=False, breaks=False, verdict=None, problem=problem.diagnostic
    )
