# SPDX-License-Identifier: Apache-2.0
"""Sentences as people have them, found in what surrounds them."""

from __future__ import annotations

import pytest

from vsmmu.explanation.sentences import explain_text, nearest_sentence

SET = "vfio 0009:01:00.0: Failed to set vIOMMU: "
CLOSED = (
    "error: internal error: QEMU unexpectedly closed the monitor (vm='x'): 2026-11-25T19:00:00.1Z "
    "qemu-system-aarch64: -device vfio-pci,host=0009:01:00.0:"
)
ONLY_VIRT = "unsupported configuration: IOMMU device: 'smmuv3' is only supported with ARM Virt machines"
DIRECT = (
    "Firmware has requested this device have a 1:1 IOMMU mapping, rejecting configuring the device without "
    "a 1:1 mapping. Contact your platform vendor."
)


def codes(text: str) -> list[str]:
    return [entry.code for entry in explain_text(text)]


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("Host SMMUv3 doesn't support Range Invalidation", ["qemu-ril"]),
        (f"{CLOSED} {SET}Host SMMUv3 doesn't support Range Invalidation", ["qemu-ril"]),
        (f'{{"desc": "{SET}Host SMMUv3 doesn\'t support 4K translation granule"}}', ["qemu-gran4k"]),
        ("Device 'px1' not found", ["qemu-no-primary-bus", "qemu-no-object"]),
        ("Property 'arm-smmuv3.id' not found", ["qemu-no-property", "qemu-property-unknown"]),
        (
            "Property 'arm-smmuv3.pasid' not found",
            ["qemu-no-property", "qemu-property-unknown", "draft-name"],
        ),
        ("error bind device fd=22 to iommufd=9: Device or resource busy", ["group-in-use"]),
        ("Could not open '/dev/iommu': Permission denied", ["no-permission"]),
        (f"error: {ONLY_VIRT}", ["machine-not-virt"]),
        (f"[   12.3] vfio-pci 0009:01:00.0: {DIRECT}", ["direct-region"]),
        ("error: line 5: two <iommu> [pcibus-twice]", ["pcibus-twice"]),
        ("vsmmu: vm.sh: cannot read vm: No such file or directory [file-missing]", ["file-missing"]),
        ("Nothing is wrong here, [ok] said the kernel", []),
    ],
)  # fmt: skip
def test_a_line_is_found(line: str, found: list[str]) -> None:
    assert codes(line) == found


def test_what_was_printed_fills_the_remedy_in() -> None:
    (entry,) = explain_text(f"{SET}Host SMMUv3 SSIDSIZE not compatible (host=5, QEMU=20)")
    assert entry.mend.startswith("ssidsize may be at most 5 here: write ssidsize=5")
    found = explain_text("Parameter 'oas' does not accept value '50'")
    assert found[0].mend == "write one of: auto, 32, 36, 40, 42, 44, 48, 52, 56"


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("vfio 0009:01:00.0: group 12 is not viable", "doctor-groups"),
        ("Could not access KVM kernel module: Permission denied", "doctor-kvm"),
        ("qemu-system-aarch64: failed to initialize kvm: No such file or directory", "doctor-kvm"),
        (
            "vfio_container_dma_map(0x5581, 0x0, 0x80000000, 0x7f) = -12 (Cannot allocate memory)",
            "memlock-small",
        ),
        ("vfio 0009:01:00.0: no iommu_group found", "no-smmu-behind"),
    ],
)
def test_what_qemu_says_on_a_host_that_is_not_ready(said: str, code: str) -> None:
    (entry,) = explain_text(f"{SET}{said}")
    assert (entry.code, bool(entry.mend)) == (code, True)


def test_a_log_is_explained_line_by_line_and_each_sentence_once() -> None:
    line = f"qemu-system-aarch64: {SET}Host SMMUv3 doesn't support Range Invalidation"
    log = "\n".join(["starting up", line, "", "Bus 'x' not found", line, "Bus 'y' not found"])
    assert [(entry.code, entry.line) for entry in explain_text(log)] == [("qemu-ril", 2), ("qemu-no-bus", 4)]


def test_a_large_log_without_a_sentence_takes_no_time() -> None:
    assert explain_text("kernel: usb 1-1: new device found, idVendor=0000\n" * 100_000) == []


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("the SMMU has no support for range invalidation", "qemu-ril"),
        ("requires at least one VFIO device when auto", "qemu-no-cold-plug"),
        ("blah", None),
    ],
)
def test_the_nearest_sentence_is_named(said: str, code: str | None) -> None:
    near = nearest_sentence(said)
    assert (near and near.code) == code
