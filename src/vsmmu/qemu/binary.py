# SPDX-License-Identifier: Apache-2.0
"""Ask a QEMU binary for its version. The one module of this package that runs anything."""

from __future__ import annotations

import subprocess
from typing import Final

from vsmmu.errors import HostLacks

__all__ = ["ask_version"]

_SECONDS: Final = 10
_MAX_LINE: Final = 200


def ask_version(binary: str) -> str:
    """The first line of ``BINARY --version``.

    :raise HostLacks: ``qemu-binary``: there is no such program, it fails, or does not answer in time.
    """
    try:
        done = subprocess.run(
            [binary, "--version"], capture_output=True, stdin=subprocess.DEVNULL, timeout=_SECONDS, check=True
        )
    except subprocess.TimeoutExpired:
        raise _refuse(binary, f"no answer within {_SECONDS} s") from None
    except subprocess.CalledProcessError as error:
        raise _refuse(binary, f"exit status {error.returncode}") from None
    except (OSError, ValueError) as error:
        raise _refuse(binary, getattr(error, "strerror", None) or str(error)) from None
    line = done.stdout.decode("utf-8", "replace").partition("\n")[0][:_MAX_LINE]
    if "QEMU emulator version" not in line:
        raise _refuse(binary, f"it says {line!r}, not its version")
    return line


def _refuse(binary: str, why: str) -> HostLacks:
    return HostLacks(
        "qemu-binary",
        "cannot ask QEMU for its version",
        where=f"{binary:.200} --version",
        why=why,
        next="give a version (--qemu 11.1) or the path of a qemu-system-aarch64",
    )
