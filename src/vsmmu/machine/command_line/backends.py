# SPDX-License-Identifier: Apache-2.0
"""Backends of a command line: the names that ``-netdev``, ``-chardev``, ``-drive`` and the like give."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from vsmmu.diagnostic import Diagnostic
from vsmmu.errors import InputRefused
from vsmmu.machine.model import EXPANDED, SHARED, TAKEN, NamedFile

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from vsmmu.machine.command_line.device_options import Drive
    from vsmmu.machine.command_line.options import WrittenOption
    from vsmmu.machine.command_line.readconfig import Section
    from vsmmu.machine.model import JsonValue, MachineObject

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
#: Options whose names several devices may use, or whose use QEMU judges by what each does with it.
_SHARED: Final = frozenset({"blockdev", "fsdev", "virtfs", "audiodev", "audio"})
#: Options whose ids are of one kind with those of another.
_SCOPES: Final = {"nic": "netdev", "blockdev": "drive"}
_ON: Final = ("on", "yes", "true", "y", True)
_BOOT_FILES: Final = {
    "kernel": "could not load kernel '{path}'",
    "initrd": "could not load initrd '{path}'",
    "firmware": "Could not find ROM image '{path}'",
}
#: ``nbd://``, ``null-co://``, ``json:{...}``: no path. Compiled when met.
_PROTOCOL: Final = r"[A-Za-z][A-Za-z0-9+.-]*:"
_NAMES: Final = ("id", "node-name", "mount_tag")


def backends(
    options: Sequence[WrittenOption], sections: Iterable[Section] = ()
) -> Mapping[str, frozenset[str]] | None:
    """The names that a device may give, by property, but for those that QEMU itself gives (``none0``).

    None where only a shell knows one of them.

    Under ``SHARED`` those that several devices may give, under ``TAKEN`` those of character devices that
    an option uses.

    :raise InputRefused: ``duplicate-id``, for two of one kind with the same id.
    """
    found: dict[str, set[str]] = {name: set() for name in (*dict(_OPTIONS.values()), SHARED, TAKEN)}
    written: list[tuple[str, Mapping[str, JsonValue]]] = [
        (option.name, option.settings(_OPTIONS[option.name][1]))
        for option in options
        if option.name in _OPTIONS
    ]
    written += ((section.group, {**section.settings}) for section in sections)
    _refuse_twice([*written, *(("nic", option.settings("")) for option in options if option.name == "nic")])
    hidden = False
    for group, settings in written:
        if group in _OPTIONS:
            names = [*_names(settings)]
            hidden |= not names and _expands(*settings, *settings.values())
            found[_OPTIONS[group][0]].update(names)
            if group in _SHARED or settings.get("mux") in _ON:
                found[SHARED].update(names)
    found[TAKEN].update(_taken(options))
    if hidden or any(_expands(*names) for names in found.values()):
        return None
    return {name: frozenset(names) for name, names in found.items()}


def _expands(*texts: JsonValue) -> bool:
    return any(mark in text for text in texts if isinstance(text, str) for mark in EXPANDED)


def _refuse_twice(written: Iterable[tuple[str, Mapping[str, JsonValue]]]) -> None:
    seen: set[tuple[str, JsonValue]] = set()
    for group, settings in written:
        scope = _SCOPES.get(group, group)
        own = settings.get("node-name" if group == "blockdev" else "id")
        if isinstance(own, str) and group in (*_OPTIONS, *_SCOPES):
            if (scope, own) in seen:
                raise InputRefused(
                    "duplicate-id",
                    f"two {scope}s have the id {own!r}",
                    where=f"-{group} ...{own}"[:200],
                    why=f"Duplicate ID '{own}' for {scope}",
                    next="rename one",
                )
            seen.add((scope, own))


def _taken(options: Iterable[WrittenOption]) -> Iterator[str]:
    for option in options:
        if option.name in ("serial", "parallel", "monitor", "qmp") and option.text.startswith("chardev:"):
            yield option.text.removeprefix("chardev:")
        elif option.name == "mon":
            yield str(option.settings("chardev").get("chardev", ""))


def files(
    drives: Iterable[Drive], objects: Iterable[MachineObject], machine: Mapping[str, str]
) -> Iterator[NamedFile]:
    """The files of drives, objects and the boot options.

    :param machine: the ``-machine`` options; ``kernel`` and others are options of their own, too.
    """
    for drive in drives:
        path = drive.settings.get("file", "")
        if path and not re.match(_PROTOCOL, path):
            text = f"{drive.origin.option}: Could not open '{path}': No such file or directory"
            yield NamedFile(path, text)
    for entry in objects:
        source = entry.properties.get("filename")
        if entry.qom_type == "rng-random" and isinstance(source, str):
            yield NamedFile(source, f"Could not open '{source}': No such file or directory")
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
