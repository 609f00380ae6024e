# SPDX-License-Identifier: Apache-2.0
"""Read the inputs of a verb about a VM: facts, VM, QEMU and options."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from vsmmu.api import load_qemu, read_vm, read_vm_file
from vsmmu.cli.hosts import read_host
from vsmmu.errors import UsageError
from vsmmu.machine.endpoints import host_address
from vsmmu.named_tuple import NamedTuple
from vsmmu.pci import normal_address
from vsmmu.policy.options import make_options
from vsmmu.smmuv3.properties import PROPERTIES

if TYPE_CHECKING:
    from vsmmu.cli.plain_form import Question
    from vsmmu.host.facts import Host
    from vsmmu.machine.model import Machine
    from vsmmu.machine.vm import Vm
    from vsmmu.policy.options import Ceiling, Options
    from vsmmu.qemu.versions import Qemu

__all__ = ["Inputs", "options_of_question", "read_inputs"]


class Inputs(NamedTuple):
    """Everything that a verb about a VM needs.

    :param vm: the VM in the form in which it came.
    :param machine: what it describes, with the machine type that the options say.
    """

    vm: Vm
    machine: Machine
    host: Host
    qemu: Qemu
    options: Options


def read_inputs(question: Question, vm: Vm | None = None, *, whole_host: bool = False) -> Inputs:
    """Read all inputs of a verb.

    :param vm: the VM, if it has been read already.
    :param whole_host: whether functions of a live host matter that neither VM nor options name.
    :raise UsageError: options that contradict each other or the command line.
    :raise InputRefused: malformed input.
    :raise HostLacks: no such file, no facts.
    """
    if question.host == "-" and question.file in (None, "-") and question.words is None:
        raise UsageError(
            "two-inputs",
            "facts and VM cannot both come from standard input",
            next="give the facts in a file, or the VM",
        )
    options = options_of_question(question)
    vm = vm or _read_vm(question)
    machine = options.complete(vm.machine())
    if question.host == "live":  # then the files are on this machine, too
        options = options._replace(
            absent=frozenset(file.path for file in machine.files if _is_absent(file.path))
        )
    named = None if whole_host else _named(machine, options)
    host = read_host(question.host, named)
    return Inputs(vm, machine, host, load_qemu(question.qemu), options)


def _named(machine: Machine, options: Options) -> frozenset[str]:
    """The addresses of the host functions that the VM and the options name."""
    also = [address for every in options.also.values() for address in every]
    written = [*options.functions.values(), *options.smmu.values(), *also]
    found = [*map(host_address, machine.devices), *map(normal_address, written)]
    return frozenset(address for address in found if address)


def _is_absent(path: str) -> bool:
    """Whether an absolute path is certainly not there; a relative one depends on where QEMU starts."""
    try:
        os.stat(path)  # noqa: PTH116 - no pathlib on the path of a VM's start
    except FileNotFoundError:
        return path.startswith("/")
    except (OSError, ValueError):
        return False
    return False


def _read_vm(question: Question) -> Vm:
    if question.words is not None:
        if question.file is not None:
            raise UsageError(
                "two-inputs",
                f"both a file ({question.file}) and a command after -- are given",
                next="leave one of them out",
            )
        if not question.words:
            raise UsageError("no-vm", "nothing stands after --", next="write the QEMU command there")
        return read_vm(question.words)
    if question.file is None and sys.stdin.isatty():
        raise UsageError(
            "no-vm",
            "which VM?",
            next="give a file, a process id, a QMP socket or a libvirt domain, - for standard input, or the "
            "command itself after --",
        )
    return read_vm_file(question.file or "-")


def options_of_question(question: Question) -> Options:
    """The options of a verb, from texts as people write them.

    :raise UsageError: a text that has not the form that it needs.
    """
    also: dict[str, list[str]] = {}
    for text in question.also:
        name, address = _scoped(text)
        also.setdefault(name, []).append(address)
    return make_options(
        policy="qemu" if question.policy == "qemu" else "common",
        machine_type=question.machine_type or "",
        libvirt=_libvirt(question.libvirt),
        functions=dict(_pair(text, "--function", "ID=BDF") for text in question.functions),
        also=also,
        smmu=dict(_scoped(text) for text in question.smmu),
        assume_safe=question.assume_safe,
        allow_mixed=question.allow_mixed,
        pin_cmdqv=question.pin_cmdqv,
        ceiling=_ceiling(question.baseline) if question.baseline else None,
        unpin=tuple(PROPERTIES) if "all" in question.unpin else question.unpin,
    )


def _libvirt(text: str | None) -> str | None:
    if text is None or text[:1].isdigit():
        return text
    from vsmmu.monitor.libvirt_version import libvirt_version

    return libvirt_version(text)


def _ceiling(spec: str) -> Ceiling:
    from vsmmu.cli.baseline_file import read_baseline

    return read_baseline(spec)


def _pair(text: str, option: str, form: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise UsageError(
            "option-form",
            f"{option} {text!r:.80} has not the form {form}",
            next="write it in that form: vsmmu resolve --help shows examples",
        )
    return name, value


def _scoped(text: str) -> tuple[str, str]:
    """``VSMMU=VALUE`` or just ``VALUE``, which is for every vSMMU."""
    name, equals, value = text.partition("=")
    return (name, value) if equals else ("", name)
