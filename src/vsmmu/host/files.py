# SPDX-License-Identifier: Apache-2.0
"""Read and write facts files (``vsmmu.host/1``): bounded, checked, and never half written."""

from __future__ import annotations

import errno
import os
import re
import stat
from typing import TYPE_CHECKING, Any, Final

import msgspec

from vsmmu.errors import HostLacks, InputRefused, PermissionRefused, VsmmuError
from vsmmu.host.evidence import Evidence, Fact
from vsmmu.host.facts import (
    SCHEMA,
    Host,
    HostFunction,
    HostSmmu,
    HwInfoFact,
    Kernel,
    MemoryRegion,
    RegisterFact,
    ReservedRegion,
)
from vsmmu.host.numa_nodes import EgmRegion, NumaNode
from vsmmu.smmuv3.fields import FIELDS, REGISTERS

if TYPE_CHECKING:
    from collections.abc import Container, Iterator
    from io import BufferedReader
    from pathlib import Path

__all__ = [
    "MAX_BYTES",
    "builtin_files",
    "decode_host",
    "encode_host",
    "load_host",
    "open_regular",
    "open_stream",
    "read_bounded",
    "save_bytes",
    "save_host",
    "spell_unread",
    "unknown_members",
]

#: A host with 4,096 functions takes about 2 MiB.
MAX_BYTES: Final = 16 << 20
_PIECE: Final = 1 << 20
#: A remark names so many unknown members.
_NAMED: Final = 5
_LIKE_YAML: Final = rb"(?:\s|#[^\n]*\n)*(?:---|(?:- )?[A-Za-z_]\w*:\s)"
_YAML: Final = "it looks like YAML, and facts are JSON: kubectl writes that with -o json"
_NEXT: Final = f'a facts file is JSON with "schema": "{SCHEMA}"; make one with: vsmmu probe'


def builtin_files() -> dict[str, str]:
    """The paths of the facts files that ship with vsmmu, by the names of their hosts, sorted."""
    place = os.path.join(os.path.dirname(__file__), "builtin")  # noqa: PTH118, PTH120 - no pathlib on the path
    names = sorted(name.removesuffix(".json") for name in os.listdir(place))  # noqa: PTH208
    return {name: f"{place}/{name}.json" for name in names}


def load_host(path: str) -> Host:
    """Read a facts file; ``-`` is standard input. It must be a regular file: none other ends for sure.

    :raise InputRefused: ``facts-malformed``, ``facts-too-large`` or ``facts-inconsistent``.
    :raise HostLacks: ``file-missing``.
    :raise PermissionRefused: ``file-permission``.
    """
    try:
        data = read_bounded(path, MAX_BYTES, "facts")
    except HostLacks as error:
        if path not in builtin_files():
            raise
        named = f"to name the built-in host, write builtin:{path}"
        raise HostLacks.of(msgspec.structs.replace(error.diagnostic, next=named)) from None
    host = decode_host(data, where=path)
    host.__dict__["unread"] = unknown_members(data)
    return host


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
            why=_YAML if re.match(_LIKE_YAML, data) else str(error)[:300],
            next=_NEXT,
        ) from None


def unknown_members(data: bytes) -> tuple[str, ...]:
    """The members of a ``vsmmu.host/1`` document that this version passes over: ``functions[].colour``.

    :param data: a document that :func:`decode_host` took.
    """
    try:
        document = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ("a member that cannot be read",)  # the decoder of facts skips it unread
    return tuple(sorted(set(_strangers(document, Host, ""))))


def spell_unread(host: Host) -> str:
    """One sentence on the members that were passed over (:attr:`Host.unread`), the first few by name."""
    names = host.unread
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"this vsmmu does not know {', '.join(names[:_NAMED])}{more}, and passes over it"


def encode_host(host: Host) -> bytes:
    """The document as indented JSON with a final newline; equal hosts give equal bytes."""
    from vsmmu.document import encode_document  # reading facts does not need it

    return encode_document(host)


def save_host(host: Host, path: Path) -> None:
    """Write a facts file so that a reader finds the old one or the new one, whole, whatever happens.

    :raise PermissionRefused: ``file-permission``.
    :raise HostLacks: ``file-write``: the directory is missing, the disk is full, ...
    """
    save_bytes(encode_host(host), path, "facts")


def save_bytes(data: bytes, path: Path, what: str) -> None:
    """Write a file as :func:`vsmmu.host.whole_file.write_whole` does.

    :param what: the noun for errors, such as ``facts``.
    :raise PermissionRefused: ``file-permission``.
    :raise HostLacks: ``file-write``: the directory is missing, the disk is full, ...
    """
    from vsmmu.host.whole_file import (
        write_whole,
    )  # reading facts, on the path of a VM's start, does not need it

    try:
        write_whole(str(path), data)
    except PermissionError as error:
        raise _failure(
            PermissionRefused, "file-permission", f"may not write {what}", str(path), error, os.W_OK
        ) from None
    except OSError as error:
        raise _failure(HostLacks, "file-write", f"cannot write {what}", str(path), error) from None


