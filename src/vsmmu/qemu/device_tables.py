# SPDX-License-Identifier: Apache-2.0
"""Every device, object and machine type of a QEMU version with its properties: the tables beside this module.

Taken from real binaries by ``tools/device_tables`` and loaded only when asked; this is the one module of
``vsmmu.qemu`` that opens files. 10.1 and 11.0 could not be had: their tables are made of their neighbours'
and the rows in :data:`DERIVED`, and a name that only one of them has is doubtful.
"""

from __future__ import annotations

from functools import cache, cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from vsmmu.qemu.versions import Qemu
    from vsmmu.versions import Version

__all__ = [
    "CERTAIN",
    "DERIVED",
    "DeviceTable",
    "DeviceType",
    "Member",
    "Removed",
    "between",
    "table",
]

_DIRECTORY: Final = Path(__file__).with_name("tables")


class Removed(NamedTuple):
    """A row of a derived table: what the version does not have although a neighbour has it.

    :param names: the properties; empty for the whole type.
    """

    type: str
    names: frozenset[str]
    source: str


#: Version without a binary -> what is known to be missing there.
DERIVED: Final[Mapping[Version, tuple[Removed, ...]]] = MappingProxyType(
    {
        (11, 0): (
            Removed(
                "arm-smmuv3",
                frozenset({"cmdqv", "identifier"}),
                "they came with CMDQV (3e79b45e04..fced8da695, June 2026), after 11.0's tree (0bb5ed78b0)",
            ),
            Removed("vfio-pci", frozenset({"ats"}), "6befa55274 and bc034e8a95, June 2026"),
            Removed("vfio-pci-nohotplug", frozenset({"ats"}), "6befa55274 and bc034e8a95, June 2026"),
        )
    }
)
#: What 11.0's tree (0bb5ed78b0), and NVIDIA's 10.1, have for certain although an older neighbour has it not.
CERTAIN: Final[Mapping[tuple[Version, str], frozenset[str]]] = MappingProxyType(
    {
        ((10, 1), "arm-smmuv3"): frozenset({"smmu_per_bus"}),
        ((11, 0), "arm-smmuv3"): frozenset("accel ats ril oas ssidsize memory secure-memory msi-gpa".split()),
    }
)
#: The tables that are there, and the versions made of two of them (older, newer).
_TAKEN: Final[tuple[Version, ...]] = ((10, 0), (10, 2), (11, 1))
_BETWEEN: Final[Mapping[Version, tuple[Version, Version]]] = MappingProxyType(
    {(10, 1): ((10, 0), (10, 2)), (11, 0): ((10, 2), (11, 1))}
)

#: A member of what ``-object`` takes: name, type, and whether it must be there.
Member = tuple[str, str, bool]


class _Entry(msgspec.Struct, frozen=True):
    parent: str = ""
    bus: str = ""
    abstract: bool = False
    creatable: bool = False
    properties: dict[str, str] = {}
    without: frozenset[str] = frozenset()


class _File(msgspec.Struct, frozen=True):
    # A type is decoded when it is asked for: a VM names ten of a thousand.
    version: str
    build: str
    devices: dict[str, msgspec.Raw]
    machines: dict[str, msgspec.Raw]
    objects: dict[str, list[Member]]
    aliases: dict[str, str]
    enums: dict[str, list[str]]
    device_aliases: dict[str, str]


class DeviceType(NamedTuple):
    """A type of a device or a machine.

    :param parents: the types that it is derived from, nearest first; ``-global`` may name any of them.
    :param bus: the kind of bus that it is plugged into (``PCI``, ``usb-bus``, ``System``), or empty.
    :param creatable: whether ``-device`` takes it.
    :param properties: name -> type (``bool``, ``uint8``, ``OnOffAuto``, ``link<PCI>``, ``str``).
    :param doubtful: the properties that it perhaps does not have.
    """

    name: str
    parents: tuple[str, ...]
    bus: str
    abstract: bool
    creatable: bool
    properties: Mapping[str, str]
    doubtful: frozenset[str] = frozenset()


