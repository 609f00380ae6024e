# SPDX-License-Identifier: Apache-2.0
"""The public API: facts, a VM and a QEMU in, values and verdicts out. ``import vsmmu`` has its names."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Final

from vsmmu.machine.recognise import MAX_VM_BYTES
from vsmmu.machine.recognise import read_vm as _read_vm
from vsmmu.policy.options import make_options
from vsmmu.qemu.versions import LATEST, Qemu, is_version, parse_version

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from vsmmu.host.facts import Host
    from vsmmu.machine.vm import Vm
    from vsmmu.mend.mending import Mending
    from vsmmu.policy.options import Policy
    from vsmmu.policy.result import Resolution
    from vsmmu.qemu.outcome import Verdict

__all__ = ["check", "fix", "load_host", "load_qemu", "read_vm", "read_vm_data", "read_vm_file", "resolve"]

_BUILTIN: Final = "builtin:"
#: What is called so is a file and no domain, also where there is none.
_FILES: Final = (".sh", ".xml", ".service", ".log", ".txt", ".json", ".yaml", ".yml", ".cfg", ".conf")


def load_host(spec: str = "live") -> Host:
    """The facts about a host.

    :param spec: ``live`` (this machine: what was probed, brought up to date from sysfs), the path of a facts
        file (``vsmmu.host/1``; ``-`` is standard input), or ``builtin:NAME``.
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


def load_qemu(spec: str | None = None) -> Qemu:
    """What is known of a QEMU.

    :param spec: a version such as ``11.1`` or ``nvidia-10.1``, or a binary that is asked for its own;
        None for the newest known.
    :raise UsageError: ``qemu-version``: older than what is modelled, or no version.
    :raise HostLacks: ``qemu-binary``: it cannot be run.
    """
    if spec is None:
        return LATEST
    if is_version(spec):
        return parse_version(spec)
    from vsmmu.monitor.binary_cache import installed, with_own_table

    return with_own_table(installed(spec), spec)


def read_vm(source: bytes | str | Sequence[str]) -> Vm:
    """A VM from a libvirt domain or a QEMU command line.

    :param source: bytes or text of domain XML, of a script, a systemd unit, libvirt's log of a domain or a
        line of ``ps``; NUL-separated words; or a list of words, the emulator first. Files that
        ``-readconfig`` names are read.
    :raise InputRefused: malformed, over a limit, or no VM (``not-a-vm``).
    """
    return _read_vm(source, reader=_read_config_file)


def read_vm_file(path: str) -> Vm:
    """The VM in a file, or the one that a name stands for.

    :param path: of a file; ``-`` is standard input; where there is no such file, a process id of QEMU, the
        path of its QMP socket, or the name of a libvirt domain.
    :raise InputRefused: as :func:`read_vm`.
    :raise HostLacks: no such file, process or domain.
    :raise PermissionRefused: the kernel refuses to show it.
    """
    # As os.path.exists() and is_socket(), without the import of pathlib: this is on the path of a VM's start.
    named = path != "-" and "/" not in path and not path.endswith(_FILES)
    if (named and not os.path.exists(path)) or _is_socket(path):  # noqa: PTH110
        from vsmmu.monitor.named_vm import read_named_vm

        return read_named_vm(path)
    from vsmmu.host.files import read_bounded

    where = "standard input" if path == "-" else path
    return read_vm_data(read_bounded(path, MAX_VM_BYTES, "vm"), where)


def read_vm_data(data: bytes, where: str) -> Vm:
    """The VM in what a file or a stream holds.

    :param where: what it is called in errors.
    :raise InputRefused: as :func:`read_vm`.
    """
    return _read_vm(data, where, _read_config_file)


def _read_config_file(name: str) -> bytes:
    from vsmmu.monitor.readconfig import read_config_file  # few VMs have one

    return read_config_file(name)


def _is_socket(path: str) -> bool:
    try:
        return stat.S_ISSOCK(os.stat(path).st_mode)  # noqa: PTH116
    except (OSError, ValueError):
        return False


