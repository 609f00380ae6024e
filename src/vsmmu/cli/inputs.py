# SPDX-License-Identifier: Apache-2.0
"""From what the user typed to values: the host's facts, the VM, the QEMU, the options."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final, NamedTuple

from vsmmu.errors import UsageError
from vsmmu.machine.command_line.argv import read_source, read_words
from vsmmu.machine.command_line.files import read_config_file
from vsmmu.pci import normal_address
from vsmmu.qemu.versions import LATEST, Qemu, parse_version
from vsmmu.resolve.options import Options

if TYPE_CHECKING:
    from vsmmu.cli.options import Question
    from vsmmu.host.facts import Host
    from vsmmu.machine.model import Machine
    from vsmmu.machine.vm import Vm
    from vsmmu.resolve.options import Ceiling
    from vsmmu.versions import Version

__all__ = ["Inputs", "load_host", "read_inputs", "read_vm_file"]

_BUILTIN: Final = "builtin:"
#: Each format refuses more than it takes by itself; this is the larger limit, that of domain XML.
_MAX_BYTES: Final = 4 << 20
#: XML starts with ``<``, after blanks, a byte order mark and, in UTF-16, NULs; no command line does.
_HEAD: Final = 4096
_BLANKS: Final = b" \t\r\n\0\xef\xbb\xbf\xff\xfe"


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


def read_inputs(question: Question) -> Inputs:
    """Read all inputs of a verb.

    :raise UsageError: options that contradict each other or the command line.
    :raise InputRefused: malformed input.
    :raise HostLacks: no such file, no facts.
    """
    if question.host == "-" and question.file in (None, "-") and question.words is None:
        raise UsageError("two-inputs", "facts and VM cannot both come from standard input")
    options = _options(question)
    vm = _read_vm(question)
    machine = options.complete(vm.machine())
    return Inputs(vm, machine, load_host(question.host), load_qemu(question.qemu), options)


def load_host(spec: str) -> Host:
    """The facts that ``--host`` names.

    :raise UsageError: ``no-such-builtin``.
    :raise InputRefused: a malformed facts file.
    :raise HostLacks: a missing file; for ``live``, no facts on this machine.
    """
    if spec == "live":
        from vsmmu.probe.live import live_host

        return live_host()
    if spec.startswith(_BUILTIN):
        from vsmmu.host.builtin import builtin_host

        return builtin_host(spec.removeprefix(_BUILTIN))
    from vsmmu.host.files import load_host as load

    return load(spec)


def load_qemu(spec: str | None) -> Qemu:
    """The QEMU that ``--qemu`` names: a version, or a binary that is asked for its own.

    :raise UsageError: ``qemu-version``.
    :raise HostLacks: ``qemu-binary``: it cannot be run.
    """
    if spec is None:
        return LATEST
    if spec[:1].isdigit() and "/" not in spec:
        return parse_version(spec)
    from vsmmu.monitor.binary_cache import installed

    return installed(spec).qemu


def _read_vm(question: Question) -> Vm:
    if question.words is not None:
        if question.file is not None:
            raise UsageError("two-inputs", f"both a file ({question.file}) and a command after -- are given")
        if not question.words:
            raise UsageError("no-vm", "nothing stands after --", next="write the QEMU command there")
        return read_words(question.words, read_config_file)
    if question.file is None and sys.stdin.isatty():
        raise UsageError(
            "no-vm",
            "which VM?",
            next="give a file, or - for standard input, or the command itself after --",
        )
    return read_vm_file(question.file or "-")


def read_vm_file(file: str) -> Vm:
    """The VM in a file (``-``: standard input), a QEMU command line or libvirt domain XML.

    :raise InputRefused: malformed or too large.
    :raise HostLacks: no such file.
    """
    from vsmmu.host.files import read_bounded

    where = "standard input" if file == "-" else file
    data = read_bounded(file, _MAX_BYTES, "vm")
    if data[:_HEAD].lstrip(_BLANKS).startswith(b"<"):
        from vsmmu.machine.domain.document import read_domain_xml

        return read_domain_xml(data, where)
    return read_source(data, where, read_config_file)


def _options(question: Question) -> Options:
    functions = dict(_pair(text, "--function", "ID=BDF") for text in question.functions)
    also: dict[str, tuple[str, ...]] = {}
    for text in question.also:
        name, address = _scoped(text)
        also[name] = (*also.get(name, ()), _address(address, "--also"))
    return Options(
        policy="qemu" if question.policy == "qemu" else "common",
        machine_type=question.machine_type or "",
        libvirt=_libvirt(question.libvirt),
        functions={name: _address(text, "--function") for name, text in functions.items()},
        also=also,
        smmu=dict(_scoped(text) for text in question.smmu),
        assume_safe=question.assume_safe,
        allow_mixed=question.allow_mixed,
        pin_cmdqv=question.pin_cmdqv,
        ceiling=_ceiling(question.baseline) if question.baseline else None,
    )


def _libvirt(spec: str | None) -> Version | None:
    if spec is None:
        return None
    from vsmmu.machine.domain.lint_versions import parse_libvirt_version

    return parse_libvirt_version(spec)


def _ceiling(spec: str) -> Ceiling:
    from vsmmu.cli.baseline_file import read_baseline

    return read_baseline(spec)


def _pair(text: str, option: str, form: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise UsageError("option-form", f"{option} {text!r:.80} has not the form {form}")
    return name, value


def _scoped(text: str) -> tuple[str, str]:
    """``VSMMU=VALUE`` or just ``VALUE``, which is for every vSMMU."""
    name, equals, value = text.partition("=")
    return (name, value) if equals else ("", name)


def _address(text: str, option: str) -> str:
    address = normal_address(text)
    if address is None:
        raise UsageError(
            "address", f"{option}: {text!r:.80} is no PCI address", next="write it as 0009:01:00.0"
        )
    return address
