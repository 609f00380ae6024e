# SPDX-License-Identifier: Apache-2.0
"""Fold a binary's answers into a table of devices: each property once, at the type that its owners share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["AskedTypes", "Type", "fold"]

#: Nobody writes these: they are QOM's own, and the same for every type.
_OWN: Final = frozenset({"type"})


class Type(NamedTuple):
    """A type as QOM has it; ``properties`` is None for an abstract one, which cannot be asked."""

    parent: str
    properties: dict[str, str] | None


class AskedTypes(NamedTuple):
    """What one binary said.

    :param build: the package's version, as ``query-version`` has it.
    :param buses: kind of bus by device, empty for a device that needs none.
    :param creatable: the devices that ``-device`` takes.
    :param objects: what ``-object`` takes: members in the order in which QEMU visits them, each with its type
        and whether it must be there.
    :param aliases: of machines, such as ``virt`` -> ``virt-11.1``.
    :param device_aliases: such as ``ahci`` -> ``ich9-ahci``.
    """

    version: str
    build: str
    devices: dict[str, Type]
    machines: dict[str, Type]
    buses: dict[str, str]
    creatable: frozenset[str]
    objects: dict[str, list[tuple[str, str, bool]]]
    aliases: dict[str, str]
    device_aliases: dict[str, str]


def fold(answers: AskedTypes, enums: Mapping[str, list[str]]) -> dict[str, Any]:
    """The table as it is kept; keys as in :class:`vsmmu.qemu.device_tables.DeviceTable`.

    :param enums: accepted values by type of property, as far as they were tried.
    """
    devices = _folded(answers.devices)
    for name, entry in devices.items():
        if name in answers.buses:
            entry["bus"] = answers.buses[name]
        if name in answers.creatable:
            entry["creatable"] = True
    return {
        "version": answers.version,
        "build": answers.build,
        "devices": devices,
        "machines": _folded(answers.machines),
        "objects": answers.objects,
        "aliases": answers.aliases,
        "device_aliases": dict(sorted(answers.device_aliases.items())),
        "enums": dict(sorted(enums.items())),
    }


def _folded(types: Mapping[str, Type]) -> dict[str, Any]:
    own = {name: _useful(entry.properties) for name, entry in types.items() if entry.properties is not None}
    shared: dict[str, dict[str, str]] = {}
    for name, properties in own.items():
        for ancestor in _line(name, types):
            known = shared.get(ancestor)
            shared[ancestor] = (
                dict(properties)
                if known is None
                else {key: kind for key, kind in known.items() if properties.get(key) == kind}
            )
    folded = {}
    for name in sorted(shared):
        parent = types[name].parent
        above = own.get(parent, shared.get(parent, {}))
        entry: dict[str, Any] = {"parent": parent if parent in shared else ""}
        if name not in own:
            entry["abstract"] = True
        mine = own[name] if name in own else shared[name]
        entry["properties"] = {key: mine[key] for key in sorted(mine) if above.get(key) != mine[key]}
        entry["without"] = sorted(above.keys() - mine.keys())
        folded[name] = {key: value for key, value in entry.items() if value}
    return folded


def _line(name: str, types: Mapping[str, Type]) -> Iterator[str]:
    while name in types:
        yield name
        name = types[name].parent


def _useful(properties: Mapping[str, str]) -> dict[str, str]:
    """Without indexed children and wires, which are neither written nor ever the same in two boards."""
    return {
        name: "child" if kind.startswith("child<") else kind
        for name, kind in properties.items()
        if "[" not in name and name not in _OWN
    }