class DeviceTable:
    """What one version knows.

    :ivar build: whose binary was asked; for a derived table, that it is one.
    :ivar enums: accepted values by type of property; a type that is not there cannot be judged.
    :ivar exact: whether it is that of the very binary that the VM is for: then a type that is not in it is
        certainly not there.
    """

    def __init__(
        self,
        version: Version,
        files: tuple[_File, ...],
        *,
        exact: bool = False,
        kinds: DeviceTable | None = None,
    ) -> None:
        self._version = version
        self._files = files
        self.exact = exact
        # QMP does not tell how some values are read; where that was tried, it stands in this table.
        self._kinds = kinds
        versions = " and ".join(file.version for file in files)
        self.build = files[-1].build if len(files) == 1 else f"derived from {versions}"
        self.enums: Mapping[str, list[str]] = kinds.enums if kinds is not None else files[-1].enums

    def device(self, name: str) -> DeviceType | None:
        """A type of device, abstract or not, by name or alias; None if the version has no such type."""
        found = []
        for file in self._files:
            real = name if name in file.devices else file.device_aliases.get(name, name)
            if (entry := _device(file.devices, real)) is not None:
                found.append(entry)
        return self._joined(found) if found else None

    def machine(self, name: str) -> DeviceType | None:
        """A ``virt`` machine type, by its full name; a file that lacks it answers for its newest instead."""
        found = []
        for file in self._files:
            kind = _device(file.machines, f"{name}-machine")
            kind = kind or _device(file.machines, f"{file.aliases.get('virt', '')}-machine")
            if kind is not None:
                found.append(kind)
        return self._joined(found) if found else None

    def has_machine(self, name: str) -> bool:
        """Whether any build is known to have a machine type, of whatever kind of board."""
        here = any(f"{name}-machine" in file.machines or name in file.aliases for file in self._files)
        return here or (self._kinds is not None and self._kinds.has_machine(name))

    def object(self, name: str) -> tuple[Member, ...] | None:
        """What ``-object`` takes for a type, in the order of QEMU's reading; None if it has no such type."""
        found = [file.objects[name] for file in self._files if name in file.objects]
        if not found:
            return None
        tried = (self._kinds.object(name) if self._kinds is not None else None) or ()
        kinds = {member: kind for member, kind, _ in tried}
        return tuple((member, kinds.get(member, kind), must) for member, kind, must in found[-1])

    def has_object(self, name: str) -> bool:
        """Whether the version has a type of object for certain."""
        return all(name in file.objects for file in self._files)

    def is_known_elsewhere(self, name: str) -> bool:
        """Whether other builds of the version have a type of device."""
        return self._kinds is not None and self._kinds.device(name) is not None

    @cached_property
    def device_names(self) -> tuple[str, ...]:
        """The devices that ``-device`` takes."""
        found = {name for file in self._files for name in file.devices}
        return tuple(sorted(name for name in found if (kind := self.device(name)) and kind.creatable))

    def object_names(self) -> tuple[str, ...]:
        """The types that ``-object`` takes."""
        return tuple(sorted({name for file in self._files for name in file.objects}))

    def _joined(self, found: list[DeviceType]) -> DeviceType:
        newest = found[-1]
        if self._kinds is not None:
            return _with_kinds(
                newest, self._kinds.device(newest.name) or self._kinds.machine(_bare(newest.name))
            )
        if len(self._files) == 1:
            return newest
        removed = {
            name
            for row in DERIVED.get(self._version, ())
            if row.type == newest.name or row.type in newest.parents
            for name in row.names
        }
        everywhere = frozenset.intersection(*(frozenset(entry.properties) for entry in found))
        if len(found) < len(self._files):
            everywhere = frozenset()
        sure = everywhere | CERTAIN.get((self._version, newest.name), frozenset())
        properties = {
            name: kind for entry in found for name, kind in entry.properties.items() if name not in removed
        }
        return newest._replace(properties=properties, doubtful=frozenset(properties) - sure)


def _device(types: Mapping[str, msgspec.Raw], name: str) -> DeviceType | None:
    if name not in types:
        return None
    entry = msgspec.json.decode(types[name], type=_Entry)
    above = _device(types, entry.parent) if entry.parent else None
    inherited = above.properties if above else {}
    properties = {key: kind for key, kind in inherited.items() if key not in entry.without} | entry.properties
    parents = (above.name, *above.parents) if above else ()
    return DeviceType(name, parents, entry.bus, entry.abstract, entry.creatable, properties)


def _bare(name: str) -> str:
    return name.removesuffix("-machine")


def _with_kinds(asked: DeviceType, tried: DeviceType | None) -> DeviceType:
    """A type as QMP tells it, with the types of its values as they were tried with another binary."""
    known = tried.properties if tried is not None else {}
    # A number's width is not told.
    kinds = {
        name: known.get(name) or ("any" if kind == "int" else kind) for name, kind in asked.properties.items()
    }
    return asked._replace(properties=kinds)


@cache
def _load(version: Version) -> _File:
    data = (_DIRECTORY / f"{version[0]}.{version[1]}.json").read_bytes()
    file: _File = msgspec.json.decode(data, type=_File)
    return file


def between(version: Version) -> tuple[Version, Version] | None:
    """The older and the newer version that a table is made of; None if it was taken from a binary."""
    return _BETWEEN.get(version)


def table(qemu: Qemu) -> DeviceTable:
    """The table of the binary that was asked, or of a version; of the newest one for one that is newer."""
    if qemu.own_table is not None:
        return _own(qemu._replace(own_table=None), qemu.own_table)
    return _of_version(qemu.version)


@cache
def _of_version(version: Version) -> DeviceTable:
    if version in _BETWEEN:
        return DeviceTable(version, tuple(_load(neighbour) for neighbour in _BETWEEN[version]))
    return DeviceTable(version, (_load(max(taken for taken in _TAKEN if taken <= version)),))


@cache
def _own(qemu: Qemu, read: Callable[[], bytes]) -> DeviceTable:
    own = msgspec.json.decode(read(), type=_File)
    return DeviceTable(qemu.version, (own,), exact=True, kinds=table(qemu))
