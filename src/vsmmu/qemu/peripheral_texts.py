# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: E501 - QEMU's sentences are not ours to break
"""QEMU's refusals of devices that are no part of an SMMU and of NUMA nodes: rows of the table of messages."""

from __future__ import annotations

from typing import Final

from vsmmu.qemu.message import Message

__all__ = ["PERIPHERAL_MESSAGES"]

PERIPHERAL_MESSAGES: Final = (
    Message("qemu-object-unknown", "{text}", "{remedy}"),
    Message(
        "qemu-boot-index", "The bootindex {value} has already been used", "give {device} another bootindex"
    ),
    Message("qemu-balloon-twice", "Only one balloon device is supported", "remove {device}"),
    Message(
        "qemu-ramfb-twice", "duplicate fw_cfg file name: etc/ramfb", "remove {device}: a VM has one ramfb"
    ),
    Message(
        "qemu-memory-module",
        "memory hotplug is not enabled: {value}",
        "give the VM firmware (-bios or pflash) and neither acpi=off nor mte=on, or remove {device}",
    ),
    Message(
        "qemu-module-slots",
        "no slots where allocated, please specify the 'slots' option",
        "write -m SIZE,slots=N,maxmem=SIZE",
    ),
    Message(
        "qemu-module-room",
        "the configuration is not prepared for memory devices (e.g., for memory hotplug), consider specifying the maxmem option",
        "write -m SIZE,maxmem=SIZE",
    ),
    Message(
        "qemu-memory-device", "{text}", "correct {device}, its memory backend, or maxmem= and slots= of -m"
    ),
    Message(
        "qemu-queues",
        "Aborted",
        "give {device} at most 1024 queues, and each at most 1024 places: QEMU aborts, and says nothing",
        aborts=True,
    ),
    Message(
        "qemu-bar-size",
        "qemu-system-aarch64: hw/pci/pci.c:{line}: pci_register_bar: Assertion `is_power_of_2(size)' failed.",
        "give {device} a size that is a power of two: QEMU aborts instead of saying so",
        aborts=True,
        line=1515,
    ),
    Message("qemu-device-value", "{text}", "correct the value of {device}"),
    Message("qemu-property-missing", "{text}", "add {property}= to {device}"),
    Message(
        "qemu-flash-drive",
        "Property 'cfi.pflash01.drive' can't find value '{value}'",
        "add -blockdev ...,node-name={value}, or correct the name",
    ),
    Message(
        "qemu-initiator",
        "{text}",
        "correct the id of the device, or the number of the node",
        aborts=True,
    ),
    Message("qemu-only-migratable-device", "{text}", "remove -only-migratable, or the device"),
    Message("qemu-nvdimm", "nvdimm is not enabled: add 'nvdimm=on' to '-M'", "add nvdimm=on to -machine"),
    Message("qemu-module-without-memory", "'memdev' property must be set", "add memdev= to {device}"),
    Message(
        "qemu-memory-twice",
        "can't use already busy memdev: {value}",
        "give {device} a memory backend of its own",
    ),
    Message(
        "qemu-errors-without-acpi",
        "Segmentation fault",
        "add firmware (-bios or pflash) or remove ras=on: QEMU 11.1.3 crashes (signal 11) without firmware",
        aborts=True,
    ),
    Message(
        "qemu-node-memory",
        "memdev={value} is ambiguous",
        "add -object memory-backend-ram,id={value},size=SIZE",
    ),
    Message("qemu-node-twice", "Duplicate NUMA nodeid: {value}", "give each -numa node a nodeid of its own"),
    Message("qemu-node-many", "Max number of NUMA nodes reached: {value}", "number nodes from 0 up to 127"),
    Message("qemu-node-missing", "numa: Node ID missing: {value}", "add -numa node,nodeid={value}"),
    Message(
        "qemu-node-sum",
        "total memory for NUMA nodes ({value}) should equal RAM size ({expected})",
        "make the sizes of the nodes' memory backends add up to -m",
    ),
    Message(
        "qemu-node-mixed",
        "numa configuration should use either mem= or memdev=,mixing both is not allowed",
        "write memdev= for each node",
    ),
    Message(
        "qemu-node-mem",
        "Parameter -numa node,mem is not supported by this machine type",
        "make -object memory-backend-ram,id=ram0,size=SIZE and write memdev=ram0",
        hint="Use -numa node,memdev instead",
    ),
    Message(
        "qemu-node-whole",
        "'-machine memory-backend' and '-numa memdev' properties are mutually exclusive",
        "remove memory-backend= from -machine",
    ),
    Message(
        "qemu-node-memory-twice",
        "memory backend {value} can't be used multiple times.",
        "give each node a memory backend of its own",
    ),
    Message(
        "qemu-node-cpu-index",
        "CPU index ({value}) should be smaller than maxcpus ({expected})",
        "write CPUs below {expected} in cpus=, or give -smp more",
    ),
    Message(
        "qemu-node-cpu-taken",
        "CPU is already assigned to node-id: {value}",
        "name each CPU for one node only",
    ),
    Message(
        "qemu-node-cpu-unnamed", "Missing mandatory node-id property", "write -numa cpu,node-id=N,socket-id=N"
    ),
    Message(
        "qemu-node-cpu-early",
        "Invalid node-id={value}, NUMA node must be defined with -numa node,nodeid=ID before it's used with -numa cpu,node-id=ID",
        "put -numa node,nodeid={value} in front of it, or correct the number",
    ),
    Message(
        "qemu-node-cpu-foreign",
        "{value} is not supported",
        "write socket-id=, cluster-id=, core-id= or thread-id=",
    ),
    Message(
        "qemu-node-cpu-none",
        "no match found",
        "count sockets, clusters, cores and threads from 0, as -smp makes them",
    ),
    Message("qemu-node-initiator", "{text}", "correct initiator=, or remove it"),
    Message(
        "qemu-hmat-off",
        "ACPI Heterogeneous Memory Attribute Table (HMAT) is disabled, enable it with -machine hmat=on before using any of hmat specific options",
        "add hmat=on to -machine",
    ),
    Message("qemu-hmat", "{text}", "correct -numa hmat-lb or hmat-cache"),
    Message(
        "qemu-distance-number",
        "Parameter '{property}' expects an integer between 0 and 127",
        "correct {property}=",
    ),
    Message(
        "qemu-distance-node",
        "Source/Destination NUMA node is missing. Please use '-numa node' option to declare it first.",
        "put -numa node,nodeid={value} in front of it, or correct the number",
    ),
    Message(
        "qemu-distance-small",
        "NUMA distance ({value}) is invalid, it shouldn't be less than 10.",
        "write a val= of 10 to 255",
    ),
    Message("qemu-distance-local", "Local distance of node {value} should be 10.", "write val=10"),
    Message(
        "qemu-distance-missing",
        "The distance between node {value} and {expected} is missing, at least one distance value between "
        "each nodes should be provided.",
        "add -numa dist,src={value},dst={expected},val=N",
    ),
    Message(
        "qemu-distance-directions",
        "At least one asymmetrical pair of distances is given, please provide distances for both directions "
        "of all node pairs.",
        "add -numa dist for the other direction of each pair",
    ),
)
