# SPDX-License-Identifier: Apache-2.0
"""Cache of what QEMU binaries answered, keyed by the identity of the file.

The identity is path, device, inode, size and times, so that the start of a VM costs one small file. What asks
a binary that is new is not even imported for one that is known.
"""

from __future__ import annotations

import os
from typing import Final

import msgspec

from vsmmu.errors import HostLacks
from vsmmu.qemu.installed import FORMAT, Installed

__all__ = ["find", "installed"]

_LIMIT: Final = 1 << 16


def find(program: str) -> str:
    """The path of a program as a shell would find it.

    :raise HostLacks: ``qemu-binary``.
    """
    places = [""] if "/" in program else os.environ.get("PATH", os.defpath).split(os.pathsep)
    for place in places:
        path = os.path.join(place, program)  # noqa: PTH118 - no pathlib on the path of a VM's start
        if os.access(path, os.X_OK) and os.path.isfile(path):  # noqa: PTH113
            return path
    raise HostLacks("qemu-binary", f"there is no program {program!r:.200}",
                    next="install QEMU, or write its path")  # fmt: skip


def installed(program: str) -> Installed:
    """What ``program`` is: from the cache, or asked and then kept; a cache that cannot be used is not.

    :raise HostLacks: ``qemu-binary``, if it cannot be run or does not answer.
    """
    path = os.path.realpath(find(program))
    state = os.stat(path)  # noqa: PTH116
    times = f"{state.st_size} {state.st_mtime_ns} {state.st_ctime_ns}"
    identity = f"{path} {state.st_dev} {state.st_ino} {times}"
    cache = f"{_cache_directory()}/{state.st_dev:x}-{state.st_ino:x}.json"
    try:
        with open(cache, "rb") as file:  # noqa: PTH123
            known = msgspec.json.decode(file.read(_LIMIT), type=Installed)
        if (known.identity, known.format) == (identity, FORMAT):
            return known
    except (OSError, msgspec.DecodeError):
        pass
    from vsmmu.monitor.binary_probe import ask, keep

    answer = msgspec.structs.replace(ask(path), identity=identity)
    keep(cache, msgspec.json.encode(answer))
    return answer


def _cache_directory() -> str:
    """The XDG base directory specification's place for what can be had again."""
    base = os.environ.get("XDG_CACHE_HOME") or f"{os.environ.get('HOME', '')}/.cache"
    return f"{base}/vsmmu/qemu"
