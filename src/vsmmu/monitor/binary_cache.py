# SPDX-License-Identifier: Apache-2.0
"""Cache of answers of QEMU binaries, keyed by the identity of the file.

The identity is path, device, inode, size and times, so that the start of a VM costs one small file. What asks
a binary that is new is not even imported for one that is known.
"""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Final

import msgspec

from vsmmu.errors import HostLacks
from vsmmu.qemu.installed import FORMAT, Installed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vsmmu.qemu.versions import Qemu

__all__ = ["find", "installed", "with_own_table"]

_LIMIT: Final = 1 << 16
_TABLE_LIMIT: Final = 1 << 23


def find(program: str, prefix: Sequence[str] = ()) -> str:
    """The path of a program as a shell would find it, from the root; a link stays one.

    :param prefix: the words before it in the command, of which ``PATH=...`` and ``env`` have a say.
    :raise HostLacks: ``qemu-binary``.
    """
    search, directory = _search_path(prefix)
    places = [""] if "/" in program else search.split(os.pathsep)
    for place in places:
        path = os.path.join(directory, place, program)  # noqa: PTH118 - no pathlib on the path of a VM's start
        if os.access(path, os.X_OK) and os.path.isfile(path):  # noqa: PTH113
            return path if path.startswith("/") else f"{os.getcwd()}/{path}"  # noqa: PTH109
    raise HostLacks("qemu-binary", f"there is no program {program!r:.200}",
                    next="install QEMU, or write its path")  # fmt: skip


def _search_path(prefix: Sequence[str]) -> tuple[str, str]:
    """PATH and the directory (empty for the current one) that the words before a program set."""
    search: str | None = os.environ.get("PATH")
    directory = ""
    in_env = False
    words = iter(prefix)
    for word in words:
        if word.startswith("PATH="):
            search = word.removeprefix("PATH=")
        elif word.rpartition("/")[2] == "env":
            in_env = True
        elif in_env and word in ("-", "-i", "--ignore-environment"):
            search = None
        elif in_env and word in ("-u", "--unset", "-C", "--chdir"):
            word = f"{'--unset' if 'u' in word else '--chdir'}={next(words, '')}"
        if in_env and word in ("--unset=PATH", "-uPATH"):
            search = None
        elif in_env and word.startswith("--chdir="):
            directory = os.path.join(directory, word.removeprefix("--chdir="))  # noqa: PTH118
    return os.defpath if search is None else search, directory


def installed(program: str) -> Installed:
    """What ``program`` is: from the cache, or asked and then kept; a cache that cannot be used is not.

    :raise HostLacks: ``qemu-binary``, if it cannot be run or does not answer.
    """
    path = find(program)  # not the target of a link: some programs look at how they are called
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


def with_own_table(known: Installed, program: str) -> Qemu:
    """The model's row for an installed binary, which reads the binary's own names when they are needed.

    :raise UsageError: ``qemu-version``: older than what is modelled.
    """
    return known.qemu._replace(own_table=partial(_own_table, find(program), known.identity))


def _own_table(path: str, identity: str) -> bytes:
    """The table of devices of a binary: from the cache, or asked (a second) and then kept.

    :raise HostLacks: ``qemu-binary``, if it does not answer.
    """
    state = os.stat(path)  # noqa: PTH116
    cache = f"{_cache_directory()}/{state.st_dev:x}-{state.st_ino:x}-names.json"
    head = f"{FORMAT} {identity}\n".encode()
    try:
        with open(cache, "rb") as file:  # noqa: PTH123
            data = file.read(_TABLE_LIMIT)
        if data.startswith(head) and data.endswith(b"\n"):
            return data[len(head) :]
    except OSError:
        pass
    from vsmmu.monitor.binary_probe import keep
    from vsmmu.monitor.table_probe import ask_table

    table = ask_table(path)
    keep(cache, head + table + b"\n")
    return table


def _cache_directory() -> str:
    """The XDG base directory specification's place for what can be had again."""
    base = os.environ.get("XDG_CACHE_HOME") or f"{os.environ.get('HOME', '')}/.cache"
    return f"{base}/vsmmu/qemu"
