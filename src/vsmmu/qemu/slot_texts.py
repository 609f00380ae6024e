# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: E501 - QEMU's sentences are not ours to break
"""QEMU's refusals of a PCI device for its place: slot, function, and what an expander may sit on.

Measured with 11.1.3 (tests/golden/qemu-11.1.3-slots).
"""

from __future__ import annotations

from typing import Final

from vsmmu.qemu.message import Message

__all__ = ["SLOT_MESSAGES"]

SLOT_MESSAGES: Final = (
    Message(
        "qemu-slot-address",
        "Property '{driver}.addr' doesn't take value '{value}'",
        "write addr= as a hexadecimal slot, 0 to 1f, or slot.function, function 0 to 7: addr=0x3.1",
    ),
    Message("qemu-slot-type", "Invalid parameter type for 'addr', expected int or str", 'write "addr": "0x3.0"'),
    Message("qemu-slot-number", "Parameter 'addr' expects {expected}", 'write "addr": "0x3.0"'),
    Message(
        "qemu-slot-taken",
        "PCI: slot {slot} function {function} not available for {driver}, in use by {user},id={user_id}",
        "give {device} another addr=, or none: then QEMU takes the first free slot",
    ),
    Message(
        "qemu-vf-room",
        "VF addr overflows",
        "give {device} a lower addr=, or a pcie-root-port of its own: its virtual functions need room behind it",
    ),
    Message(
        "qemu-slot-full",
        "PCI: no slot/function available for {driver}, all in use or reserved",
        "put {device} on another bus: function 0 of all 32 slots of this one is taken",
    ),
    Message(
        "qemu-slot-function",
        "PCI: single function device can't be populated in function {slot}.{function}",
        "add multifunction=on to the device at addr=0x{slot}.0",
    ),
    Message(
        "qemu-slot-multifunction",
        "PCI: {slot}.0 indicates single function, but {slot}.{function} is already populated.",
        "add multifunction=on to {device}, which is function 0",
    ),
    Message(
        "qemu-slot-shpc",
        "Unsupported PCI slot {slot} for standard hotplug controller. Valid slots are between 1 and 31.",
        "give {device} an addr= from 0x1 to 0x1f: without one, QEMU takes slot 0",
    ),
    Message(
        "qemu-pxb-bus",
        "{driver} devices cannot reside on a {value} bus",
        "say bus=pcie.0 for a pxb-pcie; the virt machine has no bus for a pxb",
    ),
    Message(
        "qemu-bridge-chassis",
        "Bridge chassis not specified. Each bridge is required to be assigned a unique chassis id > 0.",
        "give {device} a chassis_nr= of its own, from 1 up",
    ),
    Message(
        "qemu-numa-node",
        "Illegal numa node {value}",
        "make the node with -numa node, or remove numa_node= from {device}",
    ),
    Message(
        "qemu-slot-hot",
        "PCI: slot {slot} function 0 already occupied by {user}, new func {driver} cannot be exposed to guest.",
        "plug into a free port; function 0 of a slot must be plugged last",
    ),
)  # fmt: skip
