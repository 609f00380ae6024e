# SPDX-License-Identifier: Apache-2.0
"""Read and write facts files (``vsmmu.host/1``): bounded, checked, and never half written."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Final

import msgspec

from vsmmu.document import encode_document
from vsmmu.errors import HostLacks, InputRefused, PermissionRefused, VsmmuError
from vsmmu.host.facts import SCHEMA, Host

__all__ = [
    "BUILTIN",
    "MAX_BYTES",
    "decode_host",
    "encode_host",
    "load_host",
    "read_bounded",
    "save_bytes",
    "save_host",
]

#: Where the built-in hosts are.
BUILTIN: Final = Path(__file__).with_name("builtin")
#: A host with 4,096 functions takes about 2 MiB.
MAX_BYTES: Final = 16 << 20
_NEXT: Final = f'a facts file is JSON with "schema": "{SCHEMA}"; make one with: vsmmu probe'


def load_host(path: str) -> Host:
    """Read a facts file; ``-`` is standard input.

    :raise InputRefused: ``facts-malformed``, ``facts-too-large`` or ``facts-inconsistent``.
    :raise HostLacks: ``file-missing``.
    :raise PermissionRefused: ``file-permission``.
    """
    try:
        data = read_bounded(path, MAX_BYTES, "facts")
    except HostLacks as error:
        if not path.isidentifier() or not (BUILTIN / f"{path}.json").is_file():
            raise
        named = f"to name the built-in host, write builtin:{path}"
        raise HostLacks.of(msgspec.structs.replace(error.diagnostic, next=named)) from None
    return decode_host(data, where=path)


def decode_host(data: bytes, where: str) -> Host:
    """Decode one ``vsmmu.host/1`` document; ``where`` names it in errors.

    :raise InputRefused: ``facts-malformed`` or ``facts-inconsistent``.
    """
    try:
        return _DECODER.decode(data)
    except InputRefused as error:  # raised by Host itself, wrapped below in other versions of msgspec
        raise _at(error, where) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        if isinstance(error.__cause__, InputRefused):
            raise _at(error.__cause__, where) from None
        raise InputRefused(
            "facts-malformed",
            "these are not facts about a host",
            where=where,
            why=str(error)[:300],
            next=_NEXT,
        ) from None


def encode_host(host: Host) -> bytes:
    """The document as indented JSON with a final newline; equal hosts give equal bytes."""
    return encode_document(host)


def save_host(host: Host, path: Path) -> None:
    """Write a facts file so that a reader finds the old one or the new one, whole, whatever happens.

    :raise PermissionRefused: ``file-permission``.
    :raise HostLacks: ``file-write``: the directory is missing, the disk is full, ...
    """
    save_bytes(encode_host(host), path, "facts")


def save_bytes(data: bytes, path: Path, what: str) -> None:
    """Write a file so that a reader finds the old one or the new one, whole; meanwhile its name has a dot.

    :raise PermissionRefused: ``file-permission``.
    :raise HostLacks: ``file-write``: the directory is missing, the disk is full, ...
    """
    try:
        _write_atomically(path, data)
    except PermissionError as error:
        raise _failure(
            PermissionRefused, "file-permission", f"may not write {what}", str(path), error
        ) from None
    except OSError as error:
        raise _failure(HostLacks, "file-write", f"cannot write {what}", str(path), error) from None


def read_bounded(path: str, limit: int, what: str) -> bytes:
    """Read a file (``-``: standard input) of at most ``limit`` bytes; a longer one is refused, not cut.

    :raise InputRefused: ``WHAT-too-large``.
    :raise HostLacks: ``file-missing``.
    :raise PermissionRefused: ``file-permission``.
    """
    try:
        descriptor = 0 if path == "-" else os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        with open(descriptor, "rb", closefd=path != "-") as stream:
            data = stream.read(limit + 1)
    except PermissionError as error:
        raise _failure(PermissionRefused, "file-permission", f"may not read {what}", path, error) from None
    except (OSError, ValueError) as error:
        raise _failure(HostLacks, "file-missing", f"cannot read {what}", path, error) from None
    if len(data) > limit:
        raise InputRefused(
            f"{what}-too-large",
            f"the {what} are over {limit >> 20} MiB",
            where=path,
            next="give a smaller file",
        )
    return data


def _write_atomically(path: Path, data: bytes) -> None:
    import tempfile  # reading facts, which is on the path of a VM's start, does not need it

    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with open(descriptor, "wb") as stream:  # noqa: PTH123 - a descriptor
            stream.write(data)
            stream.flush()
            os.fchmod(stream.fileno(), 0o644)
            os.fsync(stream.fileno())
        Path(temporary).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(temporary).unlink()
        raise
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _at(error: VsmmuError, where: str) -> InputRefused:
    place = f"{where}: {error.where}" if error.where else where
    return InputRefused.of(msgspec.structs.replace(error.diagnostic, where=place))


def _failure(
    kind: type[VsmmuError], code: str, what: str, where: str, error: OSError | ValueError
) -> VsmmuError:
    why = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
    return kind(code, what, where=where, why=why, next=_REMEDIES[code])


_DECODER: Final = msgspec.json.Decoder(Host)
_REMEDIES: Final = {
    "file-missing": "check the name",
    "file-permission": "run as a user who may, or have the owner allow it",
    "file-write": "write elsewhere, or make room",
}
