# SPDX-License-Identifier: Apache-2.0
"""Backends of a command line: the names that ``-netdev``, ``-chardev``, ``-drive`` and the like give."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from vsmmu.diagnostic import Diagnostic
from vsmmu.machine.model import NamedFile

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from vsmmu.machine.command_line.device_options import Drive
    from vsmmu.machine.command_line.options import WrittenOption
    from vsmmu.machine.model import JsonValue

__all__ = ["backends", "doubtful_backends", "files", "is_defined"]

#: Option -> the property of a device by which its names are used, and the key of a first value without one.
_OPTIONS: Final = {
    "netdev": ("netdev", "type"),
    "chardev": ("chardev", "backend"),
    "drive": ("drive", ""),
    "blockdev": ("drive", "driver"),
    "fsdev": ("fsdev", "fsdriver"),
    "virtfs": ("fsdev", "fsdriver"),
    "audiodev": ("audiodev", "driver"),
    "audio": ("audiodev", "driver"),
    "tpmdev": ("tpmdev", "type"),
}
_BOOT_FILES: Final = {
    "kernel": "could not load kernel '{path}'",
    "initrd": "could not load initrd '{path}'",
    "firmware": "Could not find ROM image '{path}'",
}
#: ``nbd://``, ``null-co://``, ``json:{...}``: no path. Compiled when met.
_PROTOCOL: Final = r"[A-Za-z][A-Za-z0-9+.-]*:"
_NAMES: Final = ("id", "node-name", "mount_tag")


def backends(options: Iterable[WrittenOption]) -> Mapping[str, frozenset[str]]:
    """The names that a device may give, by property, but for those that QEMU itself gives (``none0``)."""
    found: dict[str, set[str]] = {name: set() for name, _ in _OPTIONS.values()}
    for option in options:
        if option.name in _OPTIONS:
            name, implied = _OPTIONS[option.name]
            settings = option.settings(implied)
            found[name].update(_names(settings))
    return {name: frozenset(names) for name, names in found.items()}


def files(drives: Iterable[Drive], machine: Mapping[str, str]) -> Iterator[NamedFile]:
    """The files of drives and of the boot options.

    :param machine: the ``-machine`` options; ``kernel`` and others are options of their own, too.
    """
    for drive in drives:
        path = drive.settings.get("file", "")
        if path and not re.match(_PROTOCOL, path):
            text = f"{drive.origin.option}: Could not open '{path}': No such file or directory"
            yield NamedFile(path, text)
    for name, text in _BOOT_FILES.items():
        path = machine.get(name, "")
        # A name without a slash is looked up among QEMU's own files.
        if path and (name != "firmware" or "/" in path):
            yield NamedFile(path, text.format(path=path))


def doubtful_backends(options: Sequence[WrittenOption]) -> Iterator[Diagnostic]:
    """Backends that work over a socket alone and are given another kind of character device."""
    kinds = {
        settings.get("id"): settings.get("backend")
        for option in options
        if option.name == "chardev"
        for settings in [option.settings("backend")]
    }
    for option in options if kinds else ():
        settings = option.settings("type")
        kind = kinds.get(settings.get("chardev"), "socket")
        if option.name == "tpmdev" and settings.get("type") == "emulator" and kind != "socket":
            yield Diagnostic(
                "backend-unread",
                f"whether a TPM answers on -chardev {kind} was not looked at, so QEMU could refuse it",
                where=f"-tpmdev {option.text}"[:200],
                why="tpm-emulator: Failed to send CMD_SET_DATAFD",
                next="give the emulator a -chardev socket",
                severity="unknown",
            )


def is_defined(options: Iterable[WrittenOption], group: str, id: str) -> bool:
    """Whether an option of this name has this id: what ``-set group.id.key`` looks for."""
    return any(option.name == group and option.settings("").get("id") == id for option in options)


def _names(settings: Mapping[str, JsonValue]) -> Iterator[str]:
    """The names in an option's parameters, those of nested nodes included."""
    for key, value in settings.items():
        if isinstance(value, dict):
            yield from _names(value)
        elif isinstance(value, str) and key.rpartition(".")[2] in _NAMES:
            yield value
