# SPDX-License-Identifier: Apache-2.0
"""Whether the running installation has byte code: without it, each start compiles what it imports."""

from __future__ import annotations

import importlib.util
import sys
import sysconfig
from pathlib import Path
from typing import NamedTuple

import vsmmu

__all__ = ["Installation", "has_byte_code", "look_at_installation"]


class Installation(NamedTuple):
    """The interpreter, and what it would have to compile.

    :param python: path of the interpreter.
    :param modules: how many source files were looked at: those of this package, and all that is loaded now.
    :param bare: how many of them have no byte code that this interpreter would use.
    :param places: the directories in which these are, each to be compiled as a whole.
    """

    python: str
    modules: int
    bare: int
    places: tuple[str, ...]


def look_at_installation() -> Installation:
    """Look at the files of this package, and at those of every module that is loaded."""
    package = Path(vsmmu.__file__).parent
    loaded = {getattr(module, "__file__", None) or "" for module in tuple(sys.modules.values())}
    sources = set(package.rglob("*.py")) | {path for path in map(Path, loaded) if path.suffix == ".py"}
    present = {path for path in sources if path.is_file()}
    bare = {path for path in present if not has_byte_code(path)}
    roots = (package, *(Path(sysconfig.get_path(name)) for name in ("purelib", "platlib", "stdlib")))
    places = {next((root for root in roots if path.is_relative_to(root)), path.parent) for path in bare}
    return Installation(sys.executable, len(present), len(bare), tuple(sorted(map(str, places))))


def has_byte_code(source: Path) -> bool:
    """Whether this interpreter would load ``source`` without compiling it (PEP 552: the form of a .pyc)."""
    try:
        with Path(importlib.util.cache_from_source(str(source))).open("rb") as cached:
            head = cached.read(16)
        stat = source.stat()
    except OSError:
        return False
    if head[:4] != importlib.util.MAGIC_NUMBER:
        return False
    if any(head[4:8]):  # by the source's hash, not by its time
        return True
    words = (int(stat.st_mtime) & 0xFFFF_FFFF, stat.st_size & 0xFFFF_FFFF)
    return head[8:16] == b"".join(word.to_bytes(4, "little") for word in words)
