# SPDX-License-Identifier: Apache-2.0
"""``vsmmu check --all``: every domain of libvirt and every VM in the directories named, before an upgrade."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

import msgspec

from vsmmu.cli import console
from vsmmu.diagnostic import FAULTS
from vsmmu.errors import UsageError, VsmmuError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from vsmmu.cli.plain_form import Question
    from vsmmu.diagnostic import Diagnostic
    from vsmmu.machine.vm import Vm
    from vsmmu.monitor.defined_vms import DefinedVm
    from vsmmu.policy.survey import Survey, SurveyedVm
    from vsmmu.qemu.versions import Qemu

__all__ = ["check_all"]

_SECONDS: Final = 30.0
_NO_LIBVIRT: Final = "name the directories that hold VMs; for libvirt's, virsh must be here, and allowed"
_SHORT: Final = {
    "starts": "starts",
    "fails-later": "fails later",
    "refused": "would not start",
    "unknown": "unknown",
    "not-judged": "not judged",
    None: "cannot be read",
}


def check_all(question: Question, paths: tuple[str, ...], *, quiet: bool, output: str) -> int:
    """Judge them all; exit status 0 only if every one is known to start.

    :raise UsageError: a command after ``--``, which is one VM.
    :raise HostLacks: there is no libvirt, and no directory was named.
    """
    from vsmmu.api import load_qemu
    from vsmmu.cli.hosts import read_host
    from vsmmu.cli.inputs import options_of_question
    from vsmmu.policy.survey import Survey, survey_vm, unread_vm
    from vsmmu.versions import LATEST_LIBVIRT, spell_version

    if question.words is not None:
        raise UsageError("two-inputs", "--all is about many VMs, and a command is one", next="leave one out")
    host, qemu, options = read_host(question.host), load_qemu(question.qemu), options_of_question(question)
    named = tuple(filter(None, (question.file, *paths)))
    found, unseen = _defined(named)
    vms: list[SurveyedVm] = []
    for name, vm in found:
        try:
            if isinstance(vm, VsmmuError):
                raise vm
            own, safe = _own_qemu(vm), question.assume_safe
            vms.append(survey_vm(name, vm, host, qemu, options, own=own, assume_safe=safe))
        except VsmmuError as error:
            vms.append(unread_vm(name, error))
    libvirt = spell_version(options.libvirt or LATEST_LIBVIRT)
    survey = Survey(host.name, str(qemu), libvirt, tuple(vms), tuple(unseen))
    if output == "json":
        console.answer(survey)
    elif not quiet:
        console.say(*_text(survey))
    looked = bool(vms) or not unseen
    return 0 if looked and all(vm.startable for vm in vms) else 1


def _defined(paths: tuple[str, ...]) -> tuple[list[DefinedVm], list[Diagnostic]]:
    """The VMs, and why libvirt's are not among them."""
    import os

    from vsmmu.monitor.defined_vms import defined_domains, vms_in

    uri = os.environ.get("LIBVIRT_DEFAULT_URI") or "qemu:///system"
    unseen = []
    try:
        found = list(defined_domains(uri, _SECONDS))
    except VsmmuError as error:
        missing = msgspec.structs.replace(error.diagnostic, next=_NO_LIBVIRT)
        if not paths:
            raise type(error).of(missing) from None
        found = []
        unseen = [msgspec.structs.replace(missing, severity="unknown")]
    return [*found, *(vm for path in paths for vm in vms_in(path))], unseen


def _own_qemu(vm: Vm) -> Qemu | None:
    """The QEMU that the VM names, if it is here and may be asked.

    To be asked it is started, and a file in a directory may name anything: only what root has installed is.
    """
    import os

    from vsmmu.machine.command_line.sources import is_emulator
    from vsmmu.monitor.binary_cache import find, installed

    program = vm.machine().program
    try:
        path = find(program)
        state = os.stat(path)  # noqa: PTH116
        if not is_emulator(program) or state.st_uid or state.st_mode & 0o022:
            return None
        return installed(path).qemu
    except (VsmmuError, OSError):
        return None


def _text(survey: Survey) -> Iterator[console.Line]:
    from vsmmu.cli.table import table

    if survey.vms:
        head = ("VM", "ITS OWN QEMU", "NOW", f"QEMU {survey.qemu}")
        yield from table(head, [_row(vm) for vm in survey.vms])
    for vm in survey.vms:
        for entry in _reasons(vm):
            yield ""
            yield console.Styled(vm.name, "title")
            yield from console.diagnosis(entry)
    yield ""
    for entry in survey.unseen:
        yield from console.diagnosis(entry)
    yield _conclusion(survey)


def _row(vm: SurveyedVm) -> tuple[str, ...]:
    breaks = " (breaks)" if vm.breaks else ""
    return vm.name, vm.qemu_now, _SHORT[vm.now] if vm.now else "", f"{_SHORT[vm.answer]}{breaks}"


def _reasons(vm: SurveyedVm) -> Iterable[Diagnostic]:
    """The first diagnosis that keeps a VM from starting; ``vsmmu check VM`` has the rest."""
    if vm.problem is not None:
        return (vm.problem,)
    if vm.startable or vm.verdict is None:
        return ()
    return [entry for entry in vm.verdict.diagnostics if entry.severity in FAULTS][:1]


def _conclusion(survey: Survey) -> str:
    counts = Counter(_SHORT[vm.answer] for vm in survey.vms)
    parts = ", ".join(f"{count} {name}" for name, count in counts.most_common())
    breaks = sum(vm.breaks for vm in survey.vms)
    told = f"; {breaks} would break by the upgrade" if breaks else ""
    where = f"{survey.host}, QEMU {survey.qemu}, libvirt {survey.libvirt}"
    return f"{len(survey.vms)} VMs on {where}: {parts or 'none'}{told}"
