# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: E501 - QEMU's sentences are not ours to break
"""QEMU's refusals: the text of each, and its remedy.

One row a message. ``text`` is QEMU's, letter for letter, with ``{}`` where QEMU prints a value; ``remedy`` is
ours. Measured with 11.1.3 unless a row says otherwise; rows for 11.0 are from its sources (7e88c1a9d0).
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from vsmmu.qemu.board_texts import BOARD_MESSAGES
from vsmmu.qemu.cmdqv_texts import CMDQV_MESSAGES, VIOMMU
from vsmmu.qemu.message import Message, Phase
from vsmmu.qemu.peripheral_texts import PERIPHERAL_MESSAGES
from vsmmu.qemu.slot_texts import SLOT_MESSAGES

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["MESSAGES", "Message", "Phase"]

_MACHINES: Final = "Use -machine help to list supported machines"

_TABLE: Final = (
    # Options and properties
    Message(
        "qemu-no-machine",
        "No machine specified, and there is no default",
        "add -M virt",
        hint=_MACHINES,
    ),
    Message(
        "qemu-machine-type",
        'unsupported machine type: "{value}"',
        "use a virt machine type that QEMU {qemu} has: virt, or virt-X.Y up to its own version",
        hint=_MACHINES,
    ),
    Message(
        "qemu-iommu-value",
        "Invalid iommu value",
        "remove iommu= from -machine: arm-smmuv3 takes its place",
        hint="Valid values are none, smmuv3.",
    ),
    Message(
        "qemu-not-virt",
        "Parameter 'driver' expects a dynamic sysbus device type for the machine",
        "arm-smmuv3 can be plugged only into an Arm virt machine: use -M virt",
    ),
    Message(
        "qemu-no-property",
        "Property '{driver}.{property}' not found",
        "QEMU {qemu} has no such property: remove it, or use a QEMU that has it",
    ),
    Message(
        "qemu-value",
        "Parameter '{property}' does not accept value '{value}'",
        "write one of: {accepted}",
    ),
    Message("qemu-property-unknown", "{text}", "{remedy}"),
    Message("qemu-property-value", "{text}", "{remedy}"),
    Message("qemu-type-unknown", "{text}", "{remedy}"),
    Message(
        "qemu-json-type",
        "Invalid parameter type for '{property}', expected: {value}",
        "in JSON write {property} as a {value}",
    ),
    Message("qemu-bool", "Parameter '{property}' expects 'on' or 'off'", "write {property}=on or {property}=off"),
    Message("qemu-no-bus", "Bus '{value}' not found", "make the bus first: QEMU creates devices in order"),
    Message(
        "qemu-no-primary-bus",
        "Device '{value}' not found",
        "put the pxb-pcie with id={value} before the arm-smmuv3; QEMU makes key=value devices before JSON ones",
    ),
    Message(
        "qemu-ambiguous-bus",
        "Path '{value}' does not uniquely identify an object",
        "give every pcie-root-port and pxb-pcie an id: without one its bus may be called {value}, too",
    ),
    Message("qemu-no-object", "Device '{value}' not found", "add -object iommufd,id={value}"),
    Message(
        "qemu-bus-takes-bridges",
        "PCI: Only PCI/PCIe bridges can be plugged into pxb-pcie",
        "put the device behind a pcie-root-port on that bus, or say bus= where you meant another one: "
        "without it, a device goes to the newest pxb-pcie",
    ),
    Message(
        "qemu-chassis",
        "Can't add chassis slot, error -16",
        "give every port a chassis= of its own: without it all of them have 0",
    ),
    Message(
        "qemu-bus-number",
        "Bus {value} is already in use",
        "give every pxb-pcie a bus_nr= of its own, with room for the buses behind the one before",
    ),
    Message(
        "qemu-pxb-place",
        "PXB devices can be attached only to root bus",
        "say bus=pcie.0 for the {driver}",
    ),
    # Realize of arm-smmuv3, in the order of QEMU's checks
    Message(
        "qemu-machine-iommu",
        "virt machine already has {value} set. Doesn't support incompatible iommus",
        "remove iommu= from -machine (or the virtio-iommu device): arm-smmuv3 takes its place",
    ),
    Message(
        "qemu-machine-iommu-abort",
        "qemu-system-aarch64: util/error.c:{line}: error_setv: Assertion `*errp == NULL' failed.",
        "remove iommu= from -machine: arm-smmuv3 takes its place (QEMU aborts instead of saying so)",
        aborts=True,
        line=62,
    ),
    Message(
        "qemu-multiple-iommus",
        "virt machine does not support multiple IOMMUs",
        "keep one of the IOMMUs of this VM",
    ),
    Message(
        "qemu-kvm",
        "SMMUv3 accel=on requires KVM with kernel-irqchip=on support",
        "add -accel kvm on an Arm host with KVM, and no kernel-irqchip=off",
    ),
    Message(
        "qemu-oas-not-implemented",
        "QEMU SMMUv3 model only implements auto, 44 bit, or 48 bit OAS. Other OasMode values are not supported.",
        "write oas=44 or oas=48, or let vsmmu resolve it: remove oas",
    ),
    Message(
        "qemu-oas-not-implemented-11.0",
        "QEMU SMMUv3 model only implements 44 and 48 bitOAS; other OasMode values are not supported",
        "write oas=44 or oas=48, or let vsmmu resolve it: remove oas",
    ),
    Message("qemu-auto-11.0", "{property} auto mode is not supported", "QEMU 11.0 has no auto: let vsmmu pin it"),
    Message("qemu-ril-accel", "ril can only be disabled if accel=on", "add accel=on, or remove ril"),
    Message("qemu-ats-accel", "ats can only be enabled if accel=on", "add accel=on, or remove ats"),
    Message("qemu-oas-accel", "oas must be 44 bits when accel=off", "add accel=on, or remove oas"),
    Message("qemu-oas-accel-11.0", "OAS must be 44 bits when accel=off", "add accel=on, or remove oas"),
    Message(
        "qemu-ssidsize-accel",
        "ssidsize can only be greater than 0 bits if accel=on",
        "add accel=on, or remove ssidsize",
    ),
    Message(
        "qemu-ssidsize-accel-11.0", "ssidsize can only be set if accel=on", "add accel=on, or remove ssidsize"
    ),
    Message("qemu-pasid-accel", "pasid can only be enabled if accel=on", "add accel=on, or remove pasid"),
    Message("qemu-cmdqv-accel", "cmdqv can only be enabled if accel=on", "add accel=on, or remove cmdqv"),
    Message("qemu-stage", "Only stage1 is supported for SMMUv3 with accel=on", "remove stage="),
    Message(
        "qemu-only-migratable",
        "disallowing migration blocker (--only-migratable) for: "
        "Migration not supported with SMMUv3 accelerator mode enabled",
        "remove -only-migratable: a VM with an accelerated SMMUv3 cannot migrate",
    ),
    Message(
        "qemu-unattached",
        "SMMU is not attached to any PCI bus!",
        "add primary-bus=pcie.0 or the id of a pxb-pcie",
    ),
    Message(
        "qemu-not-root-complex",
        "SMMU should be attached to a default PCIe root complex(pcie.0) or a pxb-pcie based root complex",
        "let primary-bus name pcie.0 or a pxb-pcie, not a port behind one",
    ),
    Message(
        "qemu-second-iommu",
        "An iommu is already attached to this bus",
        "give each arm-smmuv3 a pxb-pcie of its own",
    ),
    Message(
        "qemu-bypass",
        "Bypass option cannot be set for SMMUv3 associated PCIe RC",
        "remove bypass_iommu= from the pxb-pcie (default-bus-bypass-iommu= from -machine for pcie.0)",
    ),
    Message(
        "qemu-acpi",
        "SMMUv3 with accel=on not supported for DT",
        "add a firmware (-bios or pflash) and no acpi=off: the guest must boot with ACPI",
    ),
    Message(
        "qemu-too-many",
        "Platform Bus: Can not fit IRQ line",
        "16 arm-smmuv3 fit a virt machine: put several functions behind one, or use fewer host SMMUs",
    ),
    # Endpoints
    Message(
        "qemu-emulated-endpoint",
        "Emulated endpoint devices are not allowed when using arm-smmuv3,accel=on",
        "move {device} to a root complex without accelerated SMMU, such as pcie.0",
    ),
    Message(
        "qemu-no-iommufd",
        "vfio-pci endpoint devices without an iommufd backend not allowed when using arm-smmuv3,accel=on",
        "add -object iommufd,id=iommufd0 and iommufd=iommufd0 to the vfio-pci",
    ),
    Message(
        "qemu-endpoint-first",
        "ERROR:hw/arm/smmuv3-accel.c:{line}:smmuv3_accel_find_add_as: code should not be reached",
        "put the arm-smmuv3 before {device}: QEMU aborts when an emulated endpoint comes first",
        aborts=True,
        line=918,
    ),
    Message(
        "qemu-no-host-device",
        "No provided host device",
        "add host=BDF, sysfsdev= or fd= to the vfio-pci",
        hint="Use -device vfio-pci,host=DDDD:BB:DD.F or -device vfio-pci,fd=DEVICE_FD "
        "or -device vfio-pci,sysfsdev=PATH_TO_DEVICE",
    ),
    Message(
        "qemu-no-such-function",
        "no such host device: No such file or directory",
        "name a function that the host has: vsmmu show lists them",
        "vfio /sys/bus/pci/devices/{value}: ",
    ),
    Message(
        "qemu-fd-without-id",
        "Segmentation fault",
        "give {device} an id: QEMU 11.1.3 crashes (signal 11) on vfio-pci with fd= and without one",
        aborts=True,
    ),
    Message(
        "qemu-no-vfio-device",
        "vfio {value}/vfio-dev: couldn't open directory {value}/vfio-dev: No such file or directory",
        "vfio refuses a function behind an SMMU that is not coherent: no function of it can be given to a VM",
        "vfio {vfio}: ",
    ),
    Message(
        "qemu-nest-parent",
        "Failed to allocate hwpt: Operation not supported",
        "this host's SMMU has not both stages, or an erratum, so its kernel cannot nest: no value helps",
        "vfio {vfio}: ",
    ),
    Message(
        "qemu-hw-info-type",
        "Wrong data type ({value}) for Host SMMUv3 device info",
        "type 0: the host kernel lacks CONFIG_ARM_SMMU_V3_IOMMUFD; others: the function is not behind an SMMUv3",
        VIOMMU,
    ),
    # The compatibility check, in QEMU's order
    Message(
        "qemu-stlevel",
        "Host SMMUv3 Stream Table format mismatch (host STLEVEL={host}, QEMU STLEVEL={guest})",
        "this host's SMMU has only linear stream tables: no value helps",
        VIOMMU,
    ),
    Message(
        "qemu-ttendian",
        "Host SMMUv3 doesn't support Little-endian translation table",
        "this host's SMMU walks big-endian tables only: no value helps",
        VIOMMU,
    ),
    Message(
        "qemu-ttf",
        "Host SMMUv3 doesn't support AArch64 translation table format",
        "this host's SMMU has no AArch64 tables: no value helps",
        VIOMMU,
    ),
    Message(
        "qemu-sidsize",
        "Host SMMUv3 SIDSIZE not compatible (host={host}, QEMU={guest})",
        "this host's SMMU has fewer StreamID bits than QEMU's model: no value helps",
        VIOMMU,
    ),
    Message(
        "qemu-ssidsize",
        "Host SMMUv3 SSIDSIZE not compatible (host={host}, QEMU={guest})",
        "ssidsize may be at most {host} here: write ssidsize={host}, or remove it and let vsmmu resolve it",
        VIOMMU,
    ),
    Message(
        "qemu-ril",
        "Host SMMUv3 doesn't support Range Invalidation",
        "write ril=off, or remove it and let vsmmu resolve it",
        VIOMMU,
    ),
    Message(
        "qemu-oas",
        "Host SMMUv3 supports only {host}-bit IPA, but the vSMMU OAS implies {guest}-bit IPA",
        "oas may be at most {host} here: write a smaller oas, or remove it and let vsmmu resolve it",
        VIOMMU,
    ),
    Message(
        "qemu-ats",
        "Host SMMUv3 doesn't support Address Translation Services",
        "write ats=off, or remove it and let vsmmu resolve it",
        VIOMMU,
    ),
    Message(
        "qemu-gran4k",
        "Host SMMUv3 doesn't support 4K translation granule",
        "QEMU's model offers all three granules to the guest: no value helps",
        VIOMMU,
    ),
    Message(
        "qemu-gran16k",
        "Host SMMUv3 doesn't support 16K translation granule",
        "QEMU's model offers all three granules to the guest: no value helps",
        VIOMMU,
    ),
    Message(
        "qemu-gran64k",
        "Host SMMUv3 doesn't support 64K translation granule",
        "QEMU's model offers all three granules to the guest: no value helps",
        VIOMMU,
    ),
    # After the check
    Message(
        "qemu-viommu",
        "IOMMU_VIOMMU_ALLOC failed: Operation not supported",
        "the host cannot nest: its root complex must be CANWBS in the IORT, or the SMMU must have S2FWB",
        VIOMMU,
        # 0x1 is the first function that is bound to the iommufd
        hint="Unable to alloc vIOMMU: hiodi devid 0x1: ",
    ),
    Message(
        "qemu-viommu-11.0",
        "IOMMU_VIOMMU_ALLOC failed: Operation not supported",
        "the host cannot nest: its root complex must be CANWBS in the IORT, or the SMMU must have S2FWB",
        VIOMMU,
        hint="Unable to alloc vIOMMU: idev devid 0x1: ",
    ),
    Message(
        "qemu-conventional",
        "memory listener initialization failed: Region smmuv3-iommu-memory-region-0-{count}: device 00.00.0 "
        "requires iommu MAP notifier which is not currently supported",
        "put {device} behind a pcie-root-port: a PCIe-to-PCI bridge hides it from the vSMMU",
        "vfio {vfio}: ",
    ),
    Message(
        "qemu-board-smmu",
        "memory listener initialization failed: Region smmuv3-iommu-memory-region-{devfn}-{count}: device 00.{address} "
        "requires iommu MAP notifier which is not currently supported",
        "remove iommu=smmuv3 and give {device} an arm-smmuv3 with accel=on, or let its bus bypass the SMMU",
        "vfio {vfio}: {container}",
    ),
    Message(
        "qemu-not-accelerated",
        "memory listener initialization failed: Region smmuv3-iommu-memory-region-{devfn}-{count}: device 00.{address} "
        "requires iommu MAP notifier which is not currently supported",
        "write accel=on on the arm-smmuv3: without it, it cannot serve functions of the host",
        "vfio {vfio}: ",
    ),
    Message(
        "qemu-direct-region",
        "error bind device fd=N to iommufd=N: Invalid argument",
        "give the VM another function: firmware wants this one mapped 1:1 (a reserved region of type direct), and the "
        "kernel says: Firmware has requested this device have a 1:1 IOMMU mapping, rejecting configuring the device",
        "vfio {vfio}: ",
    ),
    Message(
        "qemu-function-twice",
        "error bind device fd=N to iommufd=N: Invalid argument",
        "{device} and another vfio-pci name the same host function: a function can be given once",
        "vfio {vfio}: ",
    ),
    Message(
        "qemu-vfio-ats",
        "vfio-pci: ATS requested but not supported by kernel",
        "write ats=auto or ats=off on the vfio-pci",
        "vfio {vfio}: ",
    ),
    # Machine-done
    Message(
        "qemu-no-cold-plug",
        "arm-smmuv3 accel=on with 'auto' properties requires at least one cold-plugged VFIO device",
        "pin the values: vsmmu resolve --smmu HOST-SMMU; or put a vfio-pci behind {device}",
    ),
    # Hot-plug
    Message(
        "qemu-no-hotplug",
        "Device '{driver}' does not support hotplugging",
        "give the VM its {driver} at start: it can be neither added nor removed later",
    ),
    Message(
        "qemu-bus-no-hotplug",
        "Bus '{value}' does not support hotplugging",
        "plug into an empty pcie-root-port that was there from the start",
    ),
)  # fmt: skip

#: Every message by its code; ``-11.0`` at the end of one is for the words of 11.0 and before.
MESSAGES: Final[Mapping[str, Message]] = MappingProxyType(
    {
        entry.code: entry
        for entry in (*_TABLE, *CMDQV_MESSAGES, *BOARD_MESSAGES, *SLOT_MESSAGES, *PERIPHERAL_MESSAGES)
    }
)
