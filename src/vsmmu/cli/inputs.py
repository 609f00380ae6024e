# SPDX-License-Identifier: Apache-2.0
"""From what the user typed to values: the host's facts, the VM, the QEMU, the wishes."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final, NamedTuple

from vsmmu.errors import UsageError
from vsmmu.machine.command_line.argv import CommandLine, read_source, read_words
from vsmmu.machine.command_line.files import read_config_file
from vsmmu.pci import normal_address
from vsmmu.qemu.versions import LATEST, Qemu, parse_version
from vsmmu.resolve.candidates import Wishes

if TYPE_CHECKING:
    from vsmmu.cli.options import Question
    from vsmmu.host.facts import Host
    from vsmmu.machine.domain.document import DomainXml
    from vsmmu.machine.domain.lint_versions import Version
    from vsmmu.machine.model import Machine
    from vsmmu.resolve.candidates import Ceiling
    from vsmmu.resolve.result import Policy, Resolution

__all__ = ["Inputs", "load_host", "read_inputs", "read_vm_file"]

_BUILTIN: Final = "builtin:"
#: Each format refuses more than it takes by itself; this is the larger limit, that of domain XML.
_MAX_BYTES: Final = 4 << 20
#: XML starts with ``<``, after blanks, a byte order mark and, in UTF-16, NULs; no command line does.
_HEAD: Final = 4096
_BLANKS: Final = b" \t\r\n\0\xef\xbb\xbf\xff\xfe"
#: The libvirt that the rules were held against.
_LIBVIRT: Final = (12, 8)


class Inputs(NamedTuple):
    """Everything that a verb about a VM needs.

    :param vm: the VM in the form in which it came.
    :param libvirt: the libvirt that will define it, if it is a domain.
    """

    vm: CommandLine | DomainXml
    machine: Machine
    host: Host
    qemu: Qemu
    libvirt: Version
    policy: Policy
    wishes: Wishes

    @property
    def domain(self) -> DomainXml | None:
        """The VM, if it is a libvirt domain."""
        return None if isinstance(self.vm, CommandLine) else self.vm

    def resolve(self) -> tuple[Resolution, CommandLine | DomainXml | None]:
        """The resolution, and the VM with its values; None where there are problems."""
        if isinstance(self.vm, CommandLine):
            from vsmmu.resolve.resolver import resolve

            resolution = resolve(self.machine, self.host, self.qemu, policy=self.policy, wishes=self.wishes)
            return resolution, None if resolution.problems else self.vm.edit(resolution.edits)
        from vsmmu.resolve.domain_xml import resolve_domain

        answer = resolve_domain(
            self.vm,
            self.machine,
            self.host,
            self.qemu,
            policy=self.policy,
            wishes=self.wishes,
            libvirt=self.libvirt,
        )
        return answer.resolution, answer.edited


def read_inputs(question: Question) -> Inputs:
    """Read all inputs of a verb.

    :raise UsageError: options that contradict each other or the command line.
    :raise InputRefused: malformed input.
    :raise HostLacks: no such file, no facts.
    """
    if question.host == "-" and question.file in (None, "-") and question.words is None:
        raise UsageError("two-inputs", "facts and VM cannot both come from standard input")
    wishes = _wishes(question)
    vm = _read_vm(question)
    machine = _with_machine_type(vm.machine(), question.machine_type)
    policy: Policy = "qemu" if question.policy == "qemu" else "common"
    host, qemu, libvirt = load_host(question.host), load_qemu(question.qemu), _libvirt(question.libvirt)
    return Inputs(vm, machine, host, qemu, libvirt, policy, wishes)


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


def _libvirt(spec: str | None) -> Version:
    if spec is None:
        return _LIBVIRT
    from vsmmu.machine.domain.lint_versions import parse_libvirt_version

    return parse_libvirt_version(spec)


def _read_vm(question: Question) -> CommandLine | DomainXml:
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


def read_vm_file(file: str) -> CommandLine | DomainXml:
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


def _with_machine_type(machine: Machine, wanted: str | None) -> Machine:
    if not wanted or machine.machine_type == wanted:
        return machine
    if machine.machine_type:
        raise UsageError(
            "machine-type",
            f"--machine-type {wanted} contradicts the command line, which says {machine.machine_type}",
            next="leave --machine-type out",
        )
    return machine._replace(machine_type=wanted)


def _wishes(question: Question) -> Wishes:
    functions = dict(_pair(text, "--function", "ID=BDF") for text in question.functions)
    also: dict[str, tuple[str, ...]] = {}
    for text in question.also:
        name, address = _scoped(text)
        also[name] = (*also.get(name, ()), _address(address, "--also"))
    return Wishes(
        functions={name: _address(text, "--function") for name, text in functions.items()},
        also=also,
        smmu=dict(_scoped(text) for text in question.smmu),
        assume_safe=question.assume_safe,
        allow_mixed=question.allow_mixed,
        pin_cmdqv=question.pin_cmdqv,
        ceiling=_ceiling(question.baseline) if question.baseline else None,
    )


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
