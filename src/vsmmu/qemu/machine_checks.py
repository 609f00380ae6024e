# SPDX-License-Identifier: Apache-2.0
"""Checks of the machine before any ``-device``: type, objects, options, CPU model, the board's own devices.

In the order of QEMU's start: qemu_create_machine(), objects, machine options, accelerator, machvirt_init().
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vsmmu.machine.model import VSMMU_DRIVER, Device, Origin
from vsmmu.qemu.board import (
    accelerator,
    irqchip,
    machine_iommu,
    machine_refusals,
)
from vsmmu.qemu.board_options import board_faults, has_plain_cpus
from vsmmu.qemu.cpu_models import judge_cpu
from vsmmu.qemu.doubts import board_doubt
from vsmmu.qemu.findings import Refusal
from vsmmu.qemu.names import NameFault, global_reaches, has_machine, judge_global, judge_machine
from vsmmu.qemu.naming import object_faults
from vsmmu.qemu.realize import board_refusals
from vsmmu.qemu.settings import SettingsError, read_settings
from vsmmu.qemu.versions import VERSIONED

if TYPE_CHECKING:
    from collections.abc import Container, Iterator

    from vsmmu.diagnostic import Diagnostic
    from vsmmu.host.facts import Host
    from vsmmu.machine.model import Machine, MachineObject
    from vsmmu.qemu.versions import MachineType, Qemu

__all__ = ["Found", "machine_checks"]

#: Device (empty for the machine itself), the option that QEMU names, and what it would say.
Found = tuple[str, str, "Refusal | NameFault | Diagnostic"]

_IOMMUFD: Final = "iommufd"
#: How the types of the other objects begin that refuse values.
_MEMORY: Final = "memory-backend-"
_EARLY: Final = ("iothread", "main-loop", "acpi-generic-")
#: What a part of a command line, which plan writes, cannot be refused for: the VM has nodes of its own.
_OF_ALL_NODES: Final = frozenset(
    ("qemu-node-missing", "qemu-node-sum", "qemu-distance-node", "qemu-distance-missing")
)
#: How long a size is at most, and how it ends, that QEMU certainly takes.
_PLAIN_LENGTH: Final = 8
_PLAIN_END: Final = frozenset("0123456789MGmg")
#: The other types that an SMMU is derived from are met first by another device of the board.
_SMMU_TYPES: Final = frozenset({VSMMU_DRIVER, "arm-smmu"})


def machine_checks(
    machine: Machine,
    host: Host,
    qemu: Qemu,
    name: str,
    kind: MachineType | None,
    absent: Container[str] = (),
) -> Iterator[Found]:
    """Every fault of the machine, in QEMU's order.

    :param absent: paths that are known not to exist on the host.
    :param name: its type as QEMU takes it; empty if there is none.
    :param kind: the type, if this QEMU has it.
    """
    yield from _options(machine, qemu)
    yield from object_faults(machine, qemu)
    for refusal in machine_refusals(machine, name, kind):
        yield "", "", refusal
    if kind is None:
        if name and not name.startswith(VERSIONED) and not has_machine(name, qemu):
            yield "", "", Refusal("qemu-machine-type", {"value": name})
        return
    yield from _misread_memory(machine)
    yield from _early_objects(machine, host)
    if (fault := judge_machine(machine, qemu)) is not None:
        yield "", "", fault
    yield from _table_names(machine)
    yield from _confidential_guest(machine)
    yield from _sizes(machine, kind)
    yield from _flash(machine)
    yield from _accelerator(machine, qemu)
    yield from _objects(machine, host, _MEMORY)
    for given in machine.globals:
        if global_reaches(given, "", qemu) and (fault := judge_global(given, qemu)) is not None:
            yield "", "", fault
    yield from _numa(machine, kind)
    yield from _backend(machine)
    for file in machine.files:
        if file.path in absent:
            yield "", "", Refusal("qemu-file", {"text": file.missing})
    cpu = judge_cpu(machine, qemu)
    if cpu is not None:
        yield "", "", cpu
    for found in board_faults(machine, qemu):
        refusal = Refusal(found.code, dict(found.values))
        yield "", "", refusal if found.certain else board_doubt(refusal, found.needs)
    yield from _drives(machine)
    if machine_iommu(machine):
        yield from _board_smmu(machine, qemu, kind)


def _table_names(machine: Machine) -> Iterator[Found]:
    """How ACPI tables call themselves (virt_set_oem_id() in hw/arm/virt.c)."""
    for name, most in (("oem-id", 6), ("oem-table-id", 8)):
        if len(machine.machine_options.get(f"x-{name}", "").encode()) > most:
            text = f"User specified {name} value is bigger than {most} bytes in size"
            yield "", "", NameFault("qemu-property-value", True, text)


def _confidential_guest(machine: Machine) -> Iterator[Found]:
    guest = machine.machine_options.get("confidential-guest-support", "")
    if guest and guest not in {entry.id for entry in machine.objects if entry.qom_type.endswith("-guest")}:
        yield "", "", NameFault("qemu-property-value", True, f"Device '{guest}' not found")


def _options(machine: Machine, qemu: Qemu) -> Iterator[Found]:
    if machine.named:
        from vsmmu.qemu.option_parameters import option_faults  # not every VM has such options

        yield from (("", option, fault) for option, fault in option_faults(machine.named, qemu))


def _drives(machine: Machine) -> Iterator[Found]:
    if machine.named:
        from vsmmu.qemu.drive_options import drive_faults

        yield from (("", option, fault) for option, fault in drive_faults(machine.named))


def _has_plain_memory(machine: Machine) -> bool:
    size = machine.memory.get("size", "1G")
    plain = len(size) <= _PLAIN_LENGTH and size[:-1].isdecimal() and size[-1] in _PLAIN_END
    return plain and machine.memory.keys() <= {"size"}


def _misread_memory(machine: Machine) -> Iterator[Found]:
    if machine.backends is not None and not _has_plain_memory(machine):
        from vsmmu.qemu.memory_size import misread_memory

        yield from (("", option, found) for option, found in misread_memory(machine))


def _sizes(machine: Machine, kind: MachineType) -> Iterator[Found]:
    """Memory and CPUs of a whole command line, which are mostly one number each."""
    if machine.backends is None or (_has_plain_memory(machine) and has_plain_cpus(machine.smp)):
        return
    from vsmmu.qemu.cpu_topology import cpu_faults
    from vsmmu.qemu.memory_size import memory_refusal

    yield from (("", "", found) for found in cpu_faults(machine.smp, kind.name))
    if (refusal := memory_refusal(machine)) is not None:
        yield "", "", refusal


def _backend(machine: Machine) -> Iterator[Found]:
    if "memory-backend" in machine.machine_options:
        from vsmmu.qemu.memory_size import backend_refusals  # few VMs name the memory's object

        yield from (("", "", found) for found in backend_refusals(machine))


def _numa(machine: Machine, kind: MachineType) -> Iterator[Found]:
    if not machine.numa:
        return
    from vsmmu.qemu.numa import numa_refusals  # few VMs have nodes

    for option, found in numa_refusals(machine, kind.version):
        if machine.program or found.code not in _OF_ALL_NODES:
            yield "", option, found


def _accelerator(machine: Machine, qemu: Qemu) -> Iterator[Found]:
    plain = machine.accelerators[:1] in (("kvm",), ("tcg",)) and qemu.has_kvm is not False
    plain = plain or (not machine.accelerators and "accel" not in machine.machine_options)
    twice = bool(machine.accels) and "accel" in machine.machine_options
    if not plain or twice or any(accel.options for accel in machine.accels):
        from vsmmu.qemu.accelerators import accelerator_faults  # most VMs say kvm, and no more

        yield from (("", option, found) for option, found in accelerator_faults(machine, qemu))
    if accelerator(machine) == "kvm" and irqchip(machine) == "split":
        own = ",kernel-irqchip=split" if "kernel-irqchip" in machine.accelerator_options else ""
        yield "", f"-accel kvm{own}", Refusal("qemu-irqchip-split", {})


def _flash(machine: Machine) -> Iterator[Found]:
    for chip in ("pflash0", "pflash1"):
        drive = machine.machine_options.get(chip, "")
        if drive and machine.backends is not None and drive not in machine.backends["drive"]:
            yield "", "", Refusal("qemu-flash-drive", {"value": drive})


def _early_objects(machine: Machine, host: Host) -> Iterator[Found]:
    """Of the objects that come to be before the machine's properties are set (object_create_early())."""
    for entry in machine.objects:
        if entry.qom_type == _IOMMUFD and (refused := _iommufd(entry, host)) is not None:
            yield entry.id, "", refused
    yield from _objects(machine, host, *_EARLY)


