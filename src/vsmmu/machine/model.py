# SPDX-License-Identifier: Apache-2.0
"""The VM as configured, in whatever form it was written: plain values, nothing decided.

A :class:`Machine` says what QEMU was told, in the order in which QEMU acts on it. It holds no defaults of a
QEMU version (those are :mod:`vsmmu.qemu`'s) and it can describe a VM that would never start.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal

from vsmmu.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from vsmmu.diagnostic import Diagnostic, Edit

__all__ = [
    "EGM",
    "EXPANDED",
    "INITIATOR",
    "SHARED",
    "TAKEN",
    "VSMMU_DRIVER",
    "VSMMU_TYPES",
    "WINDOW_OPTION",
    "Device",
    "Global",
    "GroupOption",
    "JsonValue",
    "Machine",
    "MachineObject",
    "NamedFile",
    "NamedOption",
    "Origin",
    "Unread",
]

#: QEMU's name of the device that this project is about.
VSMMU_DRIVER: Final = "arm-smmuv3"
#: What begins a part of a name that only a shell or systemd knows.
EXPANDED: Final = "$`%{"
#: Keys of :attr:`Machine.backends` beside the properties.
SHARED: Final = "shared"
TAKEN: Final = "taken"
#: The types whose ``-global`` reaches it: its own and those that it is derived from.
VSMMU_TYPES: Final = frozenset((VSMMU_DRIVER, "arm-smmu", "sys-bus-device", "device"))
#: The type of an object that gives a device NUMA nodes of its own.
INITIATOR: Final = "acpi-generic-initiator"
#: The type of the object that makes a node's memory the EGM of a device; NVIDIA's forks alone have it.
EGM: Final = "acpi-egm-memory"
#: The option of the machine that is the size of its MMIO window above 4 GiB.
WINDOW_OPTION: Final = "highmem-mmio-size"

#: A property as written: always ``str`` in ``key=value`` form; any JSON value in JSON form.
JsonValue = str | int | float | bool | None | list["JsonValue"] | dict[str, "JsonValue"]


class Unread(str):
    """A property's value as written (``$MAC``), which only a shell knows: no rule may judge it."""

    __slots__ = ()


class Origin(NamedTuple):
    """Where something was written.

    :param option: the option with its argument, as QEMU repeats it in front of an error
        (``-device arm-smmuv3,accel=on``, or ``vm.cfg:12`` for a configuration file).
    :param place: the same for people: ``argument 7``, ``line 3``, ``vm.cfg:12``.
    """

    option: str
    place: str


class Device(NamedTuple):
    """One device in the order of creation.

    :param number: position in that order, from 0; QEMU makes all ``key=value`` devices before the JSON ones.
    :param driver: QEMU's type name.
    :param id: empty if none was given.
    :param properties: everything else as written, ``bus`` included; the last of repeated keys.
    :param form: which parser QEMU would use; it decides which types a property takes.
    """

    number: int
    driver: str
    id: str
    properties: Mapping[str, JsonValue]
    form: Literal["keyval", "json"]
    origin: Origin

    @property
    def name(self) -> str:
        """How people and messages call the device: its id, or its driver and number."""
        return self.id or f"{self.driver}#{self.number}"

    def text(self, key: str) -> str:
        """A property as text; empty if it is absent (JSON ``true`` is ``on``)."""
        value = self.properties.get(key, "")
        if isinstance(value, bool):
            return "on" if value else "off"
        return value if isinstance(value, str) else str(value)


class Global(NamedTuple):
    """One ``-global``: a changed default for every device of a driver."""

    driver: str
    property: str
    value: str
    origin: Origin


class Accel(NamedTuple):
    """One ``-accel``."""

    name: str
    options: Mapping[str, str]
    origin: Origin


class MachineObject(NamedTuple):
    """One ``-object``."""

    qom_type: str
    id: str
    properties: Mapping[str, JsonValue]
    origin: Origin


class NamedFile(NamedTuple):
    """A file on the host that QEMU opens at the start.

    :param path: as written, absolute or from QEMU's working directory.
    :param missing: what QEMU says if it is not there, its own name left out.
    """

    path: str
    missing: str


class GroupOption(NamedTuple):
    """One ``-numa``, or one ``-m``.

    :param settings: its parameters, ``type`` of ``-numa`` among them; the last of repeated ones.
    :param cpus: the values of ``cpus=`` of ``-numa``, which may be repeated.
    """

    settings: Mapping[str, str]
    origin: Origin
    cpus: tuple[str, ...] = ()


