# SPDX-License-Identifier: Apache-2.0
"""Machine options that the ``virt`` board refuses by accelerator, CPU model or memory size.

The checks of machvirt_init() in hw/arm/virt.c, in its order: the CPU model, the memory map, the GIC, its MSI
controller, the security extensions, memory tags. Those under TCG were measured with 11.1.3; those under KVM
are the same code, and say the accelerator's name.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Final

from vsmmu.named_tuple import NamedTuple
from vsmmu.qemu.board import accelerator, irqchip
from vsmmu.qemu.settings import read_bool
from vsmmu.qemu.values import size, unsigned

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from vsmmu.machine.model import Machine
    from vsmmu.qemu.versions import Qemu

__all__ = ["MOST_CPUS", "BoardFault", "board_faults", "has_plain_cpus"]

_GIB: Final = 1 << 30
#: Where the board's RAM begins.
_RAM_BASE: Final = 1 * _GIB
#: It judges the MSI controller, and has a GICv5; 10.2 takes its=on with a GICv2 [measured].
_SINCE_GICV5: Final = (11, 1)
#: ACPI_MAX_RAM_SLOTS of include/hw/acpi/acpi.h.
_MOST_SLOTS: Final = 256
#: What the ``virt`` board takes (mc->max_cpus in hw/arm/virt.c) [measured with virt-9.0 and virt-11.1].
MOST_CPUS: Final = 512
#: A GICv2 has no room for more.
_GICV2_CPUS: Final = 8
#: CPU models with memory tags: of the others the board says so [measured, each model of ``-cpu help``].
_WITH_TAGS: Final = frozenset({"max", "cortex-a710", "neoverse-n2"})
#: CPU models that run under KVM on hosts that have this very CPU.
_OF_SOME_HOSTS: Final = frozenset({"cortex-a53", "cortex-a57"})
#: What the board takes when no ``-cpu`` is given and the accelerator is TCG.
_DEFAULT_CPU: Final = "cortex-a15"


class BoardFault(NamedTuple):
    """What the board refuses, or would refuse on some hosts.

    :param certain: False where the host decides, and the facts do not say.
    :param needs: what decides then.
    """

    code: str
    values: Mapping[str, object]
    certain: bool = True
    needs: str = ""


def board_faults(machine: Machine, qemu: Qemu) -> Iterator[BoardFault]:
    """Every fault of the machine's options, in QEMU's order."""
    under = accelerator(machine)
    named = {"kvm": "KVM"}.get(under, under)
    yield from _cpu(machine, under)
    yield from _memory(machine)
    if not under:
        return  # a fragment does not say what it runs on
    yield from _gic(machine, under, named, qemu)
    yield from _extensions(machine, under, named)


def _cpu(machine: Machine, under: str) -> Iterator[BoardFault]:
    model = machine.cpu.partition(",")[0]
    if under == "kvm" and model in _OF_SOME_HOSTS:
        yield BoardFault("qemu-cpu-kvm", {"value": model}, certain=False, needs="the host's CPU")


def _memory(machine: Machine) -> Iterator[BoardFault]:
    options = machine.machine_options
    slots = unsigned(machine.memory.get("slots", "0")) or 0
    if slots > _MOST_SLOTS:
        yield BoardFault("qemu-memory", {"text": f"unsupported number of memory slots: {slots}"})
        return
    if read_bool(options.get("highmem")) is not False or "size" not in machine.memory:
        return
    from vsmmu.qemu.memory_size import memory_bytes  # highmem=off is rare

    ram = memory_bytes(machine)
    if ram is None:
        return
    most = size(machine.memory.get("maxmem", "")) or ram
    # Memory that can be plugged begins and ends at a multiple of 1 GiB, and each slot may waste as much.
    base = -(-(_RAM_BASE + ram) // _GIB) * _GIB
    room = -(-(most - ram) // _GIB) * _GIB + slots * _GIB
    over = base + room - 4 * _GIB
    if most >= ram and over > 0:
        yield BoardFault("qemu-highmem", {"value": over})


def _gic(machine: Machine, under: str, named: str, qemu: Qemu) -> Iterator[BoardFault]:
    options = machine.machine_options
    written = options.get("gic-version", "")
    in_kernel = irqchip(machine) == "on"
    if written == "host" and under != "kvm":
        yield BoardFault("qemu-gic-host", {})
        return
    if under == "kvm" and not in_kernel:
        named = "KVM with kernel-irqchip=off"
    virtualization = read_bool(options.get("virtualization")) is True
    refused = {
        "kvm": {"4"} if in_kernel else {"3", "4"},
        "tcg": set() if virtualization else {"4"},
    }.get(under, set())
    if written in refused:
        hint = ", is virtualization=on?" if written == "4" else ""
        yield BoardFault("qemu-gic-version", {"accelerator": named, "value": written, "hint": hint})
    elif written == "2" and under == "kvm" and in_kernel:
        values = {"accelerator": named, "value": written, "hint": ""}
        yield BoardFault("qemu-gic-version", values, certain=False, needs="whether the host's GIC has GICv2")
    cpus = max_cpus(machine.smp)
    second = written == "2" or (not written and under == "tcg" and cpus <= _GICV2_CPUS)
    if second and _wants_its(options) and qemu.version >= _SINCE_GICV5:
        yield BoardFault("qemu-gic-its", {"value": 2, "state": "an invalid configuration."})
    if written == "2" and cpus > _GICV2_CPUS:
        yield BoardFault("qemu-gic-cpus", {"value": cpus, "most": _GICV2_CPUS})
    if written == "x-5" and qemu.version >= _SINCE_GICV5:
        yield from _gicv5(machine, under, named)


def _gicv5(machine: Machine, under: str, named: str) -> Iterator[BoardFault]:
    options = machine.machine_options
    if under == "kvm":
        values = {"accelerator": named, "value": "5", "hint": ""}
        yield BoardFault("qemu-gic-version", values, certain=False, needs="whether the host's GIC is a GICv5")
    elif _model(machine) != "max":
        yield BoardFault("qemu-gic-v5-cpu", {})
    if _wants_its(options):
        yield BoardFault("qemu-gic-its", {"value": 5, "state": "not yet implemented."})
    if read_bool(options.get("virtualization")) is True:
        yield BoardFault("qemu-gic-v5-el2", {})


def max_cpus(smp: Mapping[str, str]) -> int:
    """How many CPUs a VM may get at most, by the parameters of ``-smp``."""
    for name in ("maxcpus", "cpus"):
        if written := unsigned(smp.get(name, "0")):
            return written
    return prod(unsigned(value) or 1 for name, value in smp.items() if name not in ("maxcpus", "cpus"))


def has_plain_cpus(smp: Mapping[str, str]) -> bool:
    """Whether nothing is said but a number of CPUs that every ``virt`` machine takes."""
    return not smp or (len(smp) == 1 and 0 < (unsigned(smp.get("cpus", "")) or 0) <= MOST_CPUS)


def _wants_its(options: Mapping[str, str]) -> bool:
    """Whether an ITS is asked for; ``msi=`` counts, wherever ``its=`` stands [measured]."""
    if "msi" in options:
        return options["msi"] == "its"
    return read_bool(options.get("its")) is True


def _model(machine: Machine) -> str:
    return machine.cpu.partition(",")[0] or _DEFAULT_CPU


def _extensions(machine: Machine, under: str, named: str) -> Iterator[BoardFault]:
    options = machine.machine_options
    if under == "kvm" and read_bool(options.get("secure")) is True:
        yield BoardFault("qemu-secure", {"accelerator": named})
    if under == "kvm" and read_bool(options.get("virtualization")) is True:
        yield BoardFault("qemu-virtualization", {}, certain=False, needs="whether the host's KVM nests")
    if read_bool(options.get("mte")) is not True:
        return
    if under == "kvm":
        yield BoardFault("qemu-mte-kvm", {"accelerator": named}, certain=False, needs="whether KVM gives MTE")
    elif under == "tcg" and _model(machine) not in _WITH_TAGS:
        yield BoardFault("qemu-mte-cpu", {})
