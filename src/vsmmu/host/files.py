# SPDX-License-Identifier: Apache-2.0
"""Read and write facts files (``vsmmu.host/1``): bounded, checked, and never half written.

:func:`write_whole` is the project's one writer of files that are whole or not there.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from typing import TYPE_CHECKING, Any, Final

import msgspec

from vsmmu.document import encode_document
from vsmmu.errors import HostLacks, InputRefused, PermissionRefused, VsmmuError
from vsmmu.host.evidence import Evidence, Fact
from vsmmu.host.facts import (
    SCHEMA,
    Host,
    HostFunction,
    HostSmmu,
    HwInfoFact,
    Kernel,
    RegisterFact,
    ReservedRegion,
)
from vsmmu.smmuv3.fields import FIELDS, REGISTERS

if TYPE_CHECKING:
    from collections.abc import Container, Iterator
    from pathlib import Path

__all__ = [
    "MAX_BYTES",
    "builtin_files",
    "decode_host",
    "encode_host",
    "load_host",
    "open_regular",
    "read_bounded",
    "save_bytes",
    "save_host",
    "spell_unread",
    "unknown_members",
    "write_whole",
]

#: A host with 4,096 functions takes about 2 MiB.
MAX_BYTES: Final = 16 << 20
#: As many symbolic links as the kernel follows.
_MOST_LINKS: Final = 40
#: Of a file's name in that of its successor, which must not grow too long for a file system.
_LONGEST_PREFIX: Final = 40
#: A remark names so many unknown members.
_NAMED: Final = 5
_ATTEMPTS: Final = 1000
#: The end of its name, which no file of anybody else has.
_NEW: Final = ".vsmmu-new"
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
        data = read_bounded(path, MAX_BYTES, "facts", regular=True)
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
            why=str(error)[:300],
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
    return encode_document(host)


def save_host(host: Host, path: Path) -> None:
    """Write a facts file so that a reader finds the old one or the new one, whole, whatever happens.

    :raise PermissionRefused: ``file-permission``.
    :raise HostLacks: ``file-write``: the directory is missing, the disk is full, ...
    """
    save_bytes(encode_host(host), path, "facts")


def save_bytes(data: bytes, path: Path, what: str) -> None:
    """Write a file as :func:`write_whole` does.

    :param what: the noun for errors, such as ``facts``.
    :raise PermissionRefused: ``file-permission``.
    :raise HostLacks: ``file-write``: the directory is missing, the disk is full, ...
    """
    try:
        write_whole(str(path), data)
    except PermissionError as error:
        raise _failure(
            PermissionRefused, "file-permission", f"may not write {what}", str(path), error
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


def read_bounded(path: str, limit: int, what: str, *, regular: bool = False) -> bytes:
    """Read a file (``-``: standard input) of at most ``limit`` bytes; a longer one is refused, not cut.

    :param regular: whether to refuse what :func:`open_regular` refuses.
    :raise InputRefused: ``WHAT-too-large``.
    :raise HostLacks: ``file-missing``.
    :raise PermissionRefused: ``file-permission``.
    """
    try:
        if path == "-":
            descriptor = 0
        else:
            descriptor = open_regular(path) if regular else os.open(path, os.O_RDONLY | os.O_CLOEXEC)
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


def write_whole(path: str, data: bytes) -> None:
    """Write a file so that a reader finds the old one or the new one, whole, also after a loss of power.

    The new one is made beside it, under a name that begins with a dot, and renamed; it keeps the old one's
    permissions, and its owner where that is permitted. A symbolic link stays, and the file that it names is
    replaced, as with a shell's ``>``. What a killed writer has left beside it, the next one removes. What is
    no regular file (a device, a FIFO, ``/dev/stdout``) cannot be replaced: it is written to.

    :raise OSError: as the kernel says.
    """
    try:
        old = os.stat(path)  # noqa: PTH116 - no pathlib on the path of a VM's start, here and below
    except FileNotFoundError:
        old = None
    target = os.path.realpath(path)
    if old is not None and (not stat.S_ISREG(old.st_mode) or _open_file(path) is not None):
        _write_through(path, data)
    else:
        _replace(target, data, old)


def _open_file(path: str) -> tuple[str, int] | None:
    """The process and descriptor that a path such as ``/dev/stdout`` names, by links into /proc/PID/fd."""
    for _ in range(_MOST_LINKS):
        directory = os.path.realpath(os.path.dirname(path))  # noqa: PTH120
        name = os.path.basename(path)  # noqa: PTH119
        if directory.startswith("/proc/") and directory.endswith("/fd") and name.isdecimal():
            return directory.split("/")[2], int(name)
        try:
            path = os.path.join(directory, os.readlink(f"{directory}/{name}"))  # noqa: PTH115, PTH118
        except OSError:
            break
    return None


def _write_through(path: str, data: bytes) -> None:
    """Own descriptors are used as they are: at their place in a file, and although a socket has no name."""
    process, number = _open_file(path) or ("", -1)
    if process == str(os.getpid()):
        descriptor = os.dup(number)
    else:
        descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOCTTY)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
    finally:
        os.close(descriptor)


def _give(descriptor: int, old: os.stat_result) -> None:
    """Keep the owner, where that is another: the unit that probes at boot may not give files away."""
    new = os.fstat(descriptor)
    if (new.st_uid, new.st_gid) != (old.st_uid, old.st_gid):
        with contextlib.suppress(PermissionError):
            os.fchown(descriptor, old.st_uid, old.st_gid)


def _replace(target: str, data: bytes, old: os.stat_result | None) -> None:
    directory, name = os.path.split(target)
    prefix = f".{name[:_LONGEST_PREFIX]}."
    _sweep(directory, prefix)
    descriptor, temporary = _create(directory, prefix)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        if old is not None:
            _give(descriptor, old)
        os.fchmod(descriptor, 0o644 if old is None else stat.S_IMODE(old.st_mode) & 0o777)
        os.fsync(descriptor)
        os.replace(temporary, target)  # noqa: PTH105
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)  # noqa: PTH108
        raise
    finally:
        os.close(descriptor)
    _sync_directory(directory)


def _create(directory: str, prefix: str) -> tuple[int, str]:
    """A new file that is locked, which says that its writer lives: descriptor and path."""
    import tempfile  # reading facts, which is on the path of a VM's start, does not need it

    for _ in range(_ATTEMPTS):
        descriptor, path = tempfile.mkstemp(dir=directory, prefix=prefix, suffix=_NEW)
        if _is_claimed(descriptor):
            return descriptor, path
        os.close(descriptor)
        with contextlib.suppress(OSError):
            os.unlink(path)  # noqa: PTH108
    raise OSError(errno.EBUSY, "others write to it without end")


def _is_claimed(descriptor: int) -> bool:
    """Lock a new file; False if another writer came between and has swept it away."""
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.fstat(descriptor).st_nlink > 0
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks: nobody sweeps there, either
        return True


def _sweep(directory: str, prefix: str) -> None:
    """Remove what writers of this file have left behind who were killed; what cannot be removed stays."""
    import fcntl

    with contextlib.suppress(OSError):
        for name in os.listdir(directory):  # noqa: PTH208
            if name.startswith(prefix) and name.endswith(_NEW):
                path = os.path.join(directory, name)  # noqa: PTH118
                descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    os.unlink(path)  # noqa: PTH108
                except BlockingIOError:
                    continue
                finally:
                    os.close(descriptor)


def _sync_directory(directory: str) -> None:
    try:
        place = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(place)
        finally:
            os.close(place)
    except OSError as error:
        text = f"{error.strerror}; the new file is in place, but a loss of power could bring the old one back"
        raise OSError(error.errno, text, directory) from None


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
    kind: type[VsmmuError], code: str, what: str, where: str, error: OSError | ValueError
) -> VsmmuError:
    why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return kind(code, what, where=where, why=why, next=_REMEDIES[code])


#: The parts of the document by the members that hold them; what is not here and is an object is a fact.
_PARTS: Final[dict[type[msgspec.Struct], dict[str, type[msgspec.Struct]]]] = {
    Host: {"kernel": Kernel, "smmus": HostSmmu, "functions": HostFunction, "evidence": Evidence},
    HostSmmu: {"registers": RegisterFact, "fields": Fact, "hw_info_data": HwInfoFact},
    HostFunction: {"reserved_regions": ReservedRegion},
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