def _objects(machine: Machine, host: Host, *kinds: str) -> Iterator[Found]:
    for entry in machine.objects:
        if entry.qom_type.startswith(kinds):
            from vsmmu.qemu.object_checks import object_refusals  # few VMs have such objects

            yield from ((entry.id, "", found) for found in object_refusals(entry, host))


def _iommufd(entry: MachineObject, host: Host) -> Refusal | None:
    written = entry.properties.get("fd")
    if written is None:
        missing = host.read(host.iommufd, _IOMMUFD).exact == 0
        return Refusal("qemu-no-iommufd-device", {}) if missing else None
    if not isinstance(written, str) or written.isdecimal():
        return None
    text = f"Could not parse remote object fd {written}:Invalid file descriptor number '{written}'"
    return Refusal("qemu-fd-number", {"text": text})


def _board_smmu(machine: Machine, qemu: Qemu, kind: MachineType) -> Iterator[Found]:
    """The SMMU that ``-machine iommu=smmuv3`` makes: ``-global`` reaches it like any other."""
    for given in machine.globals:
        fault = judge_global(given, qemu, VSMMU_DRIVER) if given.driver in _SMMU_TYPES else None
        if fault is not None:
            yield "", "", fault
    smmu = Device(0, VSMMU_DRIVER, "", {}, "keyval", Origin("", ""))
    try:
        settings = read_settings(smmu, machine, qemu, kind.version, "machine")
    except SettingsError:
        return  # judged by name
    for refusal in board_refusals(settings, machine, qemu):
        yield "", "", refusal