class NamedOption(NamedTuple):
    """One option of which only the names and forms of its parameters are looked at, such as ``-netdev``.

    :param name: without dashes.
    :param settings: its parameters as written, ``id`` included.
    """

    name: str
    settings: Mapping[str, str]
    origin: Origin


class Machine(NamedTuple):
    """A VM's configuration.

    :param program: the emulator as called, ``qemu-system-aarch64`` or a path; empty if it was not said.
    :param machine_type: as written (``virt``, ``virt-11.0``); empty if it was not said.
    :param machine_options: all ``-machine`` options merged as QEMU does, without ``type``.
    :param accelerators: names in the order in which QEMU tries them (``-accel``, ``-machine accel=a:b``).
    :param accels: the ``-accel`` options in order.
    :param firmware: what was given as ``-bios`` or first pflash; empty if none.
    :param default_nic: whether QEMU would add its default network card (no ``-nodefaults``, ``-nic``...).
    :param only_migratable: ``--only-migratable``.
    :param network_cards: models of the cards that the board makes because of ``-nic`` or ``-net nic``, before
        any ``-device``; the default card is not among them.
    :param numa_nodes: how many NUMA nodes there are; None if that was not said.
    :param numa: the ``-numa`` options in order.
    :param cpu: the argument of ``-cpu``; empty if none was given.
    :param memory: the parameters of ``-m`` as written, by name.
    :param memory_options: the ``-m`` options in order.
    :param named: the options of which only names and forms are looked at, in order; all drives behind them.
    :param smp: the parameters of ``-smp`` as written, by name.
    :param backends: the names that ``-netdev``, ``-chardev``, ``-drive`` and the like give, by the property
        of a device that names one (``netdev``); None where they are not said, as in a libvirt domain.
        Under ``SHARED`` are the names that several devices may give, under ``TAKEN`` the character devices
        that an option has already.
    :param files: those of the host whose absence ends a start, as far as the command line names them.
    :param plain_memory: whether memory that is no object lies in ordinary pages of the host: neither
        ``-mem-path`` nor libvirt's ``<hugepages/>``.
    :param unread: what the text leaves open, such as the options behind ``"$@"``: each an *unknown*.
    :param hidden: names of options of which not enough is known to read them, as in ``-numa "$NODE"``.
    """

    program: str
    machine_type: str
    machine_options: Mapping[str, str]
    accelerators: tuple[str, ...]
    accels: tuple[Accel, ...]
    firmware: str
    default_nic: bool
    only_migratable: bool
    objects: tuple[MachineObject, ...]
    globals: tuple[Global, ...]
    devices: tuple[Device, ...]
    network_cards: tuple[str, ...] = ()
    numa_nodes: int | None = None
    numa: tuple[GroupOption, ...] = ()
    cpu: str = ""
    memory: Mapping[str, str] = MappingProxyType({})
    memory_options: tuple[GroupOption, ...] = ()
    named: tuple[NamedOption, ...] = ()
    smp: Mapping[str, str] = MappingProxyType({})
    backends: Mapping[str, frozenset[str]] | None = None
    files: tuple[NamedFile, ...] = ()
    plain_memory: bool = True
    unread: tuple[Diagnostic, ...] = ()
    hidden: tuple[str, ...] = ()

    @property
    def accelerator_options(self) -> Mapping[str, str]:
        """The options of all ``-accel``, merged; the first counts."""
        merged: dict[str, str] = {}
        for accel in reversed(self.accels):
            merged |= {key.replace("_", "-"): value for key, value in accel.options.items()}
        return merged

    @property
    def vsmmus(self) -> tuple[Device, ...]:
        """The ``arm-smmuv3`` devices, in order of creation."""
        return tuple(device for device in self.devices if device.driver == VSMMU_DRIVER)

    def device(self, name: str) -> Device | None:
        """The device with this id (or :attr:`Device.name`)."""
        return next((device for device in self.devices if name in (device.id, device.name)), None)

    def edited(self, edits: Iterable[Edit]) -> Machine:
        """The VM with properties of devices set or taken out, as far as values go; nothing is written."""
        changed: dict[int, dict[str, JsonValue]] = {}
        for edit in edits:
            changed.setdefault(edit.device, {})[edit.property] = edit.value
        devices = [
            device._replace(properties=_changed(device.properties, changed[device.number]))
            if device.number in changed
            else device
            for device in self.devices
        ]
        return self._replace(devices=tuple(devices))


def _changed(properties: Mapping[str, JsonValue], wanted: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    gone = {name for name, value in wanted.items() if value is None}
    return {name: value for name, value in {**properties, **wanted}.items() if name not in gone}
