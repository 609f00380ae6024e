# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: E501 - QEMU's sentences are not ours to break
"""QEMU's refusals about the ``virt`` board itself: rows of the table of messages.

Measured with 11.1.3 under TCG; those that only KVM meets were recorded on arm64 or read from the binary.
"""

from __future__ import annotations

from typing import Final

from vsmmu.qemu.message import Message

__all__ = ["BOARD_MESSAGES"]

BOARD_MESSAGES: Final = (
    # Of a build that nobody had: from the sources near 11.0 (0bb5ed78b0).
    Message(
        "qemu-accel-not-built",
        "accel=on support not compiled in",
        "use a QEMU that is built with iommufd, such as a distribution's for Arm",
    ),
    Message(
        "qemu-no-iommufd-device",
        "/dev/iommu does not exist (is your kernel config missing CONFIG_IOMMUFD?)",
        "run a kernel with CONFIG_IOMMUFD on this host; vsmmu doctor says what is missing",
    ),
    Message(
        "qemu-irqchip-split",
        "-machine kernel_irqchip=split is not supported on ARM.",
        "remove kernel-irqchip=split",
    ),
    Message(
        "qemu-accelerator",
        "invalid accelerator {value}",
        "use an emulator that is built for this machine's own architecture: it has KVM",
    ),
    Message(
        "qemu-accelerator-unknown",
        "invalid accelerator {value}",
        "write -accel kvm (this host's processors) or -accel tcg (emulation)",
    ),
    Message("qemu-accelerator-none", "no accelerator found", "write -accel kvm, or -accel tcg"),
    Message(
        "qemu-accelerator-twice",
        'The -accel and "-machine accel=" options are incompatible',
        "keep one of -accel, -machine accel= and -enable-kvm",
    ),
    Message("qemu-object-value", "{text}", "correct the object's value"),
    Message("qemu-file", "{text}", "correct the name of the file, or make it"),
    Message(
        "qemu-fd-without-iommufd",
        "Use FD passing only with iommufd backend",
        "add -object iommufd,id=iommufd0 and iommufd=iommufd0 to the vfio-pci",
    ),
    Message("qemu-fd-number", "{text}", "write the number of an open descriptor: fd=33"),
    Message(
        "qemu-cpu-kvm",
        "kvm_init_vcpu: kvm_arch_init_vcpu failed (0): Invalid argument",
        "write -cpu host: under KVM a guest has the host's own CPU",
    ),
    Message(
        "qemu-cpu-model",
        "Invalid CPU model: {value}",
        "write one of the models that the board takes, or -accel kvm with -cpu host",
        hint="The valid models are: cortex-a7, cortex-a15, cortex-a35, cortex-a55, cortex-a72, cortex-a76, cortex-a710, "
        "a64fx, neoverse-n1, neoverse-v1, neoverse-n2, cortex-a53, cortex-a57, max",
    ),
    Message(
        "qemu-cpu-model-kvm",
        "Invalid CPU model: {value}",
        "write -cpu host: under KVM a guest has the host's own CPU",
        hint="The valid models are: cortex-a53, cortex-a57, host, max",
    ),
    Message(
        "qemu-highmem",
        "Addressing limited to 32 bits, but memory exceeds it by {value} bytes",
        "remove highmem=off, or give the VM at most 3 GiB and no room for more (maxmem)",
    ),
    Message("qemu-memory", "{text}", "correct -m, or the memory's object"),
    Message("qemu-cpus", "{text}", "correct -smp: sockets x clusters x cores x threads are its maxcpus"),
    Message("qemu-gic-host", "gic-version=host requires KVM", "write gic-version=3, or run on KVM"),
    Message(
        "qemu-gic-version",
        "{accelerator} does not support GICv{value} emulation{hint}",
        "write gic-version=3, which accelerated SMMUs are used with",
    ),
    Message(
        "qemu-gic-v5-cpu", "Using GICv5 but guest CPU does not support it", "write gic-version=3, or -cpu max"
    ),
    Message("qemu-gic-v5-el2", "mach-virt: GICv5 currently supports EL1 only", "remove virtualization=on"),
    Message("qemu-gic-its", "GICv{value} + ITS is {state}", "write gic-version=3: it is the one with an ITS"),
    Message(
        "qemu-gic-cpus",
        "Number of SMP CPUs requested ({value}) exceeds max CPUs supported by machine 'mach-virt' ({most})",
        "write gic-version=3: a GICv2 serves {most} CPUs",
    ),
    Message(
        "qemu-secure",
        "mach-virt: {accelerator} does not support providing Security extensions (TrustZone) to the guest CPU",
        "remove secure=on",
    ),
    Message(
        "qemu-virtualization",
        "mach-virt: host kernel KVM does not support providing Virtualization extensions to the guest CPU",
        "remove virtualization=on, or use a host whose KVM nests",
    ),
    Message(
        "qemu-mte-kvm",
        "MTE requested, but not supported by {accelerator}",
        "remove mte=on, or use a host whose KVM gives MTE to guests",
    ),
    Message(
        "qemu-mte-cpu",
        "MTE requested, but not supported by the guest CPU",
        "remove mte=on, or write -cpu max",
    ),
    Message("qemu-cxl-off", "CXL host bridges present, but cxl=off", "add cxl=on to -machine, or remove the pxb-cxl"),
    Message(
        "qemu-virtio-iommu-place",
        "virtio-iommu-pci must be plugged on the root bus",
        "say bus=pcie.0 for {device}",
    ),
    Message(
        "qemu-wrong-bus",
        "Device '{driver}' can't go on {value} bus",
        "remove bus= from {device}, or name a bus of its own kind",
    ),
    Message(
        "qemu-no-such-bus",
        "No '{value}' bus found for device '{driver}'",
        "give the VM a controller that makes one, before {device}",
    ),
)  # fmt: skip
