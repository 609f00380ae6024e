# SPDX-License-Identifier: Apache-2.0
"""QOM introspection of a running QEMU: vSMMUs with guest-visible registers, endpoints, free ports.

``qom-get`` keeps answering ``auto`` after QEMU has resolved it, so the values are read where the guest reads
them: from the ID registers in guest memory (``xp``), one word at a time, because the device answers a wider
access with zeros [measured on 11.1.3]. The address is the sum of the ``addr`` of the device's memory region
and of those that contain it. Everything else is QOM: a bus' path begins with the path of its maker.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from vsmmu.errors import InputRefused
from vsmmu.machine.drivers import VFIO_DRIVERS, is_bridge
from vsmmu.machine.model import VSMMU_DRIVER
from vsmmu.monitor.qmp import CommandFailed
from vsmmu.pci import normal_address
from vsmmu.qemu.versions import packaged_fork
from vsmmu.smmuv3.fields import REGISTERS
from vsmmu.smmuv3.properties import PROPERTIES
from vsmmu.smmuv3.registers import IdRegisters

if TYPE_CHECKING:
    from vsmmu.monitor.qmp import Commands

__all__ = ["Running", "RunningEndpoint", "RunningPort", "RunningVsmmu", "read_back"]

_CONTAINERS: Final = ("/machine/peripheral", "/machine/peripheral-anon")
_CHILD: Final = re.compile(r"child<([^<>]+)>")
_WORD: Final = re.compile(r"([0-9a-f]{1,16}): (0x[0-9a-f]{8})\s*")
#: Regions inside regions; the platform bus has two levels.
_MAX_NESTING: Final = 16
_MAX_DEVICES: Final = 4096
_MAX_VERSION: Final = 1000
#: The largest guest-physical address that a register can be at.
_MAX_ADDRESS: Final = 1 << 52
#: The end of QEMU's sentence on a property that there is not, and on a device that there is not.
_NOT_FOUND: Final = "not found"
#: In place of the value of a property that there is not.
_UNSET: Final = object()


class RunningVsmmu(NamedTuple):
    """One ``arm-smmuv3``.

    :param name: its id, or the last part of its QOM path.
    :param bus: QOM path of the root complex's bus; :attr:`bus_name` is what ``primary-bus`` says.
    :param written: the properties as QEMU answers for them, in its own spelling.
    :param registers: as the guest reads them.
    """

    name: str
    bus: str
    accel: bool
    written: dict[str, str]
    registers: IdRegisters

    @property
    def bus_name(self) -> str:
        """The bus as a command line names it."""
        return self.bus.rpartition("/")[2]


class RunningEndpoint(NamedTuple):
    """One ``vfio-pci``: its host function (empty if QEMU got a descriptor), and the root complex' bus."""

    name: str
    function: str
    root: str
    iommufd: str


class RunningPort(NamedTuple):
    """One port or bridge below a root complex; ``occupant`` is the driver of what is in it, or empty.

    :param hotplug: whether it has not been told (``hotplug=off``) to take no device_add.
    """

    name: str
    root: str
    occupant: str
    driver: str = "pcie-root-port"
    hotplug: bool = True


class Running(NamedTuple):
    """A VM at a moment. ``status`` is QEMU's run state; ``iommufd`` the id of an iommufd object, if any."""

    version: str
    status: str
    vsmmus: tuple[RunningVsmmu, ...]
    endpoints: tuple[RunningEndpoint, ...]
    ports: tuple[RunningPort, ...]
    iommufd: str

    def behind(self, vsmmu: RunningVsmmu) -> tuple[RunningEndpoint, ...]:
        """The endpoints that a vSMMU translates."""
        return tuple(entry for entry in self.endpoints if entry.root == vsmmu.bus)


class _Device(NamedTuple):
    path: str
    driver: str
    bus: str

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]


def read_back(monitor: Commands) -> Running:
    """Ask a VM, stopped or running, for everything; nothing is changed.

    :raise VsmmuError: as the monitor raises; ``strange-answer`` if QEMU answers in another form.
    """
    try:
        return _read_back(monitor)
    except (ValueError, RecursionError) as error:  # a number too large to be one, lists in lists in lists
        raise _strange(error) from None


def _read_back(monitor: Commands) -> Running:
    version = monitor.execute("query-version")
    numbers = ".".join(_spell_number(_member(version, "qemu", part)) for part in ("major", "minor", "micro"))
    package = version.get("package")
    fork = packaged_fork(_text(package)[:200]) if package is not None else None
    status = _text(_member(monitor.execute("query-status"), "status"))
    devices = _devices(monitor)
    buses = {device.path: device.bus for device in devices}
    vsmmus = [_vsmmu(monitor, device) for device in devices if device.driver == VSMMU_DRIVER]
    inside: dict[str, str] = {}
    for device in devices:
        inside.setdefault(device.bus.rpartition("/")[0], device.driver)
    return Running(
        version=numbers if fork is None else str(fork),
        status=status,
        vsmmus=tuple(vsmmu for _, vsmmu in sorted(vsmmus, key=lambda entry: entry[0])),
        endpoints=tuple(
            _endpoint(monitor, device, _root(device.bus, buses))
            for device in devices
            if device.driver in VFIO_DRIVERS
        ),
        ports=tuple(
            RunningPort(
                device.name,
                _root(device.bus, buses),
                inside.get(device.path, ""),
                device.driver,
                _get_flag(monitor, device.path, "hotplug", unset=True),
            )
            for device in devices
            if is_bridge(device.driver)
        ),
        iommufd=next((name for name, kind in _children(monitor, "/objects") if kind == "iommufd"), ""),
    )


