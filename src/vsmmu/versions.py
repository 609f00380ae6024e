# SPDX-License-Identifier: Apache-2.0
"""The releases of QEMU and libvirt that vsmmu was held against, which it supposes where none is named."""

from __future__ import annotations

from typing import Final

__all__ = ["LATEST_LIBVIRT", "LATEST_QEMU", "Version", "spell_version"]

#: Major and minor: nothing that bears on the accelerated SMMUv3 ever changed in a stable release.
Version = tuple[int, int]

LATEST_QEMU: Final[Version] = (11, 1)
LATEST_LIBVIRT: Final[Version] = (12, 8)


def spell_version(version: Version) -> str:
    """``11.1`` for ``(11, 1)``."""
    return f"{version[0]}.{version[1]}"
