# SPDX-License-Identifier: Apache-2.0
"""Loss of power by the order of calls: what a file system may still have of what a program did.

Data of a file is certain after its fsync, a name in a directory after the directory's. A new file must be
certain before it takes the place of an old one, the journal of a probe before a driver is changed, and
everything at the end.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sweep.supervise import Moment

__all__ = ["uncertain"]

_WRITES: Final = frozenset({"write", "pwrite64", "writev", "ftruncate", "fchmod", "fchown"})
_RENAMES: Final = frozenset({"rename", "renameat", "renameat2"})
_REMOVES: Final = frozenset({"unlink", "unlinkat"})
_MAKES: Final = {"openat": 2, "open": 1}


def uncertain(moments: Sequence[Moment], folder: str) -> Iterator[str]:
    """What a loss of power could take, in the order of calls of a run without failures.

    :param folder: below it lie the files that matter; of them, sysfs and device files are no disk.
    """
    files, directories = set[str](), set[str]()
    for moment in moments:
        path = moment.paths[0]
        if not f"{path}/".startswith(f"{folder}/"):
            continue
        if _is_kernels(path, folder):
            if moment.name in _WRITES and (files or directories):
                yield f"{moment}: not certain yet: {sorted(files | directories)}"
            continue
        if moment.name == "fsync" or moment.name == "fdatasync":
            files.discard(path)
            directories.discard(path)
        elif moment.name in _WRITES:
            files.add(path)
        elif moment.name in _RENAMES:
            if path in files:
                yield f"{moment}: its data is not certain"
            directories.update(os.path.dirname(name) for name in moment.paths)  # noqa: PTH120
        elif moment.name in _REMOVES or _makes(moment):
            directories.add(os.path.dirname(path))  # noqa: PTH120
    if files or directories:
        yield f"at the end, not certain: {sorted(files | directories)}"


def _is_kernels(path: str, folder: str) -> bool:
    return path.startswith((f"{folder}/host/sys/", f"{folder}/host/dev/", f"{folder}/host/proc/"))


def _makes(moment: Moment) -> bool:
    place = _MAKES.get(moment.name)
    return place is not None and bool(moment.arguments[place] & os.O_CREAT)