def _devices(monitor: Commands) -> list[_Device]:
    found = []
    for container in _CONTAINERS:
        children = _children(monitor, container)
        if len(children) > _MAX_DEVICES:
            raise _strange(f"{len(children)} devices")
        for name, driver in children:
            path = f"{container}/{name}"
            bus = _get_text(monitor, path, "primary-bus" if driver == VSMMU_DRIVER else "parent_bus")
            found.append(_Device(path, driver, bus))
    return found


def _children(monitor: Commands, path: str) -> list[tuple[str, str]]:
    listed = monitor.execute("qom-list", path=path)
    if not isinstance(listed, list):
        raise _strange(listed)
    found = []
    for entry in listed:
        name, kind = _text(_member(entry, "name")), _text(_member(entry, "type"))
        if (match := _CHILD.fullmatch(kind)) is not None:
            found.append((name, match[1]))
    return sorted(found, key=lambda entry: _natural(entry[0]))


def _natural(name: str) -> list[tuple[int, str]]:
    """A key that puts ``vfio2`` before ``vfio10``; QEMU lists children in no order."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"([0-9]+)", name)]


def _vsmmu(monitor: Commands, device: _Device) -> tuple[int, RunningVsmmu]:
    base = _address(monitor, f"{device.path}/{VSMMU_DRIVER}[0]")
    words = {name.lower(): _read_word(monitor, base + offset) for name, offset in REGISTERS.items()}
    written = {name: _get(monitor, device.path, name) for name in PROPERTIES}
    return base, RunningVsmmu(
        name=device.name,
        bus=device.bus,
        accel=_get_flag(monitor, device.path, "accel", unset=False),
        written={name: _spell_value(value) for name, value in written.items() if value is not _UNSET},
        registers=IdRegisters(**words),
    )


def _address(monitor: Commands, region: str) -> int:
    total = 0
    for _ in range(_MAX_NESTING):
        addr = _get(monitor, region, "addr")
        if type(addr) is not int or not 0 <= addr < _MAX_ADDRESS:
            raise _strange(f"{region} has no address")
        total += addr
        region = _get_text(monitor, region, "container")
        if not region:
            return total
    raise _strange(f"memory regions nest deeper than {_MAX_NESTING}")


def _read_word(monitor: Commands, address: int) -> int:
    answer = monitor.execute("human-monitor-command", command_line=f"xp /1wx {address:#x}")
    match = _WORD.fullmatch(_text(answer))
    if match is None or int(match[1], 16) != address:
        raise _strange(answer)
    return int(match[2], 16)


def _endpoint(monitor: Commands, device: _Device, root: str) -> RunningEndpoint:
    path = _get_text(monitor, device.path, "sysfsdev")
    host = _get_text(monitor, device.path, "host")
    function = normal_address(path.rstrip("/").rpartition("/")[2]) or normal_address(host) or ""
    iommufd = _get_text(monitor, device.path, "iommufd").rpartition("/")[2]
    return RunningEndpoint(device.name, function, root, iommufd)


def _root(bus: str, buses: dict[str, str]) -> str:
    """The bus of the root complex: climb from each bus to the device that makes it, and to its bus."""
    for _ in range(len(buses) + 1):
        above = buses.get(bus.rpartition("/")[0])
        if not above:
            return bus
        bus = above
    raise _strange("the buses form a circle")


def _get(monitor: Commands, path: str, name: str) -> Any:
    """A property; :data:`_UNSET` if this QEMU's device does not have it, or is gone meanwhile.

    :raise CommandFailed: any other refusal.
    """
    try:
        return monitor.execute("qom-get", path=path, property=name)
    except CommandFailed as error:
        if not error.why.endswith(_NOT_FOUND):
            raise
        return _UNSET


def _get_text(monitor: Commands, path: str, name: str) -> str:
    """A text or a link; empty if this QEMU's device does not have it."""
    found = _get(monitor, path, name)
    return "" if found is _UNSET else _text(found)


def _get_flag(monitor: Commands, path: str, name: str, *, unset: bool) -> bool:
    """A switch; ``unset`` if this QEMU's device does not have it."""
    found = _get(monitor, path, name)
    if found is _UNSET:
        return unset
    if not isinstance(found, bool):
        raise _strange(found)
    return found


def _text(value: object) -> str:
    """What has to be a text: what is none would pass for one that names nothing, such as no bus."""
    if not isinstance(value, str):
        raise _strange(value)
    return value


def _spell_value(value: object) -> str:
    """A property's value as a command line has it; a fork answers with numbers and truth values."""
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value) if isinstance(value, int) else _text(value)


def _spell_number(value: Any) -> str:
    """A part of a version."""
    if type(value) is not int or not 0 <= value < _MAX_VERSION:
        raise _strange(value)
    return str(value)


def _member(value: Any, *names: str) -> Any:
    for name in names:
        if not isinstance(value, dict) or name not in value:
            raise _strange(value)
        value = value[name]
    return value


def _strange(answer: object) -> InputRefused:
    return InputRefused(
        "strange-answer",
        "QEMU answers in a form that is not known",
        why=f"{str(answer)[:100]!r}",
        next="see whether this is QEMU 11.0 or later, and report its version",
    )
