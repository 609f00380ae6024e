# SPDX-License-Identifier: Apache-2.0
"""Read the files of ``-readconfig``, as QEMU would find them."""

from __future__ import annotations

import os
import stat

from vsmmu.errors import InputRefused, PermissionRefused, VsmmuError
from vsmmu.machine.limits import MAX_CONFIG_BYTES

__all__ = ["read_config_file"]


def read_config_file(name: str) -> bytes:
    """The content of a configuration file, relative to the working directory as QEMU takes it.

    Only a regular file: a pipe would be empty when QEMU reads it after us, or block. Reads one byte more
    than the limit at most, so that the parser can refuse a file that is too large.

    :raise InputRefused: ``config-unreadable``.
    :raise PermissionRefused: the same code, if the kernel does not let us.
    """
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with open(descriptor, "rb") as stream:  # noqa: PTH123 - a descriptor, not a path
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise _unreadable(InputRefused, name, "not a regular file")
            return stream.read(MAX_CONFIG_BYTES + 1)
    except PermissionError as error:
        raise _unreadable(PermissionRefused, name, error.strerror or "permission denied") from None
    except OSError as error:
        raise _unreadable(InputRefused, name, error.strerror or str(error)) from None
    except ValueError as error:
        raise _unreadable(InputRefused, name, str(error)) from None


def _unreadable(kind: type[InputRefused | PermissionRefused], name: str, why: str) -> VsmmuError:
    return kind(
        "config-unreadable",
        "cannot read the configuration file",
        where=f"-readconfig {name}",
        why=why,
        next="run vsmmu where QEMU would run, or correct the name",
    )
