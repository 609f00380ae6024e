# SPDX-License-Identifier: Apache-2.0
"""File transfer into the lab guest and back, as tar streams."""

from __future__ import annotations

import io
import tarfile
import time
from importlib import metadata
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from vsmmu.errors import InputRefused
from vsmmu.host.files import open_stream

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

__all__ = ["Source", "lab_tar", "pack", "read_regular", "unpack"]

#: A file's content, or a file or directory of the outer machine.
Source = bytes | str | Path

_COMMAND = """#!/usr/bin/python3
import sys

from {module} import {attribute}

sys.exit({attribute}())
"""
_CACHES = {"__pycache__", ".mypy_cache", ".pytest_cache", ".ruff_cache"}


def _member(name: str, size: int, mode: int, mtime: float) -> tarfile.TarInfo:
    """A member of root's. The time is a true one, because Python's byte code goes by it."""
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.mtime = size, mode, int(mtime)
    return info


def read_regular(path: Path) -> bytes:
    """A file whole; what could be waited for, or has no end, is refused: a FIFO, a terminal, a device.

    :raise OSError: as the kernel says; EINVAL if it is something else.
    """
    with open_stream(str(path)) as file:
        return file.read()


def _files(source: Path, name: PurePosixPath) -> Iterator[tuple[PurePosixPath, Path]]:
    if not source.is_dir():
        yield name, source
        return
    for path in sorted(source.rglob("*")):
        relative = path.relative_to(source)
        if path.is_file() and not _CACHES.intersection(relative.parts):
            yield name / relative, path


def pack(files: Mapping[str, Source]) -> bytes:
    """A tar of *files* by their absolute path in the guest. Directories are taken whole, less caches.

    :raise InputRefused: for a relative guest path, or a source that cannot be read.
    """
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for target, source in files.items():
            if not target.startswith("/"):
                raise InputRefused(
                    "lab-path", f"the guest path {target!r} is not absolute", next="begin it with /"
                )
            name = PurePosixPath(target.lstrip("/"))
            if isinstance(source, bytes):
                tar.addfile(_member(str(name), len(source), 0o755, time.time()), io.BytesIO(source))
                continue
            _pack_path(tar, Path(source), name)
    return stream.getvalue()


def _pack_path(tar: tarfile.TarFile, source: Path, name: PurePosixPath) -> None:
    try:
        if source.is_dir():
            directory = _member(str(name), 0, 0o755, source.stat().st_mtime)
            directory.type = tarfile.DIRTYPE
            tar.addfile(directory)
        for member, path in _files(source, name):
            data, state = read_regular(path), path.stat()
            info = _member(str(member), len(data), state.st_mode & 0o777, state.st_mtime)
            tar.addfile(info, io.BytesIO(data))
    except OSError as error:
        raise InputRefused(
            "lab-put",
            f"cannot hand in {source}",
            why=str(error),
            next="check that it is there and may be read",
        ) from error


def unpack(data: bytes) -> dict[str, tuple[bytes, int]]:
    """Content and mode of the regular files in a tar, by the names that it has for them."""
    files = {}
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        for member in tar:
            stream = tar.extractfile(member) if member.isreg() else None
            if stream is not None:
                files[str(PurePosixPath(member.name))] = (stream.read(), member.mode)
    return files


def _commands() -> Iterable[tuple[str, str]]:
    """Name and ``module:attribute`` of the project's commands, from the metadata of the installed package."""
    try:
        points = metadata.distribution("vsmmu").entry_points.select(group="console_scripts")
    except metadata.PackageNotFoundError:
        return [("vsmmu", "vsmmu.cli:main")]
    return [(point.name, point.value) for point in points]


def lab_tar(package: Path) -> bytes:
    """What every start brings along: the agent, the sources in *package*, the project's commands."""
    files: dict[str, Source] = {
        "/agent.py": package / "lab" / "agent.py",
        f"/src/{package.name}": package,
    }
    for name, value in _commands():
        module, _, attribute = value.partition(":")
        files[f"/bin/{name}"] = _COMMAND.format(module=module, attribute=attribute).encode()
    return pack(files)