def open_regular(path: str) -> int:
    """Open a regular file for reading, or the pipe of a shell's ``<(...)``, which has its writer already.

    Anything else could be waited for without end: a FIFO without a writer, a terminal, a device.

    :return: a descriptor.
    :raise OSError: as the kernel says; EINVAL if it is something else.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    try:
        mode, place = os.fstat(descriptor).st_mode, f"/proc/self/fd/{descriptor}"
        if stat.S_ISFIFO(mode) and os.readlink(place).startswith("pipe:"):  # noqa: PTH115
            os.set_blocking(descriptor, True)
        elif not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, "it is no regular file; what comes from elsewhere is read as -")
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def open_stream(path: str, size: int = _PIECE) -> BufferedReader:
    """The file that :func:`open_regular` opens, for readers of lines.

    :param size: of its buffer.
    :raise OSError: as the kernel says; while it is read, too: EAGAIN if a file of the kernel has nothing yet.
    """
    from io import BufferedReader, FileIO, RawIOBase

    class Impatient(FileIO):
        """Where there is nothing yet FileIO reads None, and what reads through a buffer fails with it."""

        read, readall = RawIOBase.read, RawIOBase.readall  # type: ignore[assignment]  # by readinto

        def readinto(self, buffer: Any) -> int:
            count = super().readinto(buffer)
            if count is None:
                raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
            return count

    return BufferedReader(Impatient(open_regular(path)), size)


def _read(descriptor: int, limit: int, *, is_awaited: bool = False) -> bytes:
    """Up to one byte more than ``limit``.

    :param is_awaited: whether to wait where nothing has come yet. Standard input may not block, because of
        somebody who shares it; a file of the kernel that has nothing (``/proc/kmsg``) is not waited for.
    :raise OSError: as the kernel says.
    """
    pieces = []
    room = limit + 1
    while room:
        try:
            piece = os.read(descriptor, min(room, _PIECE))
        except BlockingIOError:
            if not is_awaited:
                raise
            import select

            select.select([descriptor], [], [])
            continue
        if not piece:
            break
        pieces.append(piece)
        room -= len(piece)
    return b"".join(pieces)


def read_bounded(path: str, limit: int, what: str) -> bytes:
    """Read a file (``-``: standard input) of at most ``limit`` bytes; a longer one is refused, not cut.

    :raise InputRefused: ``WHAT-too-large``.
    :raise HostLacks: ``file-missing``.
    :raise PermissionRefused: ``file-permission``.
    """
    try:
        if path == "-":
            data = _read(0, limit, is_awaited=True)
        else:
            descriptor = open_regular(path)
            try:
                data = _read(descriptor, limit)
            finally:
                os.close(descriptor)
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


def _strangers(value: Any, kind: type[msgspec.Struct], path: str) -> Iterator[str]:
    """Paths of the members below ``value`` that ``kind`` does not have, a list's elements as ``NAME[]``."""
    known, parts = kind.__struct_fields__, _PARTS.get(kind, {})
    for name, entry in value.items():
        place = f"{path}.{name:.80}" if path else f"{name:.80}"
        if name not in known:
            yield place
        elif isinstance(entry, list) and name in parts:
            for element in entry:
                yield from _strangers(element, parts[name], f"{place}[]")
        elif name in _TABLES and name in parts:
            for key, element in entry.items():
                if key not in (_TABLES[name] or entry):
                    yield f"{place}.{key:.80}"
                yield from _strangers(element, parts[name], f"{place}.{key:.80}")
        elif isinstance(entry, dict):  # one member, or a fact
            yield from _strangers(entry, parts.get(name, Fact), place)


def _at(error: VsmmuError, where: str) -> InputRefused:
    place = f"{where}: {error.where}" if error.where else where
    return InputRefused.of(msgspec.structs.replace(error.diagnostic, where=place))


def _failure(
    kind: type[VsmmuError],
    code: str,
    what: str,
    where: str,
    error: OSError | ValueError,
    want: int = os.R_OK,
) -> VsmmuError:
    why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    remedy = ""
    if kind is PermissionRefused:
        from vsmmu.file_access import who_may

        remedy = who_may(os.path.abspath(where), want)  # noqa: PTH100 - no pathlib on the path
    return kind(code, what, where=where, why=why, next=remedy or _REMEDIES[code])


#: The parts of the document by the members that hold them; what is not here and is an object is a fact.
_PARTS: Final[dict[type[msgspec.Struct], dict[str, type[msgspec.Struct]]]] = {
    Host: {
        "kernel": Kernel,
        "numa_nodes": NumaNode,
        "egm": EgmRegion,
        "smmus": HostSmmu,
        "functions": HostFunction,
        "evidence": Evidence,
    },
    HostSmmu: {"registers": RegisterFact, "fields": Fact, "hw_info_data": HwInfoFact},
    HostFunction: {"reserved_regions": ReservedRegion, "memory_regions": MemoryRegion},
}
#: Members that are tables, with the keys that are known; None where any key is.
_TABLES: Final[dict[str, Container[str] | None]] = {
    "registers": REGISTERS,
    "fields": FIELDS,
    "hw_info_data": None,
    "evidence": None,
}
_DECODER: Final = msgspec.json.Decoder(Host)
_REMEDIES: Final = {
    "file-missing": "check the name",
    "file-permission": "run as a user who may, or have the owner allow it",
    "file-write": "write elsewhere, or make room",
}
