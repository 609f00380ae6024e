# SPDX-License-Identifier: Apache-2.0
"""Check a VM as it is written: the model's verdict on QEMU, and libvirt's own rules for a domain."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from vsmmu.diagnostic import Diagnostic, by_severity
from vsmmu.qemu.doubts import fork_domain
from vsmmu.qemu.guest import guest_limits
from vsmmu.qemu.outcome import answer_of
from vsmmu.qemu.process import start
from vsmmu.qemu.versions import newer_than_known

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from vsmmu.host.facts import Host
    from vsmmu.machine.vm import Vm
    from vsmmu.policy.options import Options
    from vsmmu.qemu.outcome import Verdict
    from vsmmu.qemu.versions import Qemu

__all__ = ["Mender", "check"]

#: Gives diagnoses of a VM what mends them: :func:`vsmmu.mend.table.mender`.
Mender = Callable[["Iterable[Diagnostic]", "Vm", "Host", "Qemu", "Options"], "Iterator[Diagnostic]"]


def check(vm: Vm, host: Host, qemu: Qemu, options: Options, mend: Mender | None = None) -> Verdict:
    """Would this VM start on this host, as it is written?

    :param mend: what adds fixes to diagnoses, which here have none.
    :return: the verdict, with every diagnosis; those of a domain stand at its elements, in libvirt's words.
    :raise InputRefused: for text that describes no VM, and buses that contradict each other.
    """
    machine = options.complete(vm.passed_on())
    verdict = start(machine, host, qemu, options.functions, absent=options.absent)

    def mended(found: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
        return tuple(found if mend is None else mend(found, vm, host, qemu, options))

    if verdict.answer != "not-judged":
        verdict = msgspec.structs.replace(verdict, diagnostics=mended(verdict.diagnostics))
    verdict = msgspec.structs.replace(verdict, not_judged=vm.not_judged()).beside(guest_limits(verdict))
    if not qemu.modelled:
        verdict = verdict.beside([_newer(qemu)])
    line = vm.command_line
    known = options.lockable is not None and verdict.answer != "not-judged"
    if line is not None and known:  # of a domain, libvirt itself sets the limit
        from vsmmu.qemu.locked_memory import unlocked_memory

        verdict = verdict.beside(unlocked_memory(machine, options.lockable))
    if line is not None and line.printed:
        from vsmmu.qemu.printed import compare_printed

        verdict = verdict.beside(compare_printed(line.printed, verdict))
    if vm.domain is None or verdict.answer == "not-judged":
        return verdict
    from vsmmu.libvirt.lint import lint
    from vsmmu.libvirt.wording import in_libvirts_words

    own = lint(vm.domain.reading, options.libvirt, qemu.features)
    foreign = tuple(fork_domain(qemu, "unknown"))
    if foreign:  # which command line it becomes is not known, so nothing is said of it
        verdict = msgspec.structs.replace(verdict, failure=None, diagnostics=foreign)
    placed = in_libvirts_words(verdict.diagnostics, vm.domain.reading, own)
    diagnostics = by_severity([*mended(own), *placed])
    return msgspec.structs.replace(verdict, diagnostics=diagnostics, answer=answer_of(diagnostics))


def _newer(qemu: Qemu) -> Diagnostic:
    return Diagnostic(
        "qemu-newer",
        newer_than_known(qemu),
        next="update vsmmu, or start the VM to see",
        severity="warning",
    )