def resolve(
    vm: Vm,
    host: Host,
    *,
    qemu: str | Qemu | None = None,
    policy: Policy = "common",
    machine_type: str = "",
    libvirt: str | None = None,
    also: Iterable[str] | Mapping[str, Iterable[str]] = (),
    smmu: str | Mapping[str, str] = "",
    functions: Mapping[str, str] | None = None,
    assume_safe: bool = False,
    allow_mixed: bool = False,
    pin_cmdqv: bool = False,
    unpin: Iterable[str] = (),
) -> Resolution:
    """Choose every value that is ``auto``, or absent where accel=on, so that it fits the host.

    :param qemu: a version, a binary, or what :func:`load_qemu` gives; None for the newest known.
    :param policy: *common*: the most that all functions behind a vSMMU can have. *qemu*: what QEMU's own
        auto would take, the first device's.
    :param machine_type: of a VM that does not say its own, or QEMU's name for a distribution's.
    :param libvirt: the version that will define a domain, such as ``12.8``.
    :param also: addresses of functions that will be plugged in later; by vSMMU name, or for all of them.
    :param smmu: the host SMMU that a vSMMU is for: a name, or the address of a function behind it.
    :param functions: host addresses of vfio-pci devices with ``fd=``, by device name.
    :param assume_safe: take what asks least of the host where a fact is unknown.
    :param allow_mixed: let one vSMMU stand for two host SMMUs.
    :param pin_cmdqv: pin cmdqv, too.
    :param unpin: names of properties whose written values are forgotten first, as those of another host.
    :return: the answer. ``answer["smmuv3.0"]`` are the values of one vSMMU, each with its rule, reason and
        sources; ``answer.vm`` is the VM with the values written into it, None if there are ``problems``.
    :raise UsageError: an option that has no such form.
    :raise InputRefused: a VM that contradicts itself.
    """
    from vsmmu.policy.resolver import resolve as resolve_vm

    options = make_options(
        policy=policy,
        machine_type=machine_type,
        libvirt=libvirt,
        also=also,
        smmu=smmu,
        functions=functions or {},
        assume_safe=assume_safe,
        allow_mixed=allow_mixed,
        pin_cmdqv=pin_cmdqv,
        unpin=unpin,
    )
    return resolve_vm(vm, host, _qemu(qemu), options)


def check(
    vm: Vm,
    host: Host,
    *,
    qemu: str | Qemu | None = None,
    machine_type: str = "",
    libvirt: str | None = None,
    functions: Mapping[str, str] | None = None,
) -> Verdict:
    """Predict whether QEMU would start the VM on the host, as it is written.

    :return: the verdict: ``answer``, and ``diagnostics`` with QEMU's or libvirt's own words, worst first;
        each has its ``fix``, where one change mends it for certain.
    :raise UsageError: an option that has no such form.
    :raise InputRefused: a VM that contradicts itself.
    """
    from vsmmu.mend import with_fixes
    from vsmmu.policy.checking import check as check_vm

    options = make_options(machine_type=machine_type, libvirt=libvirt, functions=functions or {})
    return check_vm(vm, host, _qemu(qemu), options, with_fixes)


def fix(
    vm: Vm,
    host: Host,
    *,
    qemu: str | Qemu | None = None,
    machine_type: str = "",
    libvirt: str | None = None,
    functions: Mapping[str, str] | None = None,
    accelerate: bool = False,
    unpin: Iterable[str] = (),
    only: Iterable[str] = (),
) -> Mending:
    """Mend what would keep a VM from starting, as far as each mend is certain.

    :param accelerate: also move every function of the host behind a vSMMU that stands for its host SMMU,
        and pin the values.
    :param unpin: names of properties whose written values may be changed, where the host lacks them.
    :param only: codes of the faults to be mended; all if empty.
    :return: ``.vm`` with the changes, ``.verdict`` on it, ``.applied`` with each diagnosis and the VM before
        and after its mend, ``.left`` with what is still wrong.
    :raise UsageError: an option that has no such form.
    :raise InputRefused: a VM that contradicts itself.
    :raise Negative: with ``accelerate``: a function of which the facts do not say the SMMU; limits of QEMU.
    """
    from vsmmu.mend.mending import Wishes, mend

    options = make_options(machine_type=machine_type, libvirt=libvirt, functions=functions or {}, unpin=unpin)
    wishes = Wishes(frozenset(only), unpin=frozenset(options.unpin), accelerate=accelerate)
    return mend(vm, host, _qemu(qemu), options, wishes)


def _qemu(spec: str | Qemu | None) -> Qemu:
    return spec if isinstance(spec, Qemu) else load_qemu(spec)
