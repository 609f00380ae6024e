# SPDX-License-Identifier: Apache-2.0
"""``-only-migratable``; the texts are what QEMU 11.1.3 printed."""

from __future__ import annotations

import pytest

from examples import Q10_2
from predicted import predicted
from vsmmu.qemu.versions import LATEST, Qemu

REFUSED = "is not migratable, but --only-migratable was specified"


def said(words: str, *, only: bool = True, qemu: Qemu = LATEST) -> tuple[str, str]:
    expected = predicted(f"-only-migratable {words}" if only else words, qemu)
    return expected.answer, expected.text


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("-device virtio-sound-pci", f"-device virtio-sound-pci: Device virtio-sound-device {REFUSED}"),
        ("-device qemu-xhci -device usb-wacom-tablet", f"Device usb-wacom-tablet {REFUSED}"),
        ("-device rocker", f"Device rocker {REFUSED}"),
        (
            "-object memory-backend-ram,id=m,size=1M -device ivshmem-plain,memdev=m",
            ("disallowing migration blocker (--only-migratable) for: "
            "Migration is disabled when using feature 'peer mode' in device 'ivshmem'"),
        ),
    ],
)  # fmt: skip
def test_what_cannot_migrate_is_refused_only_where_it_must(words: str, text: str) -> None:
    answer, printed = said(words)
    assert answer == "refused"
    assert printed.endswith(text)
    assert said(words, only=False)[0] == "starts"


@pytest.mark.parametrize("words", ["-device e1000e", "-device igb", "-device qemu-xhci -device usb-kbd", ""])
def test_what_migrates_starts(words: str) -> None:
    assert said(words)[0] == "starts"


def test_what_was_not_asked_is_unknown() -> None:
    assert said("-device vhost-vsock-pci,guest-cid=3")[0] == "unknown"


@pytest.mark.parametrize("words", ["-device virtio-sound-pci", "-device e1000e"])
def test_other_versions_were_not_asked(words: str) -> None:
    assert said(words, qemu=Q10_2)[0] == "unknown"
    assert said(words, qemu=Q10_2, only=False)[0] == "starts"
