# SPDX-License-Identifier: Apache-2.0
"""Whole VMs for the platforms of today: golden in tests/golden/plan, tried with real QEMU and libvirt."""

from __future__ import annotations

import shlex

__all__ = ["LAYOUTS", "naive"]

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


def naive(name: str, head: str) -> list[str]:
    """The words of a VM that has the functions of a layout and no vSMMU; the first function has no id.

    :param head: the emulator with the options of the machine.
    """
    words = shlex.split(head)
    addresses = [entry for entry in LAYOUTS[name][1:] if not entry.startswith("-")]
    for number, address in enumerate(addresses):
        port = f"pcie-root-port,id=port{number},bus=pcie.0,chassis={number + 1}"
        device = f"vfio-pci,host={address},bus=port{number}" + (f",id=dev{number}" if number else "")
        words += ["-device", port, "-device", device]
    return words
