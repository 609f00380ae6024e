# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: E501 - QEMU's sentences are not ours to break
"""QEMU's refusals about Tegra241 CMDQV: rows of the table of messages, measured with 11.1.3."""

from __future__ import annotations

from typing import Final

from vsmmu.qemu.message import Message

__all__ = ["CMDQV_MESSAGES", "VIOMMU"]

#: What stands before a refusal by smmuv3_accel_set_iommu_device().
VIOMMU: Final = "vfio {vfio}: Failed to set vIOMMU: "

CMDQV_MESSAGES: Final = (
    Message(
        "qemu-cmdqv",
        "Failed to get hardware info: Operation not supported",
        "write cmdqv=off or cmdqv=auto: this host's SMMU has no command queues to give away",
        VIOMMU,
        hint="CMDQV requested but not supported",
    ),
    Message(
        "qemu-cmdqv-type",
        "Host CMDQV: unexpected data type {host} (expected {guest})",
        "write cmdqv=off or cmdqv=auto: this kernel gives queues of another kind",
        VIOMMU,
        hint="CMDQV requested but not supported",
    ),
    Message(
        "qemu-cmdqv-version",
        "Host CMDQV: unsupported version {host} (expected {guest})",
        "write cmdqv=off or cmdqv=auto: QEMU does not know this hardware's command queues",
        VIOMMU,
        hint="CMDQV requested but not supported",
    ),
    Message(
        "qemu-cmdqv-queues",
        "Host CMDQV: insufficient vCMDQs log2={host} (need >= {guest})",
        "write cmdqv=off or cmdqv=auto: this host gives a VM too few command queues",
        VIOMMU,
        hint="CMDQV requested but not supported",
    ),
    Message(
        "qemu-cmdqv-sids",
        "Host CMDQV: insufficient SIDs log2={host} (need >= {guest})",
        "write cmdqv=off or cmdqv=auto: this host gives a VM too few StreamIDs for its queues",
        VIOMMU,
        hint="CMDQV requested but not supported",
    ),
    Message(
        "qemu-cmdqv-unplug",
        "CMDQV is active: removing the device that established the viommu association would break the guest CMDQV",
        "start the VM with cmdqv=off if this function must be removable",
    ),
)  # fmt: skip
