# SPDX-License-Identifier: Apache-2.0
"""Replace the file that holds a VM, whole or not at all, with a backup beside it if that is wanted."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from vsmmu.errors import error_of
from vsmmu.host.files import save_bytes

__all__ = ["replace"]


def replace(file: str, data: bytes, *, backup: bool) -> None:
    """Write ``data`` in place of a file; mode and owner stay.

    :param backup: keep the old file as ``FILE~``, with its mode and owner.
    :raise PermissionRefused: ``file-permission`` or ``system-permission``.
    :raise HostLacks: ``file-write`` or ``system-refused``.
    """
    if backup:
        try:
            _keep(os.path.realpath(file), f"{file}~")
        except OSError as error:
            raise error_of(error) from None
    save_bytes(data, Path(file), "the VM")


def _keep(file: str, backup: str) -> None:
    """Give the old file a second name, which it has to itself once the new one is there."""
    fresh = Path(f"{backup}.{os.getpid()}")
    try:
        os.link(file, fresh)
    except OSError:  # a file system without links, or another one
        shutil.copy2(file, fresh)
    try:
        fresh.replace(backup)
    except OSError:
        fresh.unlink(missing_ok=True)
        raise
