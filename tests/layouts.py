# SPDX-License-Identifier: Apache-2.0
"""Whole VMs for the platforms of today: golden in tests/golden/plan, tried with real QEMU and libvirt."""

from __future__ import annotations

__all__ = ["LAYOUTS"]

_GB200 = ("0008:01:00.0", "0009:01:00.0", "0018:01:00.0", "0019:01:00.0")

#: Name -> built-in host, then functions and options of ``vsmmu plan``.
LAYOUTS = {
    "gb200-1": ("gb200", "0009:01:00.0"),
    "gb200-2": ("gb200", "0009:01:00.0", "0019:01:00.0"),
    "gb200-4": ("gb200", *_GB200),
    "gb200-4-and-2": ("gb200", *_GB200, "0009:02:00.0", "0019:02:00.0"),
    "gb300-4": ("gb300", "0008:06:00.0", "0009:06:00.0", "0018:06:00.0", "0019:06:00.0"),
    "gh200-1": ("gh200-no-cmdqv", "0009:01:00.0"),
    # Its SSIDSIZE is not published.
    "altra-2": ("altra", "--assume-safe", "0000:01:00.0", "000c:01:00.0"),
}
