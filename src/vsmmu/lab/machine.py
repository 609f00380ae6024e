# SPDX-License-Identifier: Apache-2.0
"""The emulated Arm host as data, and QEMU's command line for it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from vsmmu.lab.agent import PORT_NAME

if TYPE_CHECKING:
    from vsmmu.lab.build import Artifacts

__all__ = ["DEFAULT_DEVICES", "Console", "LabConfig", "Start", "arguments"]

#: Each is in an IOMMU group behind the SMMU, and bound to its own driver after the boot.
DEFAULT_DEVICES = (
    "e1000e,bus=pcie.0,addr=05.0,romfile=",
    "nvme,bus=pcie.0,addr=06.0,serial=lab,drive=null0",
    "virtio-rng-pci,bus=pcie.0,addr=07.0,iommu_platform=on,disable-legacy=on",
)

# Drives without a backing file: the first for the default nvme, the others for the caller's devices.
_NULL_DRIVES = 4
_NULL_SIZE = 1 << 30
_MACHINE = "virt,virtualization=on,gic-version=3,iommu=smmuv3"
# Pointer authentication by a cheap hash, and no SVE: both are slow to emulate and of no use here.
_CPU = "max,pauth-impdef=on,sve=off"
# The lab's own devices keep clear of the slots that the documentation gives to the caller's.
_ROOT_SLOT, _BRINGING_SLOT, _SERIAL_SLOT = "1d.0", "1e.0", "1f.0"


@dataclass(frozen=True, slots=True)
class LabConfig:
    """One configuration of the emulated host; equal configurations can share a boot.

    :param acpi: boot through UEFI with ACPI, with CANWBS in the IORT, so that nested translation works.
    :param devices: values of QEMU's ``-device``; ``null0`` to ``null3`` are drives without content.
    :param memory: as in QEMU's ``-m``.
    :param libvirt: a root file system with libvirt, of Debian's unstable suite, instead of the stable one.
    :param kernel: an Image or Image.gz to use instead of the one built from the recipe.
    """

    acpi: bool = False
    devices: tuple[str, ...] = DEFAULT_DEVICES
    memory: str = "3G"
    processors: int = 2
    libvirt: bool = False
    kernel: Path | None = None

    def with_devices(self, *devices: str) -> LabConfig:
        """The same with more devices."""
        return replace(self, devices=(*self.devices, *devices))

    def with_acpi(self) -> LabConfig:
        """The same booted through UEFI."""
        return replace(self, acpi=True)


@dataclass(frozen=True, slots=True)
class Console:
    """Where the serial console goes: into a file, or to the terminal for a prompt."""

    log: Path | None

    def arguments(self) -> list[str]:
        """QEMU's options for it."""
        if self.log is not None:
            return ["-chardev", f"file,id=console,path={escape(self.log)}", "-serial", "chardev:console"]
        # signal=off: Ctrl-C is for the prompt. Ctrl-A X ends QEMU.
        terminal = "stdio,id=console,mux=on,signal=off"
        monitor = "monitor-hmp,id=monitor,chardev=console"
        return ["-chardev", terminal, "-serial", "chardev:console", "-object", monitor]


@dataclass(frozen=True, slots=True)
class Start:
    """What one start has beside its configuration.

    :param bring: a tar that the guest unpacks before anything else.
    :param port: the number of a connected socket for the agent; None starts a prompt.
    :param initrd: ACPI tables that replace the firmware's.
    :param clock: seconds since the epoch; with ACPI the kernel does not find the emulated clock.
    """

    artifacts: Artifacts
    bring: Path
    console: Console
    port: int | None = None
    initrd: Path | None = None
    clock: int = 0


def escape(path: Path) -> str:
    """A path as a value in one of QEMU's comma-separated options."""
    return str(path).replace(",", ",,")


def hardware(config: LabConfig) -> list[str]:
    """The part of the command line that the firmware's tables depend on: no paths, nothing of one start."""
    options = ["-M", _MACHINE, "-cpu", _CPU, "-smp", str(config.processors), "-m", config.memory]
    options += ["-accel", "tcg,thread=multi", "-display", "none", "-nodefaults"]
    for number in range(_NULL_DRIVES):
        options += ["-blockdev", f"null-co,node-name=null{number},size={_NULL_SIZE},read-zeroes=on"]
    for device in config.devices:
        options += ["-device", device]
    return options


def _disk(node: str, path: Path, slot: str) -> list[str]:
    return [
        *("-blockdev", f"raw,node-name={node},read-only=on,file.driver=file,file.filename={escape(path)}"),
        *("-device", f"virtio-blk-pci,drive={node},bus=pcie.0,addr={slot}"),
    ]


def arguments(config: LabConfig, start: Start) -> list[str]:
    """The whole command line, program included."""
    # panic=-1: a panic reboots at once, which -no-reboot makes the end.
    append = f"console=ttyAMA0 root=/dev/vda ro init=/init quiet panic=-1 lab.clock={start.clock}"
    options = [*start.artifacts.tools.qemu(), *hardware(config), "-no-reboot", *start.console.arguments()]
    options += ["-run-with", "exit-with-parent=on"]
    # The root disk gets the lower slot, hence is /dev/vda.
    options += _disk("root", start.artifacts.rootfs, _ROOT_SLOT)
    options += _disk("bring", start.bring, _BRINGING_SLOT)
    if start.port is None:
        append += " lab.shell"
    else:
        options += ["-chardev", f"socket,id=agent,fd={start.port}"]
        options += ["-device", f"virtio-serial-pci,bus=pcie.0,addr={_SERIAL_SLOT}"]
        options += ["-device", f"virtserialport,chardev=agent,name={PORT_NAME}"]
    if config.acpi:
        append += " acpi=force"
        options += ["-bios", str(start.artifacts.tools.firmware)]
    if start.initrd is not None:
        options += ["-initrd", str(start.initrd)]
    return [*options, "-kernel", str(start.artifacts.kernel), "-append", append]


def iort_name(config: LabConfig, artifacts: Artifacts) -> str:
    """The cache's name for the IORT that the firmware gives to *config*."""
    program = Path(artifacts.tools.qemu()[0]) if artifacts.tools.system_qemu else artifacts.tools.tree
    state = program.stat()
    parts = [hardware(config), str(program), state.st_mtime_ns, state.st_size]
    return f"iort-{hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]}"
